"""What a pointer in a kernel structure leads to, as mex's ddt says it behind the pointer's type.

    0xffffc983`f2d47040 _KTHREAD (System)
    0xffff8000`abbed608 Void  PoolTag: Ntff
    0xffffa604`f24ec040 Void  [process] (System)

Format: transcripts of mex 3.0 in github.com/DebugPrivilege/InsightEngineering.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.symbols.types import BaseType, RecordType, Type
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Tuple

    from typing_extensions import TypeAlias

_PROCESSES = ("_EPROCESS", "_KPROCESS")
_THREADS = ("_ETHREAD", "_KTHREAD")
#: What mex offers behind a device.
_DEVICE_COMMANDS = "   !deviceobject   !devstack"
_LOWEST_KERNEL_ADDRESS = 0xFFFF_8000_0000_0000

#: As `typetext.ddt.Remark`: (address, type pointed to) -> what is written behind the pointer, or None.
Remark: TypeAlias = "Callable[[int, Type], Optional[str]]"


def pointer_remark(target: Target) -> Remark:
    """The remarks on pointers of a target's kernel; what cannot be read is not remarked on."""
    known: Dict[Tuple[int, str], Optional[str]] = {}

    def remark(address: int, type: Type) -> Optional[str]:
        if address < _LOWEST_KERNEL_ADDRESS:
            return None
        key = address, type.name
        if key not in known:
            try:
                known[key] = _remark(target, address, type)
            except DumpkitError:
                known[key] = None
        return known[key]

    return remark


def _remark(target: Target, address: int, type: Type) -> Optional[str]:
    if isinstance(type, RecordType):
        if type.name in _PROCESSES:
            return f" ({Process(target, address).name})"
        if type.name in _THREADS:
            return f" ({Thread(target, address).process.name})"
        return _DEVICE_COMMANDS if type.name == "_DEVICE_OBJECT" else None
    if isinstance(type, BaseType) and type.kind == "void":
        return _void_remark(target, address)
    return None


def _void_remark(target: Target, address: int) -> Optional[str]:
    process = Process(target, address)
    if not address & 0xF and process.is_valid:
        return f"  [process] ({process.name})"
    if target.module_at(address) is not None:
        return None
    from dumpkit.kernel.pool.allocation import find_allocation

    tag = find_allocation(target, address).tag
    return None if tag is None else f"  PoolTag: {tag}"
