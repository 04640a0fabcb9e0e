"""An analysis as WinDbg's `!analyze` prints it.

Layout and order of the labels: public transcripts of WinDbg.
"""

from __future__ import annotations

from dumpkit.commands.contexts import exception_block_lines, register_block_lines
from dumpkit.commands.stack import STACK_TEXT, frame_line, legend_lines
from dumpkit.kernel.bugchecks import bare_code
from dumpkit.kernel.x64_walk import SCAN
from dumpkit.output import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator

    from dumpkit.commands.analyze_facts import (
        AccessFacts,
        Analysis,
        BugcheckDescription,
        FailedInstruction,
        RequestSubjectFacts,
        ThreadSubjectFacts,
    )
    from dumpkit.kernel.pool.allocation import PoolAllocation
    from dumpkit.output import Line

_RULE = "*" * 79
CLOSING_RULE = "---------"
INCONCLUSIVE_MODULE, INCONCLUSIVE_IMAGE = "Unknown_Module", "Unknown_Image"
#: What paging fails with where the disk, its cable or its controller does.
_DISK_ERRORS = frozenset((0xC000000E, 0xC000009C, 0xC000009D, 0xC0000185))
#: Statements of `unknown` that no label of the output stands for.
_QUIET = (
    "virtual_machine",
    "KiBugCheckData",
    "pnp_",
    "power_request",
    "build",
    "region",
    "Hvl",
    "Hypervisor",
    "HalpHvciEnabled",
    "record",
    "trap",
    "context",
)


def description_lines(result: BugcheckDescription) -> Iterator[str]:
    """Name, text and arguments, as `-show` prints them."""
    if result.name is None:
        yield f"Unknown bugcheck code ({result.code:x})"
        yield "Unknown bugcheck description"
    else:
        yield f"{result.name} ({result.code:x})"
    yield from result.text
    yield "Arguments:"
    for number, argument in enumerate(result.arguments, 1):
        meaning = f", {argument.meaning}" if argument.meaning is not None else ""
        yield from f"Arg{number}: {argument.value:016x}{meaning}".split("\n")


def banner_lines() -> Iterator[str]:
    """The box above every analysis."""
    yield _RULE
    yield f"*{' ' * 77}*"
    yield f"*{' ' * 24}Bugcheck Analysis{' ' * 36}*"
    yield f"*{' ' * 77}*"
    yield _RULE
    yield ""


def analysis_lines(result: Analysis) -> Iterator[Line]:
    """The whole of it, and behind the closing rule what WinDbg does not say."""
    yield from banner_lines()
    yield from description_lines(result.description)
    yield from ("", "Debugging Details:", "------------------", "", "")
    if result._is_verbose:
        yield from _key_lines(result.keys)
    yield from _bugcheck_lines(result)
    if result._is_verbose:
        yield from _file_lines(result)
        yield from _fault_lines(result)
        yield from _black_box_lines(result)
    if result.process is not None:
        yield from _labelled("PROCESS_NAME", result.process)
    if result._is_verbose:
        yield from _record_lines(result)
        yield from _stack_lines(result)
    yield from _culprit_lines(result)
    yield "Followup:     MachineOwner"
    yield CLOSING_RULE
    yield from _remarks(result)
    yield from result._irql_lines


def _labelled(label: str, value: object, gap: str = "  ") -> Iterator[Line]:
    yield f"{label}:{gap}{value}"
    yield ""


def _key_lines(keys: Dict[str, str]) -> Iterator[Line]:
    yield "KEY_VALUES_STRING: 1"
    yield ""
    for key in sorted(keys):
        yield f"    Key  : {key}"
        yield f"    Value: {keys[key]}"
        yield ""
    yield ""


def _bugcheck_lines(result: Analysis) -> Iterator[Line]:
    yield from _labelled("BUGCHECK_CODE", f"{bare_code(result.description.code):x}")
    for number, argument in enumerate(result.description.arguments, 1):
        yield from _labelled(f"BUGCHECK_P{number}", f"{argument.value:x}", " ")


