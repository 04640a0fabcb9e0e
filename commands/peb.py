"""`peb`: a process's environment block in user mode: its loader's lists, parameters and environment.

Format: the example of the !peb page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from functools import partial

from dumpkit.clock import moment
from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.process_environment import LoaderList, ProcessEnvironment, ProcessParameters
from dumpkit.numbers import padded
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

#: Field -> member of _RTL_USER_PROCESS_PARAMETERS.
_PATHS = {
    "current_directory": "CurrentDirectory.DosPath",
    "window_title": "WindowTitle",
    "image_file": "ImagePathName",
    "command_line": "CommandLine",
    "dll_path": "DllPath",
}
#: No process has more images loaded.
_MOST_MODULES = 4096


class LoaderModule(Record):
    """An image as the loader lists it."""

    base: Hex
    timestamp: Optional[Hex]
    path: str
    _linked: str = ""


class LoaderEnds(Record):
    """A list of the loader: the links of its first and its last entry."""

    name: str
    first: Hex
    last: Hex


class EnvironmentBlock(Record):
    """A PEB; addresses are the process's. What cannot be read is None."""

    address: Hex
    process: Hex
    #: Whether it is the second block of a 32-bit program.
    is_32_bit: bool
    inherited_address_space: Optional[bool]
    read_image_file_exec_options: Optional[bool]
    being_debugged: Optional[bool]
    image_base: Optional[Hex]
    loader: Optional[Hex]
    sub_system_data: Optional[Hex]
    process_heap: Optional[Hex]
    process_parameters: Optional[Hex]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]
    is_initialized: Optional[bool] = None
    lists: Tuple[LoaderEnds, ...] = ()
    modules: Tuple[LoaderModule, ...] = ()
    current_directory: Optional[str] = None
    window_title: Optional[str] = None
    image_file: Optional[str] = None
    command_line: Optional[str] = None
    dll_path: Optional[str] = None
    environment: Optional[Hex] = None
    #: NAME=VALUE.
    variables: Tuple[str, ...] = ()
    #: The second block of a 32-bit program.
    wow64: Optional[EnvironmentBlock] = None


def peb_lines(result: EnvironmentBlock) -> Iterator[Line]:
    wow64 = result.wow64
    if wow64 is not None:
        yield f"Wow64 PEB32 at {wow64.address:x}"
        yield from _head_lines(wow64, 8)
        yield from _place_lines(wow64, 8)
        yield ""
    yield f"{'Wow64 ' if wow64 is not None else ''}PEB at {result.address:016x}"
    yield from _head_lines(result, 16)
    if result.modules:
        yield f"{'Base':>24} TimeStamp                     Module"
    for module in result.modules:
        stamp = f"{module.timestamp:08x}" if module.timestamp is not None else "????????"
        yield (f"{module.base:>24x} {stamp} {module._linked:<20} ", Span(module.path, None))
    yield from _place_lines(result, 16)
    for line in result.problems:
        yield (Span(line, "dim"),)


def _head_lines(block: EnvironmentBlock, width: int) -> Iterator[Line]:
    for name, flag in (
        ("InheritedAddressSpace:", block.inherited_address_space),
        ("ReadImageFileExecOptions:", block.read_image_file_exec_options),
        ("BeingDebugged:", block.being_debugged),
    ):
        yield f"    {name:<25} {_answer(flag)}"
    yield f"    {'ImageBaseAddress:':<25} {padded(block.image_base, width)}"
    yield f"    {'Ldr':<25} {padded(block.loader, width)}"
    if block.loader and width == 16:
        yield f"    {'Ldr.Initialized:':<25} {_answer(block.is_initialized)}"
    for each in block.lists:
        yield f"    {f'Ldr.{each.name}:':<36} {each.first:016x} . {each.last:016x}"


def _place_lines(block: EnvironmentBlock, width: int) -> Iterator[Line]:
    yield f"    SubSystemData:     {padded(block.sub_system_data, width)}"
    yield f"    ProcessHeap:       {padded(block.process_heap, width)}"
    yield f"    ProcessParameters: {padded(block.process_parameters, width)}"
    for name, value in (
        ("CurrentDirectory:", block.current_directory),
        ("WindowTitle:", block.window_title),
        ("ImageFile:", block.image_file),
        ("CommandLine:", block.command_line),
        ("DllPath:", block.dll_path),
    ):
        if value is not None:
            yield f"    {name:<13} '{value}'"
    if block.environment is not None:
        yield f"    Environment:  {padded(block.environment, width)}"
        yield from (f"        {variable}" for variable in block.variables)


def _answer(flag: Optional[bool]) -> str:
    return "?" if flag is None else "Yes" if flag else "No"


