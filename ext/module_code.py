"""Code as it is in memory, or in the image's file where the dump left it out."""

from __future__ import annotations

from dumpkit.memory import AddressSpace
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

    from dumpkit.symbols.module_image import ModuleImage


class ModuleCode(AddressSpace):
    """A target's virtual memory, with the bytes of modules whose image the symbol path leads to."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._memory = target.memory
        #: The images that have a file, by base; None for those without.
        self._images: Dict[int, Optional[ModuleImage]] = {}

    def read_prefix(self, address: int, size: int) -> bytes:
        data = self._memory.read_prefix(address, size)
        if len(data) == size:
            return data
        module = self._target.module_at(address)
        if module is None:
            return data
        if module.base not in self._images:
            image = self._target.image(module)
            self._images[module.base] = image if image.file is not None else None
        found = self._images[module.base]
        return found.read(address - module.base, size) if found is not None else data

    def explain(self, address: int) -> str:
        return "readable" if self.read_prefix(address, 1) else self._memory.explain(address)

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        return address if self.read_prefix(address, 1) else self._memory.next_readable(address, limit)
