"""The stacks of many threads, each different one once.

found = unique_stacks(threads)
found.groups[0].threads, found.groups[0].frames
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.whole_stack import USER_END, SidedFrame, whole_stack
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Tuple


class StackGroup(NamedTuple):
    """Threads whose stacks are the same, instruction by instruction; the frames are those of the first."""

    threads: Tuple[Thread, ...]
    frames: Tuple[SidedFrame, ...]


class UniqueStacks(NamedTuple):
    """The groups, the smallest first, and the threads that have no stack to be shown, each with the reason."""

    groups: Tuple[StackGroup, ...]
    without: Tuple[Tuple[Thread, str], ...]


def unique_stacks(threads: Iterable[Thread], kernel_only: bool = False) -> UniqueStacks:
    """Walk the stacks of threads and group those that are alike."""
    frames: Dict[Tuple[int, ...], List[SidedFrame]] = {}
    members: Dict[Tuple[int, ...], List[Thread]] = {}
    without: List[Tuple[Thread, str]] = []
    for thread in threads:
        try:
            found = whole_stack(thread, thread.context())
        except DumpkitError as error:
            without.append((thread, str(error)))
            continue
        if kernel_only:
            found = [each for each in found if each.frame.instruction_pointer >= USER_END]
        if not found:
            without.append((thread, "its stack is empty"))
            continue
        key = tuple(each.frame.instruction_pointer for each in found)
        frames.setdefault(key, found)
        members.setdefault(key, []).append(thread)
    groups = [StackGroup(tuple(members[key]), tuple(frames[key])) for key in members]
    groups.sort(key=lambda group: len(group.threads))
    return UniqueStacks(tuple(groups), tuple(without))
