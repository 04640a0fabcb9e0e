"""A thread's stack on both sides: the kernel's frames, and those of user mode where the dump holds them.

    for frame, target in whole_stack(thread, context):
        target.symbols.nearest(frame.instruction_pointer)

Of a kernel dump's user mode there is one frame, the one that the kernel's stack leads to.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.stack import Frame, walk_stack
from dumpkit.kernel.thread import Thread
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from dumpkit.kernel.user_space import UserSpace

#: User mode ends here in every 64-bit Windows.
USER_END = 1 << 47


class SidedFrame(NamedTuple):
    """A frame, and the target whose symbols name it: the kernel, or a process's user mode."""

    frame: Frame
    target: Target


def whole_stack(thread: Thread, context: Context) -> List[SidedFrame]:
    """The frames of a thread from a context outwards, on into user mode as far as the dump holds that."""
    kernel = thread.target
    frames = walk_stack(kernel, context)
    space = _space_of(thread, frames[-1])
    if space is None:
        return [SidedFrame(frame, kernel) for frame in frames]
    last = frames.pop()
    outer = walk_stack(space, last.context)
    # The first of them is known already, by how the kernel's stack led to it.
    sided = [SidedFrame(frame, kernel) for frame in frames]
    sided.append(SidedFrame(outer[0]._replace(found_by=last.found_by), space))
    return sided + [SidedFrame(frame, space) for frame in outer[1:]]


def _space_of(thread: Thread, last: Frame) -> Optional[UserSpace]:
    """The user mode in which a stack's last frame is, where more of that is known; else None."""
    if last.instruction_pointer >= USER_END or thread.target.symbols.search is None:
        return None
    from dumpkit.kernel.user_space import user_space

    try:
        space = user_space(thread.process)
    except DumpkitError:
        return None
    return space if space.module_at(last.instruction_pointer) is not None else None
