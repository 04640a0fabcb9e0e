"""The machine that a dump was taken of: its name, maker and processor."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.processor_key import PROCESSOR_KEY_TAG, processor_name
from dumpkit.kernel.smbios import SMBIOS_TAG, Smbios, firmware_table
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, TypeVar

    Fact = TypeVar("Fact", str, bytes)


class MachineFacts(NamedTuple):
    """What a target says of its machine; None where it does not."""

    computer_name: Optional[str] = None
    system_manufacturer: Optional[str] = None
    system_product_name: Optional[str] = None
    processor_name: Optional[str] = None


#: The first build whose registry lies in the address space of a process: kernel dumps do not hold it.
_FIRST_OF_OWN_SPACE = 17134
#: What the kinds of dump that hold user space are called.
_WITH_USER_SPACE = ("full", "complete", "user")


def machine_facts(target: Target) -> MachineFacts:
    """What Windows left in the target's tagged data, the SMBIOS table and the processor's registry key; and what the
    registry in memory says, where the target may hold it."""
    table = target.tagged_data(SMBIOS_TAG)
    holds_more = _may_hold_registry(target)
    if table is None and holds_more:
        table = _if_there(firmware_table, target)
    firmware = Smbios(table).facts() if table is not None else {}
    key = target.tagged_data(PROCESSOR_KEY_TAG)
    processor = processor_name(key) if key is not None else None
    name: Optional[str] = None
    if holds_more:
        from dumpkit.kernel.hive import computer_name
        from dumpkit.kernel.hive import processor_name as processor_of_registry

        name = _if_there(computer_name, target)
        processor = processor or _if_there(processor_of_registry, target)
    return MachineFacts(
        name,
        firmware.get("SystemManufacturer"),
        firmware.get("SystemProductName"),
        processor or firmware.get("ProcessorVersion"),
    )


def _may_hold_registry(target: Target) -> bool:
    """Whether it is worth while to load the kernel's symbols for it."""
    if target.physical is None:
        return False
    return target.system.build < _FIRST_OF_OWN_SPACE or any(word in target.kind for word in _WITH_USER_SPACE)


def _if_there(ask: Callable[[Target], Fact], target: Target) -> Optional[Fact]:
    try:
        return ask(target) or None
    except DumpkitError:
        return None
