"""Which Windows a target runs: the words of the debugger's version lines.

Suite and product bits: VER_SUITE_* and NT_PRODUCT_TYPE of winnt.h.
"""

from __future__ import annotations

from dumpkit.registers import Architecture
from dumpkit.target import System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

#: First build of each release, as the engine tells them apart.
_RELEASES = (
    (9650, "Windows 10"),
    (9400, "Windows 8.1"),
    (7700, "Windows 8"),
    (6400, "Windows 7"),
    (6001, "Windows Server 2008/Windows Vista"),
    (3800, "Windows Vista"),
    (2700, "Windows Server 2003"),
    (2196, "Windows XP"),
    (0, "Windows 2000"),
)

_PRODUCTS = {1: "WinNt", 2: "LanManNt", 3: "Server"}

_SUITES = (
    "SmallBusiness",
    "Enterprise",
    "BackOffice",
    "CommunicationServer",
    "TerminalServer",
    "SmallBusinessRestricted",
    "EmbeddedNT",
    "DataCenter",
    "SingleUserTS",
    "Personal",
    "Blade",
    "EmbeddedRestricted",
    "SecurityAppliance",
    "StorageServer",
    "ComputeServer",
    "WHServer",
    "PhoneNT",
)


def release_name(build: int) -> str:
    """The debugger's name of the release that a build belongs to: "Windows 10" for every later one too."""
    return next(name for first, name in _RELEASES if build >= first)


def version_line(system: System, architecture: Architecture) -> str:
    """`Windows 10 Kernel Version 19041 MP (16 procs) Free x64`."""
    release = release_name(system.build)
    service_pack = system.service_pack >> 8 & 0xFF
    pack = f" (Service Pack {service_pack})" if service_pack else ""
    processors = "UP" if system.processors == 1 else f"MP ({system.processors} procs)"
    kind = "Checked" if system.checked else "Free"
    return f"{release} Kernel Version {system.build}{pack} {processors} {kind} {architecture.words}"


def suite_names(mask: int) -> List[str]:
    """The names of the suite bits that are set, lowest first."""
    return [name for bit, name in enumerate(_SUITES) if mask >> bit & 1]


def product_line(system: System) -> Optional[str]:
    """`Product: WinNt, suite: TerminalServer SingleUserTS`, or None where the target does not say."""
    if not system.product_type:
        return None
    product = _PRODUCTS.get(system.product_type, f"unknown <{system.product_type}>")
    suites = "".join(f" {name}" for name in suite_names(system.suite_mask or 0))
    return f"Product: {product}, suite:{suites}"
