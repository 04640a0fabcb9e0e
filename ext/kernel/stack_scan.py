"""A stack that unwinding does not get through: which of its words are return addresses.

Every word that points into a module's code is a candidate until something speaks against it: the
bytes before it are there and no call ends there; the bytes at it are no code, or the start of a
function; its module's function table has no entry for it; the stack pointer there is no multiple
of 16, as the calling convention has it at every call; or its function can be unwound, or its code
followed to a return (`dumpkit.kernel.epilogue`), and the stack slot there holds no return address.
Candidates that lead to another candidate's slot are linked; `dumpkit.kernel.stack_way` chooses
among them.
"""

from __future__ import annotations

from struct import iter_unpack

from dumpkit.disassembly.call_site import call_before
from dumpkit.disassembly.capstone_library import Decoder
from dumpkit.errors import UnwindError
from dumpkit.kernel.epilogue import Return, ReturnFinder
from dumpkit.kernel.unwind import Unwinder
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Tuple

#: What the calling convention keeps the stack pointer a multiple of, outside of prologues and epilogues.
_ALIGNMENT = 16
#: Headers of an image, which no code stands in.
_HEADERS = 0x1000
#: Stack bytes that are looked through: larger than any kernel stack (expanded ones have 72 KB).
STACK_LIMIT = 0x20000
#: How far above its machine frame a trap's own call may have pushed its return address (sizeof KTRAP_FRAME at least).
_TRAP_FRAME = 0x200
#: KTRAP_FRAME.Rip (ntddk.h, AMD64): where the machine frame begins in a trap frame.
_TRAP_RIP = 0x168
#: Links in a row that make a frame certain.
_SURE = 3
#: Instructions that are looked at to tell code from data.
_PROBE = 8

#: What kernel code at a return address does not hold soon: port and string I/O, far transfers, x87, BCD remains.
_UNLIKELY = frozenset(
    "in out insb insd outsb outsd hlt iretd retf salc into enter xlatb lahf sahf cmc arpl bound sldt str".split()
)
#: First bytes of functions: a saved register, a push, or the frame's allocation.
_PROLOGUES = tuple(
    bytes.fromhex(text)
    for text in (
        "48895c24 48896c24 48897424 48897c24 48894c24 48895424 4c894424 4c894c24 894c2408 "
        "4053 4055 4056 4057 4154 4155 4156 4157 4883ec 4881ec 488bc4 4c8bdc"
    ).split()
)


class Candidate(NamedTuple):
    """A stack word that may be a return address, or the rip of a machine frame."""

    #: Virtual address of the word.
    slot: int
    #: What it holds.
    address: int
    #: Whether a call is known to end there.
    is_call_site: bool
    #: Where its function returns to, if it could be unwound or its code be followed.
    link: Optional[Return]
    #: The stack pointer at `address`.
    stack_pointer: int
    is_machine_frame: bool = False
    #: Whether it leads to a stack slot that holds no return address.
    is_refuted: bool = False
    #: Whether unwind data tells the link, so that there is no other way on.
    is_unwound: bool = False


