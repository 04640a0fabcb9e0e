"""Hardware error records (WHEA_ERROR_RECORD of ntddk.h) and the kernel's table of their sources."""

from __future__ import annotations

from struct import pack, pack_into
from typing import Iterable, List, Sequence, Tuple
from uuid import UUID

from dumpkit.kernel.whea.identifiers import CHECKS

from tests.forge.machine import Machine
from tests.forge.structure import Structure

MICROSOFT = "cf07c4bd-b789-4e18-b3c4-1f732cb57131"
MACHINE_CHECK = "e8f56ffe-919c-4cc5-ba88-65abe14913bb"
HEADER, DESCRIPTOR = 128, 72
TABLE = "WheapErrorSourceTable"


def guid(text: str) -> bytes:
    """A GUID as memory has it."""
    return UUID(text).bytes_le


def record(
    sections: Sequence[Tuple[str, bytes]],
    severity: int = 1,
    notify: str = MACHINE_CHECK,
    creator: str = MICROSOFT,
    flags: int = 2,
) -> bytes:
    """A record of (type, bytes) sections, made on 2021-02-09 at 18:23:06 UTC."""
    offset = HEADER + DESCRIPTOR * len(sections)
    length = offset + sum(len(data) for _, data in sections)
    time = bytes((6, 23, 18, 0, 9, 2, 21, 20))
    head = pack("<4sHIHIII8s", b"CPER", 0x210, 0xFFFFFFFF, len(sections), severity, 2, length, time)
    head += bytes(32) + guid(creator) + guid(notify) + pack("<QIQ12s", 0x1D6FF117A4B0001, flags, 0, b"")
    descriptors, bodies = b"", b""
    for number, (kind, data) in enumerate(sections):
        primary = 1 if number == 0 else 0
        descriptors += pack("<IIHBBI", offset + len(bodies), len(data), 0x300, 0, 0, primary)
        descriptors += guid(kind) + bytes(16) + pack("<I20s", severity, b"")
        bodies += data
    return head + descriptors + bodies


def numbered(size: int, *places: Tuple[int, int, int]) -> bytes:
    """Bytes with numbers at (offset, size, value)."""
    data = bytearray(size)
    for offset, width, value in places:
        data[offset : offset + width] = value.to_bytes(width, "little")
    return bytes(data)


def machine_check(
    status: int, processor: int = 4, bank: int = 5, vendor: int = 1, address: int = 0, misc: int = 0
) -> bytes:
    """A WHEA_XPF_MCA_SECTION of the first version."""
    return numbered(
        264,
        (0, 4, 1),
        (4, 4, vendor),
        (0x10, 4, processor),
        (0x24, 4, bank),
        (0x28, 8, status),
        (0x30, 8, address),
        (0x38, 8, misc),
    )


def generic_processor(error: int = 1, processor: int = 4) -> bytes:
    """A WHEA_PROCESSOR_GENERIC_ERROR_SECTION of an x64 processor whose data was read."""
    brand = pack("<128s", b"Intel(R) Core(TM)")
    data = bytearray(192)
    pack_into("<QBBBBBBH", data, 0, 0x1FF, 0, 2, error, 1, 0, 2, 0)
    pack_into("<Q128sQ", data, 16, 0x906E9, brand, processor)
    return bytes(data)


def processor_checks(checks: Iterable[Tuple[str, int]], apic: int = 4) -> bytes:
    """A WHEA_XPF_PROCESSOR_ERROR_SECTION of (kind, check) pairs."""
    kinds = {name: text for text, name in CHECKS.items()}
    infos: List[bytes] = [
        guid(kinds[kind]) + pack("<QQQQQQ", 0x11, check, 0, 0, 0, 0xFFFFF80012345678) for kind, check in checks
    ]
    head = pack("<QQ", 3 | len(infos) << 2, apic) + bytes.fromhex("e906090000081004bffbfa7ffffbebbf") + bytes(32)
    return head + b"".join(infos)


def pci_express(
    uncorrectable: int = 0x4000, location: Tuple[int, int, int, int] = (0, 1, 2, 3), valid: int = 0xFF
) -> bytes:
    """A WHEA_PCIEXPRESS_ERROR_SECTION; the location is segment, bus, device, function."""
    segment, bus, device, function = location
    return numbered(
        208,
        (0, 8, valid),
        (8, 4, 4),
        (12, 2, 0x0101),
        (16, 2, 0x0407),
        (18, 2, 0x0010),
        (24, 2, 0x8086),
        (26, 2, 0x1901),
        (28, 3, 0x060400),
        (31, 1, function),
        (32, 1, device),
        (33, 2, segment),
        (35, 1, bus),
        (36, 1, 2),
        (37, 2, 1 << 3),
        (40, 8, 0x1122334455667788),
        (52 + 4, 4, 0x8001),
        (52 + 8, 2, 0x0007),
        (112 + 4, 4, uncorrectable),
        (112 + 12, 4, 0x00062030),
        (112 + 44, 4, 7),
        (112 + 52, 4, 0x01000108),
    )


def memory_error(address: int = 0x123456000) -> bytes:
    """A WHEA_MEMORY_ERROR_SECTION: a multi-bit error of a module in a bank."""
    return numbered(
        80, (0, 8, 1 << 1 | 1 << 5 | 1 << 6 | 1 << 14), (16, 8, address), (36, 2, 1), (38, 2, 3), (72, 1, 3)
    )


def add_error_sources(machine: Machine, place: int, sources: Sequence[Tuple[int, int, Sequence[bytes]]]) -> List[int]:
    """The kernel's table at an address with (type, errors, records) sources behind it: where their records lie."""
    table = Structure(machine, "_WHEAP_ERROR_SOURCE_TABLE", place)
    machine.put(place, bytes(0x4000))
    machine.globals[TABLE] = place
    table["Count"] = len(sources)
    nodes, records = [table.at("Items")], []
    inner = machine.layouts.offset("_WHEAP_ERROR_RECORD_WRAPPER", "ErrorRecord")
    at = place + 0x100
    for number, (kind, errors, datas) in enumerate(sources):
        source = Structure(machine, "_WHEAP_ERROR_SOURCE", at)
        length = 0x800
        source["ErrorCount"], source["RecordCount"], source["RecordLength"] = errors, len(datas), length
        source["Type"] = source["Descriptor.Type"] = kind
        source["Descriptor.Length"], source["Descriptor.MaxRawDataLength"] = source.size - 0x64, 0x141
        source["Descriptor.NumRecordsToPreallocate"] = len(datas)
        source["Descriptor.MaxSectionsPerRecord"], source["Descriptor.ErrorSourceId"] = 4, number
        nodes.append(source.at("ListEntry"))
        at += 0x440
        if datas:
            source["Records"] = place + 0x1000 + 0x800 * len(records)
            for data in datas:
                records.append(place + 0x1000 + 0x800 * len(records) + inner)
                machine.put(records[-1], data)
    machine.link(nodes[0], nodes[1:])
    return records
