"""The GUIDs of error records: who made one, what notified of it, and what a section holds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

#: WHEA_RECORD_CREATOR_GUID (ntddk.h).
CREATORS: Dict[str, str] = {"cf07c4bd-b789-4e18-b3c4-1f732cb57131": "Microsoft"}

#: *_NOTIFY_TYPE_GUID (ntddk.h). The debugger has no name for those of device drivers and of Arm.
NOTIFY_TYPES: Dict[str, str] = {
    "2dce8bb1-bdd7-450e-b9ad-9cf4ebd4f890": "Corrected Machine Check",
    "4e292f96-d843-4a55-a8c2-d481f27ebeee": "Corrected Platform Error",
    "e8f56ffe-919c-4cc5-ba88-65abe14913bb": "Machine Check Exception",
    "cf93c01f-1a16-4dfc-b8bc-9c4daf67c104": "PCI Express Error",
    "cc5263e8-9308-454a-89d0-340bd39bc98e": "INIT Error Record",
    "5bad89ff-b7e6-42c9-814a-cf2485d6e98a": "Non-Maskable Interrupt",
    "3d61a466-ab40-409a-a698-f362d464b38f": "BOOT Error Record",
    "3e62a467-ab40-409a-a698-f362d464b38f": "Generic Error",
}

PROCESSOR_GENERIC = "9876ccad-47b4-4bdb-b65e-16f193c4f3db"
XPF_PROCESSOR = "dc3ea0b0-a144-4797-b95b-53fa242b6e1d"
XPF_MCA = "8a1e1d01-42f9-4557-9c33-565e5cc3f7e8"
MEMORY = "a5bc1114-6f64-4ede-b863-3e83ed7c83b1"
PCI_EXPRESS = "d995e954-bbc1-430f-ad91-b44dcb3c6f35"
PCIX_BUS = "c5753963-3b84-4095-bf78-eddad3f9c9dd"
PCIX_DEVICE = "eb5e4685-ca66-4769-b6a2-26068b001326"
FIRMWARE_REFERENCE = "81212a96-09ed-4996-9471-8d729c8e69ed"
NMI = "e71254e7-c1b9-4940-ab76-909703a4320f"
ERROR_PACKET = "e71254e9-c1b9-4940-ab76-909703a4320f"

#: *_SECTION_GUID (ntddk.h) -> the debugger's name. A section of another type is shown by its GUID.
SECTION_TYPES: Dict[str, str] = {
    PROCESSOR_GENERIC: "Processor Generic",
    XPF_PROCESSOR: "x86/x64 Processor Specific",
    XPF_MCA: "x86/x64 MCA",
    MEMORY: "Platform Memory",
    PCI_EXPRESS: "PCI Express",
    PCIX_BUS: "PCI/PCI-X Bus",
    PCIX_DEVICE: "PCI/PCI-X Device",
    FIRMWARE_REFERENCE: "Firmware Error Record Reference",
    NMI: "NMI",
    ERROR_PACKET: "Error Packet",
}

#: WHEA_*CHECK_GUID (ntddk.h): what a processor's check says.
CHECKS: Dict[str, str] = {
    "a55701f5-e3ef-43de-ac72-249b573fad2c": "Cache",
    "fc06b535-5e1f-4562-9f25-0a3b9adb63c3": "TLB",
    "1cf3f8b3-c5b1-49a2-aa59-5eef92ffa63c": "Bus",
    "48ab7f57-dc34-4f6c-a7d3-b0b5b0a74314": "Micro-Architectural",
}


def guid_text(data: bytes) -> str:
    """A GUID's 16 bytes as text, lower case, without braces."""
    first = int.from_bytes(data[:4], "little")
    second, third = int.from_bytes(data[4:6], "little"), int.from_bytes(data[6:8], "little")
    return f"{first:08x}-{second:04x}-{third:04x}-{data[8:10].hex()}-{data[10:16].hex()}"