def _file_lines(result: Analysis) -> Iterator[Line]:
    yield from _labelled("FILE_IN_CAB", result.file)
    if result.virtual_machine is not None:
        yield from _labelled("VIRTUAL_MACHINE", result.virtual_machine)
    if result.dump_attributes:
        yield from _labelled("DUMP_FILE_ATTRIBUTES", f"0x{result.dump_attributes:x}", " ")


# --- The fault ---------------------------------------------------------------


def _is_page_fault(result: Analysis) -> bool:
    return bare_code(result.description.code) == 0x50


def _address_lines(access: AccessFacts, is_page_fault: bool) -> Iterator[Line]:
    # WinDbg calls the address of a page fault in nonpaged memory READ_ADDRESS, even where it was written to.
    label = "WRITE_ADDRESS" if access.operation == "Write" and not is_page_fault else "READ_ADDRESS"
    yield (f"{label}:  ", Span(f"{access.address:016x}", "address", f"!pool {access.address:x}"), f" {access.region}")
    yield ""


def _fault_lines(result: Analysis) -> Iterator[Line]:
    """What stands before the black boxes."""
    access = result.access
    if result.pool_address is not None:
        label, address, region = result.pool_address
        yield (f"{label}:  ", Span(f"{address:016x}", "address", f"!pool {address:x}"), f" {region}")
        yield ""
    elif access is not None and access.source == "arguments":
        yield from _address_lines(access, _is_page_fault(result))
    if result.failed_instruction is not None and result.failed_instruction.is_paged_code:
        yield from _instruction_lines("IP_IN_PAGED_CODE", result.failed_instruction)
    if _is_page_fault(result):
        yield from _labelled("MM_INTERNAL_CODE", f"{result.description.arguments[3].value:x}")
        if _names_module_early(result):
            culprit = result.culprit
            yield from _labelled("IMAGE_NAME", culprit.image)
            yield from _labelled("MODULE_NAME", culprit.module, " ")
            yield from _labelled("FAULTING_MODULE", f"{culprit.base:016x} {culprit.module}", " ")
    if _has_trap_argument(result):
        yield from _context_lines(result)
        if result.exhausted_stack is not None:
            text = f"Stack Limit: {result.exhausted_stack:016x}. Use (kf) to investigate stack usage."
            yield from _labelled("STACK_OVERFLOW", text, " ")
        yield from _exception_lines(result)
    elif _is_context_record(result) or result.exception is not None:
        yield from _exception_lines(result)
        if _is_context_record(result):
            yield from _context_lines(result)


def _names_module_early(result: Analysis) -> bool:
    """Whether the module is named before the stack: that of the instruction which an argument gives."""
    access, culprit = result.access, result.culprit
    if access is None or access.instruction_pointer is None or culprit.base is None or not _is_page_fault(result):
        return False
    return culprit.frame is not None and result.frames[culprit.frame].instruction == access.instruction_pointer


def _is_context_record(result: Analysis) -> bool:
    return result.failing_context is not None and result.failing_context.kind == "context record"


def _has_trap_argument(result: Analysis) -> bool:
    """Whether the trap frame was an argument of the bugcheck: it then stands before the black boxes."""
    failing = result.failing_context
    if failing is None or failing.kind != "trap frame":
        return False
    return any(argument.value == failing.address for argument in result.description.arguments)


def _context_lines(result: Analysis) -> Iterator[Line]:
    failing = result.failing_context
    if failing is None or failing.address is None or failing.kind not in ("trap frame", "context record"):
        return
    label, command = ("TRAP_FRAME", ".trap") if failing.kind == "trap frame" else ("CONTEXT", ".cxr")
    link = f"{command} 0x{failing.address:x}"
    yield (f"{label}:  {failing.address:016x} -- (", Span(link, "address", link), ")")
    yield from register_block_lines(failing.registers)
    yield "Resetting default scope"
    yield ""


def _exception_lines(result: Analysis) -> Iterator[Line]:
    address, block = result.exception_address, result.exception
    if address is None or block is None:
        return
    link = f".exr 0x{address:x}"
    yield (f"EXCEPTION_RECORD:  {address:016x} -- (", Span(link, "address", link), ")")
    yield from exception_block_lines(block)
    yield ""


