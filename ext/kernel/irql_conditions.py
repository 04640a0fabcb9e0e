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

#: POOL_FLAG_PAGED and POOL_FLAG_NON_PAGED of wdm.h; the other kinds of POOL_TYPE that are paged have bit 0 set.
_FLAG_PAGED, _FLAG_NON_PAGED = 0x100, 0x40


class _Answer(NamedTuple):
    """The highest level under a condition, and the condition in words; None where the argument leaves it open."""

    maximum: int
    because: str


class _Condition(NamedTuple):
    place: str
    decide: Callable[[int], Optional[_Answer]]
    #: What applies where the argument is not known, in words.
    otherwise: str
    #: Decides by what the argument points to.
    decide_behind: Optional[Callable[[int], Optional[_Answer]]] = None


def _wait(timeout: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its Timeout is NULL") if timeout == 0 else None


def _time(timeout: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its Timeout is not 0") if timeout else _Answer(DISPATCH_LEVEL, "")


def _lock_wait(timeout: int) -> Optional[_Answer]:
    return _Answer(PASSIVE_LEVEL, "its Timeout is NULL") if timeout == 0 else None


def _lock_time(timeout: int) -> Optional[_Answer]:
    return _Answer(PASSIVE_LEVEL, "its Timeout is not 0") if timeout else _Answer(APC_LEVEL, "")


def _access_mode(mode: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its AccessMode is UserMode") if mode & 0xFF else _Answer(DISPATCH_LEVEL, "")


def _set_event(wait: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its Wait is TRUE") if wait & 0xFF else _Answer(DISPATCH_LEVEL, "")


def _release(wait: int) -> Optional[_Answer]:
    return _Answer(PASSIVE_LEVEL, "its Wait is TRUE") if wait & 0xFF else _Answer(DISPATCH_LEVEL, "")


def _pool_type(kind: int) -> Optional[_Answer]:
    return _Answer(APC_LEVEL, "its pool is paged") if kind & 1 else _Answer(DISPATCH_LEVEL, "")


def _undecided(argument: int) -> Optional[_Answer]:
    return None


def _pool_flags(flags: int) -> Optional[_Answer]:
    if flags & _FLAG_PAGED:
        return _Answer(APC_LEVEL, "its pool is paged")
    return _Answer(DISPATCH_LEVEL, "") if flags & _FLAG_NON_PAGED else None


_PAGED = "<= APC_LEVEL if its pool is paged"
_NOT_AT_ONCE = "<= APC_LEVEL unless its Timeout is 0"
_WAITING = "<= APC_LEVEL if its Wait is TRUE"
_PASSIVE_WAITING = "PASSIVE_LEVEL if its Wait is TRUE"
_FOR_USER = "<= APC_LEVEL if its AccessMode is UserMode"

_CONDITIONS: Dict[str, _Condition] = {
    "KeWaitForSingleObject": _Condition("rsp + 0x20", _wait, _NOT_AT_ONCE, _time),
    "KeWaitForMutexObject": _Condition("rsp + 0x20", _wait, _NOT_AT_ONCE, _time),
    "KeWaitForMultipleObjects": _Condition("rsp + 0x30", _wait, _NOT_AT_ONCE, _time),
    "KeSetEvent": _Condition("r8", _set_event, _WAITING),
    "KeReleaseSemaphore": _Condition("r9", _release, _PASSIVE_WAITING),
    "ExAllocatePool2": _Condition("rcx", _pool_flags, _PAGED),
    "ExAllocatePool3": _Condition("rcx", _pool_flags, _PAGED),
    "ExFreePool": _Condition("", _undecided, _PAGED),
    "ExFreePool2": _Condition("", _undecided, _PAGED),
    "ExFreePoolWithTag": _Condition("", _undecided, _PAGED),
    "MmMapLockedPages": _Condition("rdx", _access_mode, _FOR_USER),
    "MmMapLockedPagesSpecifyCache": _Condition("rdx", _access_mode, _FOR_USER),
    # Its arguments stand behind the address of the framework's own data.
    "WdfWaitLockAcquire": _Condition("r8", _lock_wait, "PASSIVE_LEVEL unless its Timeout is 0", _lock_time),
    "WdfTimerStop": _Condition("r8", _release, _PASSIVE_WAITING),
    **{
        name: _Condition("rcx", _pool_type, _PAGED)
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
    return next((_CONDITIONS[name].place for name in routines if name in _CONDITIONS), None) or None


def otherwise(routine: str) -> str:
    """What the remarks of a routine ask for where an argument that is not known says so; "" where nothing is known."""
    condition = _CONDITIONS.get(routine)
    return condition.otherwise if condition is not None else ""


def with_arguments(terms: Contract, arguments: Mapping[str, int]) -> Contract:
    """The contract of a call whose arguments are known as far as `arguments` has them, by their places."""
    condition = _CONDITIONS.get(terms.routine)
    if condition is None:
        return terms
    value, behind = arguments.get(condition.place), arguments.get(f"*{condition.place}")
    answer = condition.decide(value) if value is not None else None
    if behind is not None and condition.decide_behind is not None:
        answer = condition.decide_behind(behind)
    if answer is None:
        return terms
    return terms._replace(maximum=answer.maximum, see_remarks=False, condition=answer.because)
