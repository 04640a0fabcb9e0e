"""`errrec` and `whea`: their text, on records that are whole and on such as are not."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.kernel.whea.identifiers import (
    ERROR_PACKET,
    FIRMWARE_REFERENCE,
    MEMORY,
    NMI,
    PCI_EXPRESS,
    PCIX_BUS,
    PCIX_DEVICE,
    PROCESSOR_GENERIC,
    XPF_MCA,
    XPF_PROCESSOR,
)

from tests.forge import whea
from tests.forge.layout import windows
from tests.forge.machine import Machine
from tests.forge.target import MachineTarget
from tests.running import run_lines, session_on

PLACE = 0xFFFF8F0A12345000


def lines_of(*sections: Tuple[str, bytes]) -> List[str]:
    machine = Machine(19041)
    machine.put(PLACE, whea.record(sections))
    return run_lines(session_on(MachineTarget(machine)), f"errrec {PLACE:x}")


def body_of(kind: str, data: bytes) -> List[str]:
    lines = lines_of((kind, data))
    return lines[lines.index("Severity      : Fatal") + 2 :]


def test_the_header_is_that_of_the_transcripts() -> None:
    assert lines_of((XPF_MCA, whea.machine_check(0xFE00000000070F0F, 0, 4, address=0xFDF81F80, misc=0))) == [
        "=" * 79,
        "Common Platform Error Record @ ffff8f0a12345000",
        "-" * 79,
        "Record Id     : 01d6ff117a4b0001",
        "Severity      : Fatal (1)",
        "Length        : 464",
        "Creator       : Microsoft",
        "Notify Type   : Machine Check Exception",
        "Timestamp     : 2/9/2021 18:23:06 (UTC)",
        "Flags         : 0x00000002",
        "",
        "=" * 79,
        "Section 0     : x86/x64 MCA",
        "-" * 79,
        "Descriptor    @ ffff8f0a12345080",
        "Section       @ ffff8f0a123450c8",
        "Offset        : 200",
        "Length        : 264",
        "Flags         : 0x00000001 Primary",
        "Severity      : Fatal",
        "",
        "Error         : BUSLG_GENERIC_ERR_*_TIMEOUT_ERR (Proc 0 Bank 4)",
        "  Status      : 0xfe00000000070f0f",
        "  Address     : 0x00000000fdf81f80",
        "  Misc.       : 0x0000000000000000",
        "  Status says : valid, overflow, uncorrected, error enabled, misc. valid, address valid, "
        "processor context corrupt",
    ]


def test_processors() -> None:
    assert body_of(PROCESSOR_GENERIC, whea.generic_processor()) == [
        "Proc. Type    : x86/x64",
        "Instr. Set    : x64",
        "Error Type    : Cache error",
        "Operation     : Data Read",
        "Flags         : 0x00",
        "Level         : 2",
        "CPU Version   : 0x00000000000906e9",
        "CPU Brand     : Intel(R) Core(TM)",
        "Processor ID  : 0x0000000000000004",
    ]
    assert body_of(XPF_PROCESSOR, whea.processor_checks([("TLB", 1 | 1 << 16)])) == [
        "Local APIC Id : 0x0000000000000004",
        "CPU Id        : e9 06 09 00 00 08 10 04 - bf fb fa 7f ff fb eb bf",
        "                00 00 00 00 00 00 00 00 - 00 00 00 00 00 00 00 00",
        "                00 00 00 00 00 00 00 00 - 00 00 00 00 00 00 00 00",
        "",
        "Proc. Info 0  @ ffff8f0a12345108",
        "  TLB check: data access",
    ]
    assert body_of(XPF_PROCESSOR, bytes(64)) == ["No valid data fields are present."]
    assert body_of(PROCESSOR_GENERIC, bytes(192)) == ["No valid data fields are present."]


def test_a_pci_express_device() -> None:
    assert body_of(PCI_EXPRESS, whea.pci_express(1 << 14)) == [
        "Port Type     : Root Port",
        "Version       : 1.1",
        "Command/Status: 0x0407/0x0010",
        "Device Id     :",
        "  VenId:DevId : 8086:1901",
        "  Class code  : 060400",
        "  Function No : 0x03",
        "  Device No   : 0x02",
        "  Segment     : 0x0000",
        "  Primary Bus : 0x01",
        "  Second. Bus : 0x02",
        "  Slot        : 0x0001",
        "Dev. Serial # : 1122334455667788",
        "Sec. Status   : 0x0000",
        "Bridge Ctl.   : 0x0000",
        "Express Capability Information @ ffff8f0a123450fc",
        "  Device Caps : 00008001 Role-Based Error Reporting: 1",
        "  Device Ctl  : 0007 ur FE NF CE",
        "  Dev Status  : 0000 ur fe nf ce",
        "   Root Ctl   : 0000 fs nfs cs",
        "",
        "AER Information @ ffff8f0a12345138",
        "  Uncorrectable Error Status    : 00004000 ur ecrc mtlp rof uc ca CTO fcp ptlp sd dlp und",
        "  Uncorrectable Error Mask      : 00000000 ur ecrc mtlp rof uc ca cto fcp ptlp sd dlp und",
        "  Uncorrectable Error Severity  : 00062030 ur ecrc MTLP ROF uc ca cto FCP ptlp SD DLP und",
        "  Correctable Error Status      : 00000000 adv rtto rnro dllp tlp re",
        "  Correctable Error Mask        : 00000000 adv rtto rnro dllp tlp re",
        "  Caps & Control                : 00000000 ecrcchken ecrcchkcap ecrcgenen ecrcgencap FEP 00",
        "  Header Log                    : 00000000 00000000 00000000 00000000",
        "  Root Error Command            : 00000007 FEN NFEN CEN",
        "  Root Error Status             : 00000000 MSG# 00 fer nfer fuf mur ur mcr cer",
        "  Correctable Error Source ID   : 01,01,00",
        "  Uncorrectable Error Source ID : 01,00,00",
        "  Status says                   : completion timeout",
    ]


def test_memory_buses_and_the_rest() -> None:
    assert body_of(MEMORY, whea.memory_error()) == [
        "Phys. Address : 0x0000000123456000",
        "Module        : 0x1",
        "Bank          : 0x3",
        "Error Type    : Multi-bit ECC",
    ]
    assert body_of(PCIX_BUS, whea.numbered(72, (0, 8, 0xE), (16, 2, 6), (18, 1, 2), (24, 8, 0xFEE00000))) == [
        "Error Type    : Address parity",
        "Bus           : 0x02 (segment 0x00)",
        "Bus Address   : 0x00000000fee00000",
    ]
    device = whea.numbered(40, (0, 8, 2), (16, 2, 0x10EC), (18, 2, 0x8168), (23, 1, 1), (24, 1, 2), (25, 1, 3))
    assert body_of(PCIX_DEVICE, device) == [
        "Device Id     :",
        "  VenId:DevId : 10ec:8168",
        "  Class code  : 000000",
        "  Function No : 0x01",
        "  Device No   : 0x02",
        "  Segment     : 0x0000",
        "  Bus         : 0x03",
    ]
    assert body_of(FIRMWARE_REFERENCE, whea.numbered(16, (0, 1, 2), (8, 8, 7))) == [
        "Record Type   : 0x2",
        "Record Id     : 0x0000000000000007",
    ]
    assert body_of(NMI, b"\1\2\3\4\5\6\7\x08" + b"\1\0\0\0") == [
        "NMI Data      : 0102030405060708",
        "NMI Flags     : 0x00000001",
    ]


def test_an_older_packet_shows_where_its_raw_data_is() -> None:
    packet = b"ErPt" + whea.numbered(296, (36 - 4, 4, 1), (272 - 4, 4, 2), (276 - 4, 4, 0x118))
    lines = body_of(ERROR_PACKET, packet)
    assert lines[0] == "   WHEA Error Packet Info Section (@ ffff8f0a123450c8)"
    assert "   ErrorType        : Processor" in lines
    assert "   ErrorSeverity    : 0x1 - Fatal" in lines
    assert "   RawDataFormat    : Intel64 MCA" in lines
    assert lines[-1] == "   Raw Data         : Located @ FFFF8F0A123451E0"
    assert body_of(ERROR_PACKET, bytes(300)) == ["*** Unknown section format ***"]


def test_short_sections_show_what_they_have() -> None:
    for kind in (PROCESSOR_GENERIC, XPF_PROCESSOR, XPF_MCA, PCI_EXPRESS, MEMORY, PCIX_BUS, PCIX_DEVICE, NMI):
        for size in (0, 1, 8, 20):
            body_of(kind, b"\xff" * size)


def test_what_cannot_be_read_is_said() -> None:
    data = bytearray(whea.record([(XPF_MCA, whea.machine_check(0))]))
    data[whea.HEADER + 4 : whea.HEADER + 8] = (0x10000).to_bytes(4, "little")
    data[10] = 9
    machine = Machine(19041)
    machine.put(PLACE, bytes(data))
    lines = run_lines(session_on(MachineTarget(machine)), f"errrec {PLACE:x}")
    assert "The section cannot be read: its end 0x100c8 lies behind the record's" in lines
    assert lines[-1] == "The record is not whole: it claims 9 sections and has room for 4"


def sources_of(sources: Sequence[Tuple[int, int, Sequence[bytes]]]) -> List[str]:
    machine = Machine(19041)
    machine.layouts = windows(19041, "hardware")
    whea.add_error_sources(machine, PLACE, sources)
    return run_lines(session_on(MachineTarget(machine)), "whea")


def test_the_sources_of_errors() -> None:
    assert sources_of([(0, 1, [whea.record([])] * 2), (0x44, 0, [])]) == [
        "Error Source Table @ ffff8f0a12345000",
        "2 Error Sources",
        "Error Source 0 @ ffff8f0a12345100",
        "   Notify Type      : Machine Check Exception",
        "   Type             : 0x0 (MCE)",
        "   Error Count      : 1",
        "   Record Count     : 2",
        "   Record Length    : 800",
        "   Error Records    : wrapper @ ffff8f0a12346000  record @ ffff8f0a12346028",
        "                    : wrapper @ ffff8f0a12346800  record @ ffff8f0a12346828",
        "   Descriptor       : @ ffff8f0a12345160",
        "      Length                     : 3cc",
        "      Max Raw Data Length        : 141",
        "      Num Records To Preallocate : 2",
        "      Max Sections Per Record    : 4",
        "      Error Source ID            : 0",
        "      Flags                      : 00000000",
        "Error Source 1 @ ffff8f0a12345540",
        "   Notify Type      : Unknown",
        "   Type             : 0x44 (Unknown)",
        "   Error Count      : 0",
        "   Record Count     : 0",
        "   Record Length    : 800",
        "   Descriptor       : @ ffff8f0a123455a0",
        "      Length                     : 3cc",
        "      Max Raw Data Length        : 141",
        "      Num Records To Preallocate : 0",
        "      Max Sections Per Record    : 4",
        "      Error Source ID            : 1",
        "      Flags                      : 00000000",
    ]


def test_without_the_table_s_symbol_there_is_a_reason() -> None:
    with pytest.raises(DumpkitError, match="WheapErrorSourceTable"):
        run_lines(session_on(MachineTarget(Machine(19041))), "whea")