def _black_box_lines(result: Analysis) -> Iterator[Line]:
    for box in result.black_boxes:
        if box.command is None:
            yield from _labelled(box.name, 1, " ")
        else:
            yield (f"{box.name}: 1 (", Span(box.command, None, box.command), ")")
            yield ""
            yield ""


# --- Behind the process ------------------------------------------------------


def _record_lines(result: Analysis) -> Iterator[Line]:
    access = result.access
    if access is not None and access.source != "arguments":
        yield from _address_lines(access, False)
    for label, address, link in (
        ("PROCESS_OBJECT", result.subject, "!process"),
        ("DEVICE_OBJECT", result.device, "!devobj"),
        ("DRIVER_OBJECT", result.driver, "!drvobj"),
        ("IRP_ADDRESS", result.request.address if result.request is not None else None, "!irp"),
    ):
        if address is not None:
            yield (f"{label}: ", Span(f"{address:016x}", "address", f"{link} {address:x}"))
            yield ""
    if result.subject_name is not None:
        yield from _labelled("CRITICAL_PROCESS", result.subject_name)
    if result.status is not None:
        text = f" - {result.status_text}" if result.status_text else ""
        yield from _labelled("ERROR_CODE", f"(NTSTATUS) 0x{result.status:x}{text}", " ")
        if result.status in _DISK_ERRORS and bare_code(result.description.code) == 0x7A:
            yield from _labelled("DISK_HARDWARE_ERROR", "There was error with disk hardware", " ")
    if result.exception is not None:
        yield from _labelled("EXCEPTION_CODE_STR", f"{result.exception.code:x}")
        for number, parameter in enumerate(result.exception.parameters, 1):
            yield from _labelled(f"EXCEPTION_PARAMETER{number}", f"{parameter:016x}")
        yield from _labelled("EXCEPTION_STR", f"0x{result.exception.code:x}")
    if not _has_trap_argument(result) and not _is_context_record(result):
        yield from _context_lines(result)
    if result.failed_instruction is not None:
        yield from _instruction_lines("FAILED_INSTRUCTION_ADDRESS", result.failed_instruction)


def _instruction_lines(label: str, failed: FailedInstruction) -> Iterator[Line]:
    yield f"{label}: "
    if failed.symbol is not None:
        source = f" [{failed.source}]" if failed.source is not None else ""
        yield (Span(f"{failed.symbol}+{failed.displacement:x}", "symbol"), source)
    yield failed.instruction
    yield ""


def _stack_lines(result: Analysis) -> Iterator[Line]:
    if not result.frames:
        return
    yield "STACK_TEXT:  "
    for frame in result.frames:
        yield frame_line(frame, None, STACK_TEXT)
    yield ""
    yield ""
    culprit = result.culprit
    if culprit.source_file is not None:
        yield from _labelled("FAULTING_SOURCE_LINE", culprit.source_file)
        yield from _labelled("FAULTING_SOURCE_FILE", culprit.source_file)
        yield from _labelled("FAULTING_SOURCE_LINE_NUMBER", culprit.source_line)
        yield "FAULTING_SOURCE_CODE:  "
        yield f"No source found for '{culprit.source_file}'"
        yield ""
        yield ""


def _culprit_lines(result: Analysis) -> Iterator[Line]:
    culprit = result.culprit
    offset = f"+{culprit.offset:x}" if culprit.offset is not None else ""
    if culprit.symbol:
        yield from _labelled("SYMBOL_NAME", f"{culprit.symbol}{offset}")
    if not (result._is_verbose and _names_module_early(result)):
        yield from _labelled("MODULE_NAME", culprit.module or INCONCLUSIVE_MODULE, " ")
        yield from _labelled("IMAGE_NAME", culprit.image or INCONCLUSIVE_IMAGE)
    if result._is_verbose:
        yield from _labelled("STACK_COMMAND", result.stack_command)
        if culprit.offset is not None:
            yield from _labelled("BUCKET_ID_FUNC_OFFSET", f"{culprit.offset:x}")
    yield from _labelled("FAILURE_BUCKET_ID", result.bucket)
    if result._is_verbose:
        if result.version is not None:
            yield from _labelled("OS_VERSION", result.version)
            yield from _labelled("BUILDLAB_STR", result.branch)
        yield from _labelled("OSPLATFORM_TYPE", result.platform)
        yield from _labelled("OSNAME", result.system)
    yield from _labelled("FAILURE_ID_HASH", result.bucket_hash)


