"""Whose a loaded image is: Microsoft's or another's, and how that is known."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.version_resource import VersionResource, version_resource
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

MICROSOFT, THIRD_PARTY, UNKNOWN = "Microsoft", "third party", "unknown"

#: The kernel, its hardware layer and the debugger's own transport have these names on every machine.
_WINDOWS = frozenset(
    ("nt", "hal", "kdcom", "win32k", "win32kbase", "win32kfull", "ntfs", "fltmgr", "ci", "cng", "clfs")
)


class ModuleOrigin(NamedTuple):
    """Whose an image is."""

    #: "Microsoft", "third party" or "unknown".
    whose: str
    #: The company's own name, as its version resource has it.
    company: str
    #: How that is known.
    evidence: str
    version: Optional[VersionResource]


def module_origin(target: Target, module: Module) -> ModuleOrigin:
    """Whose an image is, by its version resource, else by where its PDB was built, else by its name."""
    image = target.image(module)
    try:
        version = version_resource(image)
    except DumpkitError:
        version = None
    if version is not None and version.company:
        whose = MICROSOFT if "microsoft" in version.company.lower() else THIRD_PARTY
        return ModuleOrigin(whose, version.company, "version resource", version)
    built = _pdb_path(target, module)
    # Microsoft's builds record the PDB's bare name, a developer's linker its whole path unless told otherwise.
    if built is not None and ("\\" in built or "/" in built):
        return ModuleOrigin(THIRD_PARTY, "", f"built as {built}", version)
    if module.name.lower() in _WINDOWS:
        return ModuleOrigin(MICROSOFT, "", "its name", version)
    return ModuleOrigin(UNKNOWN, "", "neither its resources nor its debug directory are there", version)


def _pdb_path(target: Target, module: Module) -> Optional[str]:
    try:
        found = target.image(module).header().codeview()
    except DumpkitError:
        return None
    return found.pdb_name if found is not None else None