class StackScanner:
    """Looks for return addresses on the x64 stacks of one target."""

    def __init__(self, target: Target, decode: Decoder, unwinder: Unwinder) -> None:
        self.target = target
        #: Virtual memory, with the code of images that the symbol path leads to.
        self.memory = _memory_and_code(target)
        self.unwinder = unwinder
        self.finder = ReturnFinder(self.memory, decode, self.may_return_to)
        self._looks_like_code: Dict[int, bool] = {}
        self._ends_a_call: Dict[int, Optional[bool]] = {}

    def may_return_to(self, address: int) -> bool:
        """Whether a value may be a return address: 0 ends a thread's stack, any other lies behind a call."""
        return address == 0 or (self._is_in_module(address) and self._is_return_address(address))

    def _is_in_module(self, address: int) -> bool:
        module = self.target.module_at(address)
        return module is not None and address - module.base >= _HEADERS

    def _is_return_address(self, address: int) -> bool:
        call = self.call_before(address)
        if call is False or self.unwinder.has_entry(address) is False:
            return False
        return self._is_code(address, call is None)

    def call_before(self, address: int) -> Optional[bool]:
        """Whether a call ends at a virtual address; None where the bytes before it are not there to tell."""
        if address not in self._ends_a_call:
            self._ends_a_call[address] = call_before(self.memory, address)
        return self._ends_a_call[address]

    def link(self, registers: Dict[str, int], has_called: bool) -> Tuple[Optional[Return], bool, bool]:
        """Where a frame returns to, whether unwind data tells it, and whether that is no place to return to."""
        try:
            unwound = self.unwinder.unwind(registers, has_called)
        except UnwindError:
            link = self.finder.find(registers, has_called)
            return link, False, link is None and self.finder.refuted
        address = unwound.registers["rip"]
        if not unwound.is_machine_frame and not self.may_return_to(address):
            return None, True, True
        return Return(address, unwound.registers["rsp"], unwound.registers, unwound.is_machine_frame), True, False

    def candidates(self, start: int) -> List[Candidate]:
        """The candidates in the stack from virtual address `start` up to its end or first hole."""
        data = self.memory.read_prefix(start, STACK_LIMIT)
        words = [word for (word,) in iter_unpack("<Q", data[: len(data) & ~7])]
        lowest, highest = self._code_bounds()
        places = [index for index, word in enumerate(words) if lowest <= word < highest and self._is_in_module(word)]
        frames = {index for index in places if _is_machine_frame(words[index : index + 5], start + 8 * index)}
        found: List[Candidate] = []
        #: Stack pointer -> how many links in a row lead there.
        depths: Dict[int, int] = {}
        behind = 0
        for index in places:
            slot = start + 8 * index
            if slot < behind:
                continue
            if index in frames:
                candidate: Optional[Candidate] = self._machine_frame(slot, words[index], words[index + 3])
            else:
                in_trap = any(index < frame <= index + _TRAP_FRAME // 8 for frame in frames)
                candidate = self._candidate(slot, words[index], in_trap)
            if candidate is None:
                continue
            found.append(candidate)
            link = candidate.link
            if link is not None:
                depth = depths.get(candidate.stack_pointer, 0) + 1
                depths[link.stack_pointer] = max(depth, depths.get(link.stack_pointer, 0))
                if depth > _SURE and not candidate.is_machine_frame:
                    # So many links are no accident: what lies inside this frame needs no look.
                    behind = link.stack_pointer - 8
        # The code behind a call that never returns is another function's, so what another candidate's code
        # leads to is not refuted by its own.
        confirmed = {candidate.link.stack_pointer for candidate in found if candidate.link is not None}
        found = [one for one in found if not one.is_refuted or one.stack_pointer in confirmed]
        return self._without_trapped(found, words, start)

    def _without_trapped(self, found: List[Candidate], words: Sequence[int], start: int) -> List[Candidate]:
        """Candidates without those inside a trap frame: between a handler's return address, pushed right below it, and
        the machine frame that ends it. Saved registers and what an earlier call left in the gaps look like calls there.

        What was trapped is a candidate, too, where its rip is in no module.
        """
        known = {one.slot for one in found}
        traps: List[int] = []
        for one in list(found):
            slot = one.stack_pointer + _TRAP_RIP
            index = (slot - start) // 8
            if one.is_machine_frame or not _is_machine_frame(words[index : index + 5], slot):
                continue
            traps.append(one.stack_pointer)
            if slot not in known and words[index] >> 47:
                found.append(self._machine_frame(slot, words[index], words[index + 3]))
        if not traps:
            return found
        outside = [one for one in found if not any(trap <= one.slot < trap + _TRAP_RIP for trap in traps)]
        return sorted(outside, key=lambda one: one.slot)

    def _code_bounds(self) -> Tuple[int, int]:
        """Virtual addresses that every module lies between."""
        modules = self.target.modules
        return (modules[0].base, max(module.end for module in modules)) if modules else (0, 0)

    def _machine_frame(self, slot: int, address: int, stack: int) -> Candidate:
        link, is_unwound, _ = self.link({"rip": address, "rsp": stack}, False)
        return Candidate(slot, address, False, link, stack, True, False, is_unwound)

    def _candidate(self, slot: int, address: int, in_trap: bool) -> Optional[Candidate]:
        """A word as a candidate, or None where something speaks against it."""
        if (slot + 8) % _ALIGNMENT or not self._is_return_address(address):
            return None
        call = self.call_before(address)
        link, is_unwound, refuted = self.link({"rip": address, "rsp": slot + 8}, True)
        if refuted and not is_unwound:
            # Behind a call that never returns stand a nop or int3 and then another function. A trap's own call, to
            # the dispatcher of its exception, is one too.
            refuted = not in_trap and self.memory.read_prefix(address, 1) not in (b"\x90", b"\xcc")
        return Candidate(slot, address, call is True, link, slot + 8, False, refuted, is_unwound)

    def _is_code(self, address: int, may_be_entry: bool) -> bool:
        """Whether the bytes at an address, where the dump has them, look like code inside a function."""
        known = self._looks_like_code.get(address)
        if known is None:
            known = self._looks_like_code[address] = self._probe(address, may_be_entry)
        return known

    def _probe(self, address: int, may_be_entry: bool) -> bool:
        code = self.memory.read_prefix(address, _PROBE * 15)
        if not code:
            return True
        if may_be_entry and address % 16 == 0 and code.startswith(_PROLOGUES):
            return False
        end = address + len(code)
        for _ in range(_PROBE):
            decoded = self.finder.instruction(address)
            if decoded is None:
                return address + 15 > end
            name = decoded.mnemonic
            if name in _UNLIKELY or name[0] == "f" or (name == "add" and decoded.operands == "byte ptr [rax], al"):
                return False
            if name in ("ret", "jmp", "int3"):
                return True
            address += decoded.size
        return True


def _is_machine_frame(words: Sequence[int], slot: int) -> bool:
    """Whether five words are what the processor pushes for an interrupt: rip, cs, rflags, rsp, ss.

    Selectors are those of 64-bit Windows: kernel 10 and 18, user 33 and 2B. Bit 1 of the flags is always set.
    """
    if len(words) < 5 or words[1] not in (0x10, 0x33):
        return False
    _, cs, flags, stack, ss = words
    if flags >= 1 << 22 or not flags & 2 or ss not in (0, 0x18, 0x2B):
        return False
    if cs == 0x10:
        return slot < stack < slot + STACK_LIMIT and stack % 8 == 0
    return stack < 1 << 47


def _memory_and_code(target: Target) -> AddressSpace:
    search = target.image_search
    if search is None or not search.has_places:
        return target.memory
    from dumpkit.module_code import ModuleCode

    return ModuleCode(target)