def _remarks(result: Analysis) -> Iterator[Line]:
    """How frames were found that could not be unwound, and what could not be known."""
    if result._is_verbose:
        yield from legend_lines(result.frames)
    number = result.culprit.frame
    if number is not None and result.frames[number].found_by == SCAN:
        yield (Span(f"Not certain: SYMBOL_NAME: a scan of the stack, which may err, found frame {number:x}", "dim"),)
    access = result.access
    if access is not None and access.not_canonical is not None:
        yield f"Address: {access.not_canonical:016x} was touched: it is not canonical, no memory can be there"
    if result.message is not None:
        yield f"Message: {result.message}"
    if result.exit_status is not None:
        from dumpkit.commands.analyze_details import exit_lines

        yield from exit_lines(result)
    if result.hardware is not None:
        from dumpkit.commands.analyze_details import hardware_lines

        yield from hardware_lines(result.hardware)
    if result.watchdog is not None:
        from dumpkit.commands.analyze_details import watchdog_lines

        yield from watchdog_lines(result.watchdog)
    if result.plug_and_play is not None:
        from dumpkit.commands.analyze_details import plug_and_play_lines

        yield from plug_and_play_lines(result.plug_and_play)
    if result.request is not None:
        yield from _request_lines(result.request)
    if result.thread is not None:
        yield from _thread_lines(result.thread)
    for words, found in (("Pool", result.allocation), ("Pool before it", result.allocation_before)):
        if found is not None:
            yield from _allocation_lines(words, found)
    for statement, why in result.unknown.items():
        if not statement.startswith(_QUIET):
            yield (Span(f"Not known: {statement}: {why}", "dim"),)
    for command, words in result.next:
        yield ("Next: ", Span(command, "symbol", command), f" shows {words}")


def _allocation_lines(words: str, found: PoolAllocation) -> Iterator[Line]:
    """Whose pool block it is, in a line; the page around it is `pool`'s to show."""
    link = Span(f"{found.address:016x}", "address", f"!pool {found.address:x}")
    if found.block is None:
        yield (f"{words}: ", link, " is in no block that can be told")
    else:
        state = {True: "allocated", False: "free", None: "damaged"}[found.allocated]
        kept = ", kept by a lookaside list" if found.in_lookaside else ""
        tag = f", tag {found.tag}" if found.tag is not None else ""
        what = f"{found.allocator} block {found.block:016x}, 0x{found.size or 0:x} bytes, {state}{kept}{tag}"
        yield (f"{words}: ", link, f" is in {what}")
    for problem in found.problems:
        yield (Span(f"{words}: {problem}", "dim"),)


def _request_lines(found: RequestSubjectFacts) -> Iterator[Line]:
    link = Span(f"{found.address:016x}", "address", f"!irp {found.address:x}")
    if found.major == "N/A":
        yield ("Request: ", link, " is at none of its stack locations: completed, or not sent")
        return
    what = found.major if found.minor == "N/A" else f"{found.major}, {found.minor}"
    yield ("Request: ", link, f" is {what}; it is with {found.driver or 'no driver that can be named'}")


def _thread_lines(found: ThreadSubjectFacts) -> Iterator[Line]:
    link = Span(f"{found.address:016x}", "address", f"t {found.address:x}")
    process = f" ({found.process})" if found.process is not None else ""
    reason = f", {found.wait_reason}" if found.wait_reason is not None else ""
    began = f"; it began at {found.start_symbol}" if found.start_symbol is not None else ""
    yield ("Thread: ", link, f"{process}: {found.state}{reason}{began}")