@command(
    "peb",
    category="Kernel",
    summary="A process's environment block: modules, parameters, environment",
    arguments=(Expression("address", "a PEB in the current process; its own where it is left out"),),
    render=peb_lines,
)
def peb(session: Session, address: Optional[int] = None) -> EnvironmentBlock:
    """Shows the process environment block of the current process (`.process` chooses another): the loader's lists of
    images, what it was started with, its environment. A 32-bit program's second block (PEB32) comes first.

    It is user mode's memory, which kernel dumps do not hold; the line then says so.
    """
    process = Process(session.dump, session.process_address)
    found = ProcessEnvironment(process, address)
    try:
        # Its first byte: without it there is nothing to show, and one line says why.
        found.memory.read(found.address, 1)
    except MemoryReadError as error:
        raise DumpkitError(f"PEB at {found.address:016x} is not in the dump: {error.reason}") from error
    return _PebReader(found, session).block(address is None)


class _PebReader:
    """Reads a PEB's facts, and keeps what is missing."""

    def __init__(self, found: ProcessEnvironment, session: Session) -> None:
        self.found = found
        self.session = session
        self.gaps = Gaps()

    def _number(self, record: Any, member: str) -> Optional[Hex]:
        value: Optional[int] = self.gaps.read("the PEB", lambda: int(record.member(member)))
        return None if value is None else Hex(value)

    def _flag(self, record: Any, member: str) -> Optional[bool]:
        value = self._number(record, member)
        return None if value is None else bool(value)

    def block(self, with_wow64: bool) -> EnvironmentBlock:
        found, read = self.found, self.gaps.read
        facts = self._common(found.record)
        lists: List[LoaderList] = read("the loader's lists", found.loader_lists, [])
        facts["lists"] = tuple(LoaderEnds(each.name, Hex(each.first), Hex(each.last)) for each in lists)
        if facts["loader"]:
            facts["is_initialized"] = self._flag(found.record, "Ldr.Initialized")
            facts["modules"] = tuple(self._modules())
        parameters = read("the process parameters", lambda: found.parameters)
        if parameters is not None:
            facts.update(self._started_with(parameters))
        wow64 = read("the 32-bit PEB", lambda: found.wow64) if with_wow64 else None
        if wow64 is not None:
            # What lies behind its 32-bit pointers has no types in the kernel's symbols.
            facts["wow64"] = EnvironmentBlock(is_32_bit=True, problems=(), **self._common(wow64))
        return EnvironmentBlock(is_32_bit=False, problems=self.gaps.lines(), **facts)

    def _common(self, record: Any) -> Dict[str, Any]:
        """What both kinds of block have, and nothing of the rest."""
        return {
            "address": Hex(int(record)),
            "process": Hex(self.found.process.address),
            "inherited_address_space": self._flag(record, "InheritedAddressSpace"),
            "read_image_file_exec_options": self._flag(record, "ReadImageFileExecOptions"),
            "being_debugged": self._flag(record, "BeingDebugged"),
            "image_base": self._number(record, "ImageBaseAddress"),
            "loader": self._number(record, "Ldr"),
            "sub_system_data": self._number(record, "SubSystemData"),
            "process_heap": self._number(record, "ProcessHeap"),
            "process_parameters": self._number(record, "ProcessParameters"),
        }

    def _started_with(self, parameters: ProcessParameters) -> Dict[str, Any]:
        facts: Dict[str, Any] = {}
        what = "the process parameters"
        for field, path in _PATHS.items():
            facts[field] = self.gaps.read(what, partial(parameters.text, path))
        place = self.gaps.read(what, lambda: Hex(parameters.environment))
        facts["environment"] = place
        if place:
            variables, problem = self.gaps.read("the environment", parameters.variables, ([], None))
            self.gaps.add("the environment", problem)
            facts["variables"] = tuple(variables)
        return facts

    def _modules(self) -> Iterator[LoaderModule]:
        """The images in the order in which they were loaded."""
        found = self.found
        head = self.gaps.read("the loader's lists", lambda: found.record.Ldr.InLoadOrderModuleList)
        if head is None:
            return
        walk = head.iterate("_LDR_DATA_TABLE_ENTRY", "InLoadOrderLinks", _MOST_MODULES)
        for entry in walk:
            try:
                base, path = Hex(int(entry.DllBase)), str(entry.FullDllName.text())
            except DumpkitError as error:
                self.gaps.add("the loader's list of images", error)
                continue
            stamp = entry.get("TimeDateStamp")
            linked = str(moment(int(stamp), self.session.zone))[4:] if stamp and int(stamp) < 0x80000000 else ""
            yield LoaderModule(base, None if stamp is None else Hex(int(stamp)), path, linked)
        if not walk.complete:
            self.gaps.add("the end of the loader's list of images", walk.ended)
