"""Contracts that depend on an argument: what a routine's remarks say, where the code tells the argument.

The remarks are those of Microsoft's DDI reference; an argument's place is that of the x64 calling convention: a
register, or the operand of a stack slot as the caller writes it.
"""

from __future__ import annotations

from dumpkit.kernel.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL
from dumpkit.kernel.irql_contracts import Contract
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Mapping, Optional, Sequence

#: Where arguments stand that a condition asks for: the fifth to the seventh are on the stack.
PLACES = ("rcx", "rdx", "r8", "r9", "rsp + 0x20", "rsp + 0x28", "rsp + 0x30")

#: POOL_FLAG_PAGED and POOL_FLAG_NON_PAGED of wdm.h; the other kinds of POOL_TYPE that are paged have bit 0 set.
_FLAG_PAGED, _FLAG_NON_PAGED = 0x100, 0x40


class _Answer(NamedTuple):
    """The highest level under a condition, and the condition in words; None where the argument leaves it open."""

    maximum: int
    because: str


class _Condition(NamedTuple):
    place: str
    decide: Callable[[int], Optional[_Answer]]


def _wait(timeout: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its Timeout is NULL") if timeout == 0 else None


def _set_event(wait: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its Wait is TRUE") if wait & 0xFF else _Answer(DISPATCH_LEVEL, "")


def _release(wait: int) -> Optional[_Answer]:
    return _Answer(PASSIVE_LEVEL, "its Wait is TRUE") if wait & 0xFF else _Answer(DISPATCH_LEVEL, "")


def _pool_type(kind: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its pool is paged") if kind & 1 else _Answer(DISPATCH_LEVEL, "")


def _pool_flags(flags: int) -> Optional[_Answer]:
    if flags & _FLAG_PAGED:
        return _Answer(APC_LEVEL, "its pool is paged")
    return _Answer(DISPATCH_LEVEL, "") if flags & _FLAG_NON_PAGED else None


_CONDITIONS: Dict[str, _Condition] = {
    "KeWaitForSingleObject": _Condition("rsp + 0x20", _wait),
    "KeWaitForMutexObject": _Condition("rsp + 0x20", _wait),
    "KeWaitForMultipleObjects": _Condition("rsp + 0x30", _wait),
    "KeSetEvent": _Condition("r8", _set_event),
    "KeReleaseSemaphore": _Condition("r9", _release),
    "ExAllocatePool2": _Condition("rcx", _pool_flags),
    **{
        name: _Condition("rcx", _pool_type)
        for name in (
            "ExAllocatePool",
            "ExAllocatePoolWithTag",
            "ExAllocatePoolWithQuota",
            "ExAllocatePoolWithQuotaTag",
            "ExAllocatePoolWithTagPriority",
            "ExAllocatePoolZero",
            "ExAllocatePoolUninitialized",
            "ExAllocatePoolPriorityZero",
            "ExAllocatePoolPriorityUninitialized",
            "ExAllocatePoolQuotaZero",
            "ExAllocatePoolQuotaUninitialized",
        )
    },
}


def places_of(routines: Sequence[str]) -> Optional[str]:
    """The place of the argument that a routine's contract depends on, or None."""
    return next((_CONDITIONS[name].place for name in routines if name in _CONDITIONS), None)


def with_arguments(terms: Contract, arguments: Mapping[str, int]) -> Contract:
    """The contract of a call whose arguments are known as far as `arguments` has them, by their places."""
    condition = _CONDITIONS.get(terms.routine)
    value = arguments.get(condition.place) if condition is not None else None
    if condition is None or value is None:
        return terms
    answer = condition.decide(value)
    if answer is None:
        return terms
    return terms._replace(maximum=answer.maximum, see_remarks=False, condition=answer.because)
