"""A process's user mode as a target: its images and its memory, so that its stacks unwind and its symbols are found.

    space = user_space(process)
    space.symbols.nearest(address)

Kernel dumps hold no user mode.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import Process
from dumpkit.kernel.user_modules import user_modules
from dumpkit.module import Module, UnloadedModule
from dumpkit.target import Bugcheck, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, NoReturn, Optional, Sequence


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
