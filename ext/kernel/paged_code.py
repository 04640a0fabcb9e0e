"""Code that may be paged out: the sections of drivers that say so by their names."""

from __future__ import annotations

from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: IMAGE_SCN_MEM_NOT_PAGED.
_NOT_PAGED = 0x0800_0000


def paged_section(target: Target, address: int) -> Optional[str]:
    """The name of the pageable section of an image that a virtual address lies in; None where it lies in none.

    Drivers' pageable sections are those whose names begin with PAGE (`alloc_text`) and that are not marked as never
    paged (IMAGE_SCN_MEM_NOT_PAGED, winnt.h). Raises DumpkitError where the image's headers cannot be read.
    """
    module = target.module_at(address)
    if module is None:
        return None
    rva = address - module.base
    for section in target.image(module).header().sections:
        if section.rva <= rva < section.end:
            is_paged = section.name.startswith("PAGE") and not section.characteristics & _NOT_PAGED
            return section.name if is_paged else None
    return None
