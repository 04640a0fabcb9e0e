"""The debugger's names of images: `nt` for ntoskrnl.exe, `a_b` for a-b.sys, `dup_fffff80450000000` for a second dup."""

from __future__ import annotations

from dumpkit.kernel.loaded_modules import LoadedImage
from dumpkit.memory import PAGE_SIZE
from dumpkit.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Optional, Set, Tuple

#: File name in lower case -> name; as WinDbg's engine shows modules of these names.
_ALIASES = {
    "ntoskrnl.exe": "nt",
    "ntkrnlmp.exe": "nt",
    "ntkrnlpa.exe": "nt",
    "ntkrnlup.exe": "nt",
    "ntkrpamp.exe": "nt",
    "halaacpi.dll": "hal",
    "halacpi.dll": "hal",
    "halapic.dll": "hal",
    "halborg.dll": "hal",
    "halmacpi.dll": "hal",
    "halmps.dll": "hal",
    "halsp.dll": "hal",
    "kd1394.dll": "kdcom",
    "kdnet.dll": "kdcom",
    "kdusb.dll": "kdcom",
    "hvax64.exe": "hv",
    "hvix64.exe": "hv",
}


def file_name(path: str) -> str:
    """The last part of a path as Windows, the loader or a URL writes it."""
    return path[max(path.rfind("\\"), path.rfind("/"), path.rfind(":")) + 1 :]


def debugger_name(image_name: str) -> str:
    """The name for an image file, not yet made unique: an alias, or its stem with `_` for what no symbol may hold."""
    alias = _ALIASES.get(image_name.lower())
    if alias is not None:
        return alias
    stem, dot, _ = image_name.rpartition(".")
    text = stem if dot else image_name
    if text.isascii() and text.replace("_", "").isalnum():
        return text
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in text)


def name_modules(images: Iterable[LoadedImage], kernel_base: Optional[int]) -> List[Module]:
    """The modules of a target, ascending by base address, named as the engine names them.

    `images` are in the loader's order: of several with one name, the first keeps it. The image at
    `kernel_base` is `nt`, whatever its file is called. An image without a base is left out; of several
    with the same base the last counts.
    """
    by_base: Dict[int, LoadedImage] = {image.base: image for image in images if image.base}
    taken: Set[str] = set()
    modules: List[Module] = []
    if kernel_base in by_base:
        taken.add("nt")
    for image in by_base.values():
        path, image_name = _paths(image)
        name = "nt" if image.base == kernel_base else debugger_name(image_name)
        if name.lower() in taken and image.base != kernel_base:
            name = f"{name}_{image.base:x}"
        taken.add(name.lower())
        size = image.size or PAGE_SIZE
        modules.append(Module(image.base, size, name, image_name, path, image.timestamp, image.checksum))
    modules.sort()
    return modules


def _paths(image: LoadedImage) -> Tuple[str, str]:
    """(path, file name); an image without a name is called after its base, as the engine does."""
    path = image.path.strip()
    if path:
        return path, file_name(path)
    unnamed = f"Unknown_Module_{image.base >> 32:08x}`{image.base & 0xFFFF_FFFF:08x}"
    return unnamed, unnamed
