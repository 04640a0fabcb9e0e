"""What `analyze` says of a crash, as data."""

from __future__ import annotations

from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

    from dumpkit.commands.contexts import ExceptionBlock, RegisterBlock
    from dumpkit.commands.stack import StackFrame
    from dumpkit.kernel.analysis.dpc_watchdog import DpcWatchdog
    from dumpkit.kernel.analysis.hardware_error import HardwareError
    from dumpkit.kernel.analysis.plug_and_play import PlugAndPlay
    from dumpkit.kernel.irql_findings import IrqlVerdict
    from dumpkit.kernel.pool.allocation import PoolAllocation
    from dumpkit.output import Line


class Argument(Record):
    """An argument of a bugcheck; `meaning` is None where nothing is known of it."""

    value: Hex
    meaning: Optional[str]


class BugcheckDescription(Record):
    """What a bugcheck is."""

    code: Hex
    name: Optional[str]
    text: Tuple[str, ...]
    arguments: Tuple[Argument, ...]


class FailingContextFacts(Record):
    """The registers at the fault and the record that they were read from."""

    #: "trap frame", "context record", "thread", "processor" or "crash" (as the processor stopped).
    kind: str
    #: Virtual address of the record or thread, or the processor's number.
    address: Optional[Hex]
    #: Whether an instruction is known to have faulted there.
    is_fault: bool
    instruction_pointer: Hex
    registers: RegisterBlock


class AccessFacts(Record):
    """The memory that the fault touched."""

    address: Hex
    #: What the instruction touched by its registers, where that is an address that the processor knows none of: the
    #: fault then says ffffffffffffffff.
    not_canonical: Optional[Hex]
    #: "Read", "Write" or "Execute"; None where nothing says it.
    operation: Optional[str]
    instruction_pointer: Optional[Hex]
    #: "Paged pool" and so on; "" where that is not known.
    region: str
    #: "arguments" or "exception record".
    source: str


class FailedInstruction(Record):
    """An instruction that could not be fetched."""

    #: `module!function`, the module alone, or None outside every module; and the distance behind it.
    symbol: Optional[str]
    displacement: Hex
    source: Optional[str]
    instruction: str
    #: Whether it lies in code that may be paged out.
    is_paged_code: bool


class CulpritFacts(Record):
    """Who is blamed; all None where nobody can be."""

    symbol: str
    offset: Optional[Hex]
    module: Optional[str]
    image: Optional[str]
    base: Optional[Hex]
    #: Number of its frame in `frames`, or None where an argument decided.
    frame: Optional[int]
    source_file: Optional[str]
    source_line: Optional[int]


class ThreadSubjectFacts(Record):
    """The thread that the bugcheck is about."""

    address: Hex
    process: Optional[str]
    state: Optional[str]
    wait_reason: Optional[str]
    #: Where it began: whose thread it is.
    start: Optional[Hex]
    start_symbol: Optional[str]


class RequestSubjectFacts(Record):
    """The IRP that the bugcheck is about."""

    address: Hex
    major: str
    minor: str
    #: The driver that has it.
    driver: Optional[str]
    #: The devices of its stack locations, the lowest driver's first.
    devices: Tuple[Hex, ...]


class BlackBoxFacts(Record):
    """A black box that the dump has."""

    name: str
    command: Optional[str]
    size: int


class Analysis(Record):
    """All that `analyze` found out, and what it rests on."""

    description: BugcheckDescription
    file: str
    virtual_machine: Optional[str]
    dump_attributes: Optional[Hex]
    access: Optional[AccessFacts]
    failed_instruction: Optional[FailedInstruction]
    #: Label, address and region of an argument that is an address in a pool.
    pool_address: Optional[Tuple[str, Hex, str]]
    #: The pool block that the address is in, as `pool` knows it.
    allocation: Optional[PoolAllocation]
    #: The block before the one at an argument's address, whose owner may have written too far.
    allocation_before: Optional[PoolAllocation]
    exception_address: Optional[Hex]
    exception: Optional[ExceptionBlock]
    failing_context: Optional[FailingContextFacts]
    #: Where the stack ends that a double fault came on, when it was full.
    exhausted_stack: Optional[Hex]
    black_boxes: Tuple[BlackBoxFacts, ...]
    #: The name of the process in whose address space the processor was.
    process: Optional[str]
    #: The process that the bugcheck is about, where it is about one.
    subject: Optional[Hex]
    subject_name: Optional[str]
    #: The NTSTATUS that it ended with, the text of that, and the process that ended it.
    exit_status: Optional[Hex]
    exit_status_text: Optional[str]
    ended_by: Optional[str]
    device: Optional[Hex]
    driver: Optional[Hex]
    request: Optional[RequestSubjectFacts]
    thread: Optional[ThreadSubjectFacts]
    #: A text that an argument points to, which says more.
    message: Optional[str]
    #: What the hardware reported, where the bugcheck is about that.
    hardware: Optional[HardwareError]
    #: What the watchdog of DPCs saw, where the bugcheck is its.
    watchdog: Optional[DpcWatchdog]
    #: The devices that the bugcheck is about, and the power requests under way.
    plug_and_play: Optional[PlugAndPlay]
    status: Optional[Hex]
    status_text: Optional[str]
    frames: Tuple[StackFrame, ...]
    stack_command: str
    culprit: CulpritFacts
    bucket: str
    bucket_hash: str
    version: Optional[str]
    branch: Optional[str]
    platform: str
    system: str
    keys: Dict[str, str]
    #: What each statement rests on, and why others cannot be made.
    evidence: Dict[str, str]
    unknown: Dict[str, str]
    #: Commands that say more of such a crash, each with what it shows.
    next: Tuple[Tuple[str, str], ...]
    #: The verdict on the IRQLs of the stack's routines; None where there is none.
    irql: Optional[IrqlVerdict]
    _is_verbose: bool
    _irql_lines: Tuple[Line, ...]
