"""A stack without images: which of its words are return addresses.

Every word that points into a module's code is a candidate until something speaks against it: the
bytes before it are in the dump and no call ends there; the bytes at it are no code, or the start
of a function; or its code can be followed to a return (`dumpkit.kernel.epilogue`) and the stack
slot there holds no return address. Candidates whose code leads to another candidate's slot are
linked; the way through the stack with the most links is the answer, and what it skips was left
over from earlier calls.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import iter_unpack
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from dumpkit.disassembly.call_site import call_before
from dumpkit.disassembly.capstone_library import Decoder
from dumpkit.kernel.epilogue import Return, ReturnFinder
from dumpkit.memory import AddressSpace
from dumpkit.target import Target

#: Headers of an image, which no code stands in.
_HEADERS = 0x1000
#: Stack bytes that are looked through: larger than any kernel stack (expanded ones have 72 KB).
STACK_LIMIT = 0x20000
#: How far above its machine frame a trap's own call may have pushed its return address (sizeof KTRAP_FRAME at least).
_TRAP_FRAME = 0x200
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
    #: Where its function returns to, if its code could be followed.
    link: Optional[Return]
    #: The stack pointer at `address`.
    stack_pointer: int
    is_machine_frame: bool = False
    #: Whether its code leads to a stack slot that holds no return address.
    is_refuted: bool = False


class StackScanner:
    """Looks for return addresses on the x64 stacks of one target."""

    def __init__(self, target: Target, decode: Decoder) -> None:
        self.target = target
        self.memory: AddressSpace = target.memory
        self.finder = ReturnFinder(target.memory, decode, self.may_return_to)
        self._looks_like_code: Dict[int, bool] = {}

    def may_return_to(self, address: int) -> bool:
        """Whether a value can be a return address at all: 0 ends a thread's stack, any other lies in code."""
        if address == 0:
            return True
        module = self.target.module_at(address)
        return module is not None and address - module.base >= _HEADERS

    def candidates(self, start: int) -> List[Candidate]:
        """The candidates in the stack from virtual address `start` up to its end or first hole."""
        data = self.memory.read_prefix(start, STACK_LIMIT)
        words = [word for (word,) in iter_unpack("<Q", data[: len(data) & ~7])]
        lowest, highest = self._code_bounds()
        places = [index for index, word in enumerate(words) if lowest <= word < highest and self.may_return_to(word)]
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
        return [one for one in found if not one.is_refuted or one.stack_pointer in confirmed]

    def _code_bounds(self) -> Tuple[int, int]:
        """Virtual addresses that every module lies between."""
        modules = self.target.modules
        return (modules[0].base, max(module.end for module in modules)) if modules else (0, 0)

    def _machine_frame(self, slot: int, address: int, stack: int) -> Candidate:
        return Candidate(
            slot, address, False, self.finder.find({"rip": address, "rsp": stack}, has_called=False), stack, True
        )

    def _candidate(self, slot: int, address: int, in_trap: bool) -> Optional[Candidate]:
        """A word as a candidate, or None where something speaks against it."""
        call = call_before(self.memory, address)
        if call is False or not self._is_code(address, call is None):
            return None
        link = self.finder.find({"rip": address, "rsp": slot + 8})
        # Behind a call that never returns stand a nop or int3 and then another function. A trap's own call, to the
        # dispatcher of its exception, is one too.
        may_end_here = in_trap or self.memory.read_prefix(address, 1) in (b"\x90", b"\xcc")
        refuted = link is None and self.finder.refuted and not may_end_here
        return Candidate(slot, address, call is True, link, slot + 8, False, refuted)

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


class _Step(NamedTuple):
    """The best way from a candidate on: its score, the candidate after this one, and whether this one is on it."""

    score: int
    following: int
    is_on_it: bool


def best_way(candidates: Sequence[Candidate]) -> List[int]:
    """Indices of the candidates on the way with the most links, in order.

    Between linked ones, every candidate stays: nothing speaks against it. A machine frame counts as a link,
    and what lies between it and the stack pointer that it saved is left out.
    """
    by_stack = {candidate.stack_pointer: index for index, candidate in enumerate(candidates)}
    slots = [candidate.slot for candidate in candidates]
    count = len(candidates)
    steps: List[_Step] = [_Step(0, count, False)] * (count + 1)
    for index in range(count - 1, -1, -1):
        candidate = candidates[index]
        choices = [_Step(steps[index + 1].score, index + 1, not candidate.is_machine_frame)]
        worth = 1 if candidate.is_machine_frame else 0
        if candidate.is_machine_frame:
            behind = bisect_left(slots, candidate.stack_pointer, index + 1)
            choices.append(_Step(steps[behind].score + worth, behind, True))
        if candidate.link is not None and candidate.link.address == 0:
            choices.append(_Step(1 + worth, count, True))
        elif candidate.link is not None:
            goal = by_stack.get(candidate.link.stack_pointer)
            if goal is not None and goal > index:
                choices.append(_Step(steps[goal].score + 1 + worth, goal, True))
        # Of equal ways the last one, which leaves out what lies inside a frame.
        steps[index] = max(reversed(choices), key=lambda step: step.score)
    way = []
    index = 0
    while index < count:
        if steps[index].is_on_it:
            way.append(index)
        index = steps[index].following
    return way
