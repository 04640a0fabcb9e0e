"""The way through the candidates of a stack, on candidates written down by hand."""

from __future__ import annotations

from struct import pack
from typing import Dict, List, Optional, Sequence

import pytest
from dumpkit.kernel.epilogue import Return
from dumpkit.kernel.stack_scan import Candidate
from dumpkit.kernel.stack_way import StackWay
from dumpkit.module import Module
from dumpkit.target_symbols import SymbolLocation

from tests.flat_memory import FlatMemory

BASE = 0xFFFFF80000000000
_MODULE = Module(BASE, 0x100000, "nt", "ntoskrnl.exe", "ntoskrnl.exe", 0, 0)


class _Names:
    """Functions 0x100 apart, and nothing else."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.symbols = self.target = self.unwinder = self
        self.memory = FlatMemory({BASE: bytes(0x1000 * (len(names) + 1))})

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        number, displacement = divmod(address - BASE, 0x1000)
        known = 0 <= number < len(self.names)
        return SymbolLocation(_MODULE, self.names[number] if known else None, displacement)

    def function_begin(self, address: int) -> Optional[int]:
        return None


class Stack:
    """Candidates one behind the other, each with its function's name and what else is told of it."""

    def __init__(self, *names: str) -> None:
        self.names = _Names(list(dict.fromkeys(names)))
        self.candidates: List[Candidate] = []
        self.called: Dict[int, str] = {}
        for name in names:
            self.add(name)

    def begin(self, name: str) -> int:
        return BASE + 0x1000 * self.names.names.index(name)

    def add(self, name: str) -> None:
        slot = 0x1008 + 0x40 * len(self.candidates)
        # No two return addresses are the same.
        address = self.begin(name) + 0x80 + 0x10 * len(self.candidates)
        self.candidates.append(Candidate(slot, address, False, None, slot + 8))

    def link(self, index: int, goal: int, is_unwound: bool = False) -> None:
        """Candidate `index` returns to candidate `goal`."""
        other = self.candidates[goal]
        link = Return(other.address, other.stack_pointer, {"rip": other.address, "rsp": other.stack_pointer})
        self.candidates[index] = self.candidates[index]._replace(link=link, is_unwound=is_unwound)

    def call(self, index: int, name: str) -> None:
        """The instruction before candidate `index` calls a function."""
        candidate = self.candidates[index]
        displacement = self.begin(name) - candidate.address
        self.names.memory.put(candidate.address - 5, b"\xe8" + pack("<i", displacement))
        self.candidates[index] = candidate._replace(is_call_site=True)

    def way(self) -> List[int]:
        return StackWay(self.names, self.candidates).choose()  # type: ignore[arg-type]


def test_what_nothing_speaks_against_stays() -> None:
    assert Stack("a", "b", "c", "d").way() == [1, 2, 3]


def test_what_lies_between_a_frame_and_where_it_leads_is_left_out() -> None:
    stack = Stack("a", "b", "c", "d")
    stack.link(1, 3)
    assert stack.way() == [1, 3]


def test_of_two_frames_that_lead_to_the_same_place_the_true_ones_link_counts() -> None:
    stack = Stack("a", "b", "c", "d")
    stack.link(0, 3)
    stack.link(2, 3)
    assert stack.way() == [3]


def test_there_is_no_way_but_the_one_that_unwind_data_tells() -> None:
    stack = Stack("a", "b", "c", "d", "e", "f")
    stack.link(0, 5, is_unwound=True)
    for index in range(1, 5):
        stack.link(index, index + 1)
    assert stack.way() == [5]


def test_a_candidate_whose_call_has_another_target_is_skipped_for_one_that_calls_the_function() -> None:
    stack = Stack("callee", "other", "caller", "outer")
    stack.call(1, "outer")
    stack.call(2, "callee")
    assert stack.way() == [2, 3]


def test_a_caller_that_calls_the_function_is_reached_over_what_says_nothing() -> None:
    stack = Stack("callee", "leftover", "caller", "outer")
    stack.call(2, "callee")
    assert stack.way() == [2, 3]


def test_a_call_of_a_dispatch_helper_says_nothing() -> None:
    stack = Stack("callee", "caller", "guard_dispatch_icall", "outer")
    stack.call(1, "guard_dispatch_icall")
    assert stack.way() == [1, 2, 3]


def test_a_function_that_one_other_calls_alone_is_followed_by_that() -> None:
    stack = Stack("RtlDispatchException", "leftover", "KdTrap", "KiDispatchException", "KiExceptionDispatch", "end")
    stack.link(1, 2)
    stack.link(2, 3)
    assert stack.way() == [3, 4, 5]


def test_where_no_known_caller_is_among_the_candidates_they_all_stay() -> None:
    assert Stack("RtlDispatchException", "a", "b").way() == [1, 2]


def test_a_far_symbol_is_no_begin_of_a_function() -> None:
    stack = Stack("memset", "caller")
    stack.candidates[0] = stack.candidates[0]._replace(address=BASE + 0x6861)
    stack.call(1, "memset")
    assert stack.way() == [1]


def test_a_machine_frame_leads_behind_the_stack_pointer_that_it_saved() -> None:
    stack = Stack("handler", "interrupted", "leftover", "caller")
    stack.candidates[1] = stack.candidates[1]._replace(
        is_machine_frame=True, stack_pointer=stack.candidates[3].slot - 8
    )
    assert stack.way() == [1, 3]


@pytest.mark.parametrize(
    ("callee", "caller"),
    [
        ("RtlpExecuteHandlerForException", "RtlDispatchException"),
        ("RtlDispatchException", "KiDispatchException"),
        ("KiDispatchException", "KiExceptionDispatch"),
        ("KiDispatchException", "KxExceptionDispatchOnExceptionStack"),
        ("KiExceptionDispatch", "KiPageFault"),
        ("KiBugCheckDispatch", "KiDoubleFaultAbortShadow"),
        ("ExpWorkerThread", "PspSystemThreadStartup"),
        ("PspSystemThreadStartup", "KxStartSystemThread"),
    ],
)
def test_what_only_certain_functions_call_was_called_by_one_of_them(callee: str, caller: str) -> None:
    assert Stack(callee, "KiDispatchIrp", "KeFault", caller).way() == [3]
