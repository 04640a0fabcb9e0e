"""A machine check bank's status: whether the error is valid, corrected or contained, and what its code says.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3B, "Interpreting the MCA Error Codes";
AMD64 Architecture Programmer's Manual, volume 2, "Machine Check Architecture"; MCI_STATUS of ntddk.h.
"""

from __future__ import annotations

from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

#: WHEA_CPU_VENDOR (ntddk.h).
INTEL, AMD = 1, 2
VENDOR_NAMES = {INTEL: "GenuineIntel", AMD: "AuthenticAMD"}

#: The simple error codes of the manual, in the debugger's short words.
_SIMPLE = {
    0x0000: "No error",
    0x0001: "Unclassified",
    0x0002: "Microcode ROM parity",
    0x0003: "External",
    0x0004: "FRC",
    0x0005: "Internal parity",
    0x0006: "SMM handler code access violation",
    0x0400: "Internal timer",
    0x0E0B: "I/O",
}
_TRANSACTIONS = ("I", "D", "G", "*")
_LEVELS = ("L0", "L1", "L2", "LG")
_REQUESTS = ("ERR", "RD", "WR", "DRD", "DWR", "IRD", "PREFETCH", "EVICT", "SNOOP")
_PARTICIPATIONS = ("SRC", "RES", "OBS", "GENERIC")
_SPACES = ("M", "*", "IO", "*")
_TIMEOUTS = ("NOTIMEOUT", "TIMEOUT")
_MEMORY_REQUESTS = ("GEN", "RD", "WR", "AC", "MS")

#: Bit 12 of a compound code: corrections are filtered. It is none of the code's own.
_FILTERED = 0x1000
#: (bit, word) of the status's upper half, in the order in which they are shown.
_FLAGS = (
    (63, "valid"),
    (62, "overflow"),
    (61, "uncorrected"),
    (60, "error enabled"),
    (59, "misc. valid"),
    (58, "address valid"),
    (57, "processor context corrupt"),
)
#: Those that only one maker's processors have.
_INTEL_FLAGS = ((56, "signaled"), (55, "action required"))
_AMD_FLAGS = ((44, "deferred"), (43, "poison"))


class MachineCheckStatus(Record):
    """A value of MCi_STATUS, decoded."""

    value: Hex
    #: The manual's mnemonic for the MCA error code, or words for a simple one; "Unknown" where it has neither.
    error: str
    #: "cache", "TLB", "bus", "memory controller", "internal" or "other".
    kind: str
    #: MCA error code and model-specific error code: bits 15:0 and 31:16.
    error_code: Hex
    model_code: Hex
    is_valid: bool
    is_overflow: bool
    is_uncorrected: bool
    is_context_corrupt: bool
    has_address: bool
    has_misc: bool
    #: What the bits say, in words.
    flags: Tuple[str, ...]
    #: Errors that were corrected (Intel, bits 52:38); None where the status does not say it.
    corrected_count: Optional[int]


def machine_check_status(value: int, vendor: Optional[int] = None) -> MachineCheckStatus:
    """Decode a 64-bit MCi_STATUS; `vendor` is WHEA_CPU_VENDOR, by which some bits differ."""
    error, kind = error_words(value & 0xFFFF)
    flags: List[str] = [word for bit, word in _FLAGS if value >> bit & 1]
    own = {INTEL: _INTEL_FLAGS, AMD: _AMD_FLAGS}.get(vendor or 0, ())
    flags += [word for bit, word in own if value >> bit & 1]
    is_uncorrected = bool(value >> 61 & 1)
    count = value >> 38 & 0x7FFF if vendor == INTEL and not is_uncorrected else None
    return MachineCheckStatus(
        Hex(value),
        error,
        kind,
        Hex(value & 0xFFFF),
        Hex(value >> 16 & 0xFFFF),
        bool(value >> 63 & 1),
        bool(value >> 62 & 1),
        is_uncorrected,
        bool(value >> 57 & 1),
        bool(value >> 58 & 1),
        bool(value >> 59 & 1),
        tuple(flags),
        count,
    )


def error_words(code: int) -> Tuple[str, str]:
    """The mnemonic of a 16-bit MCA error code, and its kind."""
    if code in _SIMPLE:
        return _SIMPLE[code], "internal" if code in (2, 4, 5, 0x400) else "other"
    if code & 0xFC00 == 0x0400:
        return "Internal unclassified", "internal"
    compound = code & ~_FILTERED
    level = _LEVELS[compound & 3]
    transaction = _TRANSACTIONS[compound >> 2 & 3]
    request = _request(compound >> 4 & 0xF)
    if compound & 0xFFFC == 0x000C:
        return f"Generic cache hierarchy {level}", "cache"
    if compound & 0xFFF0 == 0x0010:
        return f"{transaction}TLB{level}_ERR", "TLB"
    if compound & 0xFD80 == 0x0080:
        return _memory_controller(compound), "memory controller"
    if compound & 0xFF00 == 0x0100:
        return f"{transaction}CACHE{level}_{request}_ERR", "cache"
    if compound & 0xF800 == 0x0800:
        participation = _PARTICIPATIONS[compound >> 9 & 3]
        timeout = _TIMEOUTS[compound >> 8 & 1]
        return f"BUS{level}_{participation}_{request}_{_SPACES[compound >> 2 & 3]}_{timeout}_ERR", "bus"
    return "Unknown", "other"


def _request(number: int) -> str:
    return _REQUESTS[number] if number < len(_REQUESTS) else "*"


def _memory_controller(code: int) -> str:
    number, channel = code >> 4 & 7, code & 0xF
    request = _MEMORY_REQUESTS[number] if number < len(_MEMORY_REQUESTS) else "*"
    return f"{request}_CHANNEL{'x' if channel == 0xF else channel}_ERR"
