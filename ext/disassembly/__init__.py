"""Disassembly in WinDbg's syntax."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Union

    from dumpkit.disassembly.arm64 import Arm64Disassembler
    from dumpkit.disassembly.x64 import X64Disassembler
    from dumpkit.registers import Architecture

    Disassembler = Union[X64Disassembler, Arm64Disassembler]

_open: Dict[str, Disassembler] = {}


def disassembler(architecture: Architecture) -> Disassembler:
    """The disassembler of an instruction set. Raises DumpkitError where capstone is missing."""
    found = _open.get(architecture.name)
    if found is None:
        from dumpkit.disassembly.capstone_library import decoder

        if architecture.name == "x64":
            from dumpkit.disassembly.x64 import X64Disassembler

            found = X64Disassembler(decoder("x64"))
        else:
            from dumpkit.disassembly.arm64 import Arm64Disassembler

            found = Arm64Disassembler(decoder("ARM64"))
        _open[architecture.name] = found
    return found
