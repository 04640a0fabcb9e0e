"""A process's user mode as a target: its images and its memory, so that its stacks unwind and its symbols are found.

    for frame, target in whole_stack(thread, context):
        target.symbols.nearest(frame.instruction_pointer)

Kernel dumps hold no user mode: what is there then is the one frame that the kernel's stack leads to.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, NoReturn, Optional, Sequence
from weakref import WeakKeyDictionary

from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import Process
from dumpkit.kernel.stack import Frame, walk_stack
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.user_modules import user_modules
from dumpkit.registers import Context
from dumpkit.target import Bugcheck, Module, Target, UnloadedModule

#: User mode ends here in every 64-bit Windows.
USER_END = 1 << 47


class UserSpace(Target):
    """The user mode of a process. It has no processors: contexts come from the kernel's side."""

    physical = None
    current_processor = 0

    def __init__(self, process: Process, modules: Sequence[Module], problem: Optional[str]) -> None:
        kernel = process.target
        self.name = kernel.name
        self.kind = f"user mode of process {process.address:016x}"
        self.architecture = kernel.architecture
        self.system = kernel.system
        self.memory = process.memory
        #: Why there are no modules, or not all of them, as a clause.
        self.problem = problem
        self._modules = modules
        search = kernel.symbols.search
        if search is not None:
            from dumpkit.symbolizer import Symbolizer

            self.symbols = Symbolizer(self, search, dict)

    @property
    def modules(self) -> Sequence[Module]:
        return self._modules

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        return ()

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        return None

    def context(self, processor: int) -> NoReturn:
        """Raises DumpkitError."""
        raise DumpkitError("User mode has no processors of its own")


_SPACES: WeakKeyDictionary[Target, Dict[int, UserSpace]] = WeakKeyDictionary()


def user_space(process: Process) -> UserSpace:
    """The user mode of a process, made once for each. Raises SymbolError and MemoryReadError, as `user_modules`."""
    known = _SPACES.setdefault(process.target, {})
    space = known.get(process.address)
    if space is None:
        found = user_modules(process)
        space = known[process.address] = UserSpace(process, found.modules, found.problem)
    return space


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
    outer = walk_stack(space, Context(last.context.architecture, last.context.values))
    # The first of them is known already, by how the kernel's stack led to it.
    sided = [SidedFrame(frame, kernel) for frame in frames]
    sided.append(SidedFrame(outer[0]._replace(found_by=last.found_by), space))
    return sided + [SidedFrame(frame, space) for frame in outer[1:]]


def _space_of(thread: Thread, last: Frame) -> Optional[UserSpace]:
    """The user mode in which a stack's last frame is, where more of that is known; else None."""
    if last.instruction_pointer >= USER_END or thread.target.symbols.search is None:
        return None
    try:
        space = user_space(thread.process)
    except DumpkitError:
        return None
    return space if space.module_at(last.instruction_pointer) is not None else None
