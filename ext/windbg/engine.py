"""The calls into WinDbg's engine: what pykd gives, typed, its exceptions put into words. Nothing here changes a target.

What pykd has no call for is asked as a command; the formats are those of dbgeng 10.0.15063 and later.
"""

from __future__ import annotations

import re
from struct import pack

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import ExceptionRecord
from dumpkit.windbg import pykd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

_UPPER_HALF = 1 << 63

#: `.dumpdebug`: "NumberProcessors    00000006", "KdDebuggerDataBlock fffff802`04c00b20".
_HEADER_FIELD = re.compile(r"^ *(\w+) +([0-9a-f`]+) *$", re.MULTILINE)
#: `.dumpdebug` of a minidump: "  fffff804`7c62a7a0 - fffff804`7c62a83b at offset 000206a8".
_BLOCK = re.compile(r"^ +([0-9a-f`]{17}) - [0-9a-f`]{17} at offset", re.MULTILINE)
#: `||`: ".  0 64-bit Kernel bitmap dump: C:\\MEMORY.DMP".
_SYSTEM = re.compile(r"^\. +\d+ (.*?)(?:: (.*))?$", re.MULTILINE)


class Row(NamedTuple):
    """A line of `lm`. Addresses are virtual; `flag` is the letter before the state; `file` the symbols'."""

    base: int
    end: int
    name: str
    flag: str
    state: str
    file: str


#: "fffff802`04000000 fffff802`05047000   nt       M (pdb symbols)          c:\\symbols\\ntkrnlmp.pdb"
_ROW = re.compile(r"^([0-9a-f`]{17}) ([0-9a-f`]{17})   (\S+) +(?:(\S) +)?\(([^)]*)\) *(.*?) *$")
_PATH_ROW = re.compile(r"^([0-9a-f`]{17}) ([0-9a-f`]{17})   (\S+) +(.*?) *$")


def address_of_text(text: str) -> int:
    """An address as the engine prints it, with or without a back-tick."""
    return int(text.replace("`", ""), 16)


