"""What is looked for: a file's name, its key in a symbol store, and how to tell that a file is the one."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.store import file_name, image_key, pdb_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Tuple

    from typing_extensions import TypeAlias

#: (GUID, DBI age) of the PDB at a path; raises SymbolError where it is none.
IdentifyPdb: TypeAlias = "Callable[[str], Tuple[str, int]]"

# Names that one kernel goes by: as the loader calls it, and as it was built.
_KERNEL_IMAGES = ("ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe", "ntkrpamp.exe")
_KERNEL_MODULES = ("nt", *(image[:-4] for image in _KERNEL_IMAGES))
_KERNEL_PDBS = ("ntkrnlmp", "ntoskrnl", "ntkrnlpa", "ntkrpamp")


class Wanted(NamedTuple):
    """A file that is looked for."""

    name: str
    key: str
    #: Called with a path and whether it was found under this very key; raises SymbolError where it is not the one.
    check: Callable[[str, bool], None]
    #: Extensions of images ("sys"), after which plain folders may have folders.
    extensions: Tuple[str, ...]
    #: Other names that a local store may have the file under.
    other_names: Tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.key}"


def wanted_pdb(name: str, guid: str, age: int, identify: IdentifyPdb) -> Wanted:
    """The PDB that an image names; `age` is the DBI age. Raises SymbolError for an impossible name or GUID."""
    key = pdb_key(guid, age)
    guid = pdb_key(guid, 0)[:-1]

    def check(path: str, keyed: bool) -> None:
        found_guid, found_age = identify(path)
        # Whoever put a file into a store under a key vouches for the age; linkers write others into the file.
        if found_guid != guid or (found_age != age and not keyed):
            raise SymbolError(f"is {pdb_key(found_guid, found_age)}, not {key}")

    return Wanted(file_name(name), key, check, ("sys", "exe", "dll"))


def wanted_image(name: str, timestamp: int, size: int) -> Wanted:
    """The image with that TimeDateStamp and SizeOfImage. Raises SymbolError for an impossible name."""
    name = file_name(name)
    key = image_key(timestamp, size)

    def check(path: str, keyed: bool) -> None:
        from dumpkit.symbols.pe import ImageFile

        with ImageFile(path) as image:
            found = image_key(image.timestamp, image.size)
        if found != key:
            raise SymbolError(f"is {found}, not {key}")

    extension = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    others = tuple(other for other in _KERNEL_IMAGES if other != name.lower()) if name.lower() in _KERNEL_IMAGES else ()
    return Wanted(name, key, check, (extension,) if extension else (), others)


def pdb_names(module: str) -> Tuple[str, ...]:
    """What the PDB of a module may be called, without its extension: usually as the module."""
    stem = module.lower()
    return _KERNEL_PDBS if stem in _KERNEL_MODULES else (stem,)


def pdb_identity(path: str) -> Tuple[str, int]:
    """(GUID, DBI age) of a PDB. Raises SymbolError where the file is none."""
    from dumpkit.symbols.container import open_container
    from dumpkit.symbols.dbi import Dbi
    from dumpkit.symbols.info import read_info

    container = open_container(path, own=True)
    try:
        return read_info(container).guid, Dbi(container).age
    finally:
        container.close()
