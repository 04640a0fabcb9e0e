"""What exception handling leaves on a stack, found by its form: trap frames, context records, exception records.

For dumps without the images whose unwind data would lead there. Layouts: KTRAP_FRAME (ntddk.h), CONTEXT and
ARM64_NT_CONTEXT, EXCEPTION_RECORD and EXCEPTION_POINTERS (winnt.h).
"""

from __future__ import annotations

from struct import iter_unpack, unpack_from

from dumpkit.kernel.trap_frame import is_trap_frame
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: Stack bytes that are looked through: larger than any kernel stack (expanded ones have 72 KB).
STACK_LIMIT = 0x20000


class _Layout(NamedTuple):
    """Offsets in bytes, and the bits of ContextFlags that a context with its control registers has."""

    #: KTRAP_FRAME's instruction pointer.
    trap: int
    #: CONTEXT's instruction pointer, and its ContextFlags.
    context: int
    flags: int
    control: int


_LAYOUTS = {"x64": _Layout(0x168, 0xF8, 0x30, 0x10_0001), "ARM64": _Layout(0x148, 0x108, 0x0, 0x40_0001)}
#: CONTEXT.SegCs of x64.
_CONTEXT_CS = 0x38
#: EXCEPTION_RECORD.ExceptionAddress, and the size of a record without parameters.
_RECORD_ADDRESS, _RECORD_SIZE = 0x10, 0x20
_SELECTORS = ((0x10, (0, 0x18)), (0x33, (0x2B,)))


class StackWords:
    """The words of a stack from a virtual address up to the stack's end or its first hole."""

    def __init__(self, target: Target, start: int) -> None:
        self.target = target
        self.start = start & ~7
        self._layout = _LAYOUTS[target.architecture.name]
        self._is_x64 = target.architecture is X64
        self._data = target.memory.read_prefix(self.start, STACK_LIMIT)

    @property
    def end(self) -> int:
        """The first virtual address behind the words."""
        return self.start + len(self._data)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.start <= address < self.end

    def trap_frames(self, instruction: Optional[int] = None) -> Iterator[int]:
        """Virtual addresses of what can be trap frames, the lowest first; only those of an instruction, if given.

        Without one there are none of ARM64: nothing else would tell one.
        """
        if self._is_x64:
            return self._x64_trap_frames(instruction)
        places = () if instruction is None else self._at(instruction, self._layout.trap)
        return (self.start + offset for offset in places if is_trap_frame(self.target, self.start + offset))

    def _x64_trap_frames(self, instruction: Optional[int]) -> Iterator[int]:
        """Those whose selectors are the kernel's or a program's."""
        words = self._words()
        for index in range(self._layout.trap // 8, len(words) - 4):
            rip, cs, _, rsp, ss = words[index : index + 5]
            if not any(cs & 0xFFFF == code and ss & 0xFFFF in data for code, data in _SELECTORS):
                continue
            frame = self.start + 8 * index - self._layout.trap
            if instruction is None:
                if is_trap_frame(self.target, frame):
                    yield frame
            elif rip == instruction and rsp > frame:
                yield frame

    def contexts(self, instruction: int) -> Iterator[int]:
        """Virtual addresses of what can be CONTEXTs that stand at the instruction's address."""
        layout = self._layout
        for offset in self._at(instruction, layout.context):
            flags = unpack_from("<I", self._data, offset + layout.flags)[0]
            if flags & layout.control != layout.control:
                continue
            if not self._is_x64 or unpack_from("<H", self._data, offset + _CONTEXT_CS)[0] in (0x10, 0x33):
                yield self.start + offset

    def records(self, code: int, instruction: int) -> Iterator[int]:
        """Virtual addresses of what can be EXCEPTION_RECORDs of a code at an instruction's address."""
        for offset in self._at(instruction, _RECORD_ADDRESS):
            if unpack_from("<I", self._data, offset)[0] == code & 0xFFFF_FFFF:
                yield self.start + offset

    def _at(self, word: int, offset: int) -> Iterator[int]:
        """Offsets in the stack's bytes of structures that have a word at an offset."""
        for index, found in enumerate(self._words()):
            if found == word and 8 * index >= offset:
                yield 8 * index - offset

    def exception_pointers(self, code: int, instruction: int) -> Optional[Tuple[int, int, int]]:
        """Virtual addresses of EXCEPTION_POINTERS, record and context, of an exception of that code and address."""
        words = self._words()
        for index in range(len(words) - 1):
            record, context = words[index], words[index + 1]
            if record not in self or context not in self or record == context:
                continue
            found = self.target.memory.read_optional(record, _RECORD_SIZE)
            if found is None or unpack_from("<I", found, 0)[0] != code & 0xFFFF_FFFF:
                continue
            if unpack_from("<Q", found, _RECORD_ADDRESS)[0] == instruction:
                return self.start + 8 * index, record, context
        return None

    def _words(self) -> List[int]:
        return [word for (word,) in iter_unpack("<Q", self._data[: len(self._data) & ~7])]