class Engine:
    """The engine of the debugger that this Python runs in, and its current target."""

    def command(self, text: str) -> str:
        """What a command prints. Raises DumpkitError where the engine refuses it."""
        try:
            return pykd.dbgCommand(text) or ""
        except pykd.DbgException as error:
            raise DumpkitError(f"WinDbg refuses the command {text}: {_first_line(error)}") from error

    def command_optional(self, text: str) -> str:
        """As `command`; empty where the engine refuses it."""
        try:
            return self.command(text)
        except DumpkitError:
            return ""

    # --- Memory --------------------------------------------------------------

    def read(self, address: int, size: int, physical: bool = False) -> Optional[bytes]:
        """Exactly `size` bytes of virtual or physical memory, or None where one of them cannot be read."""
        try:
            if size & 7:
                return bytes(pykd.loadBytes(address, size, physical))
            count = size >> 3
            return pack(f"<{count}Q", *pykd.loadQWords(address, count, physical))
        except (pykd.MemoryException, pykd.DbgException, OverflowError):
            return None

    # --- Registers -----------------------------------------------------------

    def register(self, name: str) -> Optional[int]:
        """The value of a current register; None where there is none of that name, or none that fits 64 bits."""
        try:
            value = pykd.reg(name)
        except pykd.DbgException:
            return None
        return int(value) & 0xFFFF_FFFF_FFFF_FFFF

    def vector(self, name: str) -> Optional[int]:
        """The 128 bits of a vector register (xmm0), or None."""
        match = re.search(r"=\s*([0-9a-f]{16}) +([0-9a-f]{16})", self.command_optional(f"r {name}:uq"))
        return int(match.group(1) + match.group(2), 16) if match is not None else None

    def expression(self, text: str) -> Optional[int]:
        """The value of an expression in the engine's own syntax, or None where it refuses it."""
        try:
            value = pykd.expr(text)
        except pykd.DbgException:
            return None
        return int(value) & 0xFFFF_FFFF_FFFF_FFFF if value is not None else None

    @property
    def processor(self) -> int:
        """The number of the current processor: that of the engine's thread, of which a kernel has one for each."""
        return int(pykd.getCurrentThreadId())

    @property
    def thread(self) -> Optional[int]:
        """The virtual address of the thread that `.thread` chose or the current processor runs, or None."""
        return _optional_address(pykd.getImplicitThread)

    @property
    def process(self) -> Optional[int]:
        """The virtual address of the process that `.process` chose or the current processor runs, or None."""
        return _optional_address(pykd.getImplicitProcess)

    @property
    def frame(self) -> int:
        """The number of the frame that `.frame` chose."""
        try:
            return int(pykd.getFrameNumber())
        except pykd.DbgException:
            return 0

    @property
    def radix(self) -> int:
        """The base of numbers without a prefix, as `n` set it."""
        match = re.search(r"base is (\d+)", self.command_optional("n"))
        return int(match.group(1)) if match is not None else 16

    # --- The target ----------------------------------------------------------

    @property
    def has_target(self) -> bool:
        """Whether there is a target at all."""
        return _SYSTEM.search(self.command_optional("||")) is not None

    @property
    def is_kernel(self) -> bool:
        """Whether the target is a kernel."""
        try:
            return bool(pykd.isKernelDebugging())
        except pykd.DbgException:
            return False

    @property
    def is_dump(self) -> bool:
        """Whether the target is a dump, not a machine that runs."""
        return bool(pykd.isDumpAnalyzing())

    @property
    def is_triage(self) -> bool:
        """Whether the target is a minidump, which has no physical memory."""
        return bool(pykd.getDumpType() == pykd.dumpType.KernelSmall)

    @property
    def machine(self) -> Tuple[int, str]:
        """IMAGE_FILE_MACHINE_* of the target, and the engine's words for it."""
        words = self.command_optional(".effmach")
        for machine, sign in ((0x8664, "x64"), (0xAA64, "ARM64"), (0xAA64, "ARM 64"), (0x14C, "x86")):
            if sign in words:
                return machine, sign
        return 0, words.strip() or "unknown"

    def system_words(self) -> Tuple[str, Optional[str]]:
        """What sort of target it is in the engine's words, and the path of its dump."""
        match = _SYSTEM.search(self.command_optional("||"))
        return (match.group(1), match.group(2)) if match is not None else ("kernel", None)

    def header(self) -> dict[str, int]:
        """The fields of a dump's header by their names in ntdbg.h; empty where the target is no dump."""
        if not self.is_dump:
            return {}
        text = self.command_optional(".dumpdebug")
        return {name: address_of_text(value) for name, value in _HEADER_FIELD.findall(text)}

    def block_starts(self) -> List[int]:
        """Where the blocks of a minidump's memory begin: virtual addresses, in no order."""
        found: List[Optional[int]] = [
            address_of_text(start) for start in _BLOCK.findall(self.command_optional(".dumpdebug"))
        ]
        header = self.header()
        found += [header.get("TopOfStack"), header.get("KdDebuggerDataBlock"), self.thread, self.process]
        return [start for start in found if start]

    def bugcheck(self) -> Optional[Tuple[int, Tuple[int, int, int, int]]]:
        """The stop code and its arguments, or None where the engine has none."""
        try:
            code, *arguments = pykd.bugCheckData()
        except pykd.DbgException:
            return None
        one, two, three, four = (int(argument) & 0xFFFF_FFFF_FFFF_FFFF for argument in arguments)
        return int(code), (one, two, three, four)

    def exception(self) -> Optional[ExceptionRecord]:
        """The exception of the last event, or None where the engine has none."""
        try:
            last = pykd.getLastException()
        except pykd.DbgException:
            return None
        parameters = tuple(int(parameter) for parameter in last.parameters)
        code, flags = int(last.exceptionCode), int(last.exceptionFlags)
        return ExceptionRecord(code, flags, int(last.exceptionRecord), int(last.exceptionAddress), parameters)

    def tagged(self, guid: str) -> Optional[bytes]:
        """The data that the dump has under a GUID (lower case, no braces), or None."""
        try:
            return bytes(pykd.loadTaggedBuffer(guid))
        except pykd.DbgException:
            return None

    # --- Modules -------------------------------------------------------------

    def modules(self) -> List[Any]:
        """pykd's modules, loaded ones only."""
        return [module for module in pykd.getModulesList() if not module.unloaded()]

    def module_rows(self) -> Tuple[List[Row], str]:
        """The rows of `lm` for the loaded modules, and the text of the unloaded ones below them."""
        loaded, _, unloaded = self.command_optional("lm").partition("Unloaded modules:")
        rows = []
        for line in loaded.splitlines():
            match = _ROW.match(line)
            if match is not None:
                base, end, name, flag, state, file = match.groups()
                rows.append(Row(address_of_text(base), address_of_text(end), name, flag or "", state, file))
        return rows, unloaded

    def module_paths(self) -> dict[int, str]:
        """The paths that the loader recorded, by base."""
        found = {}
        for line in self.command_optional("lm f").partition("Unloaded modules:")[0].splitlines():
            match = _PATH_ROW.match(line)
            if match is not None:
                found[address_of_text(match.group(1))] = match.group(4)
        return found

    @property
    def symbol_path(self) -> str:
        """The symbol path, `.sympath`, and behind it the one for images, `.exepath`."""
        images = re.search(r"^Executable image search path is: (.*)$", self.command_optional(".exepath"), re.MULTILINE)
        return ";".join(path for path in (str(pykd.getSymbolPath()), images.group(1) if images else "") if path)

    def load_symbols(self, name: str, trusting: bool = False) -> None:
        """Have the engine look for a module's symbols, if it has not yet."""
        self.command_optional(f".reload /f /i {name}" if trusting else f"ld {name}")

    def image_file(self, name: str) -> Optional[str]:
        """The file that the engine reads a module's image from where the target lacks it, or None."""
        match = re.search(r"^ *Mapped memory image file: (.*?) *$", self.command_optional(f"lmvm {name}"), re.MULTILINE)
        return match.group(1) if match is not None else None


def _optional_address(ask: Any) -> Optional[int]:
    try:
        address = int(ask()) & 0xFFFF_FFFF_FFFF_FFFF
    except pykd.DbgException:
        return None
    return address or None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
