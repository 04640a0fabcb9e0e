"""The machine that a dump was taken of: its name, maker and processor."""

from __future__ import annotations

from typing import NamedTuple, Optional

from dumpkit.kernel.processor_key import PROCESSOR_KEY_TAG, processor_name
from dumpkit.kernel.smbios import SMBIOS_TAG, Smbios
from dumpkit.target import Target


class MachineFacts(NamedTuple):
    """What a target says of its machine; None where it does not."""

    computer_name: Optional[str] = None
    system_manufacturer: Optional[str] = None
    system_product_name: Optional[str] = None
    processor_name: Optional[str] = None


def machine_facts(target: Target) -> MachineFacts:
    """The facts that Windows left in the target's tagged data: the SMBIOS table and the processor's registry key."""
    table = target.tagged_data(SMBIOS_TAG)
    firmware = Smbios(table).facts() if table is not None else {}
    key = target.tagged_data(PROCESSOR_KEY_TAG)
    return MachineFacts(
        None,
        firmware.get("SystemManufacturer"),
        firmware.get("SystemProductName"),
        processor_name(key) if key is not None else firmware.get("ProcessorVersion"),
    )
