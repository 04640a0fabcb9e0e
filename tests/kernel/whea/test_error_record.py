"""Error records in memory: whole ones, and such as are cut, damaged or lie."""

from __future__ import annotations

import pytest
from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.whea.device_sections import MemorySection, PciExpressSection
from dumpkit.kernel.whea.error_record import ErrorRecord, read_error_record
from dumpkit.kernel.whea.error_sources import error_sources
from dumpkit.kernel.whea.identifiers import (
    MEMORY,
    PCI_EXPRESS,
    PROCESSOR_GENERIC,
    SECTION_TYPES,
    XPF_MCA,
    XPF_PROCESSOR,
)
from dumpkit.kernel.whea.processor_sections import McaSection, ProcessorGenericSection, XpfProcessorSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge import whea
from tests.forge.layout import windows
from tests.forge.machine import Machine
from tests.forge.target import MachineTarget

PLACE = 0xFFFF8F0A12345000


def target_of(data: bytes, place: int = PLACE) -> MachineTarget:
    machine = Machine(19041)
    machine.put(place, data)
    return MachineTarget(machine)


def record_of(*sections: tuple[str, bytes]) -> ErrorRecord:
    return read_error_record(target_of(whea.record(sections)), PLACE)


def test_a_header_is_read() -> None:
    record = record_of()
    assert (record.revision, record.severity, record.length) == ("2.16", 1, whea.HEADER)
    assert record.time == (2021, 2, 9, 18, 23, 6)
    assert (record.creator_name, record.notify_name) == ("Microsoft", "Machine Check Exception")
    assert (record.platform, record.partition) == (None, None)
    assert (record.record_id, record.flags) == (0x1D6FF117A4B0001, 2)
    assert record.sections == () and record.problems == ()


def test_processor_sections_are_read() -> None:
    checks = [("Bus", 1 << 8 | 1 << 9 | 1 << 32 | 3 << 30 | 1 << 3 | 1 << 25), ("Cache", 7 | 1 << 18 | 2 << 22)]
    record = record_of(
        (PROCESSOR_GENERIC, whea.generic_processor()),
        (XPF_PROCESSOR, whea.processor_checks(checks)),
        (XPF_MCA, whea.machine_check(0xBE00000000800400, 4, 5, address=0x1234, misc=0x77)),
    )
    generic, specific, bank = [section.body for section in record.sections]
    assert isinstance(generic, ProcessorGenericSection)
    assert (generic.processor_type, generic.instruction_set) == ("x86/x64", "x64")
    assert (generic.error_type, generic.operation, generic.level) == ("Cache error", "Data Read", 2)
    assert (generic.brand, generic.processor_id, generic.target_address) == ("Intel(R) Core(TM)", 4, None)
    assert isinstance(specific, XpfProcessorSection)
    assert specific.local_apic_id == 4
    assert [each.facts for each in specific.checks] == [
        ("processor context corrupt", "participation generic", "timeout"),
        ("instruction", "read", "level 2"),
    ]
    assert specific.checks[0].instruction_pointer == 0xFFFFF80012345678
    assert isinstance(bank, McaSection)
    assert (bank.processor, bank.bank, bank.status.error) == (4, 5, "Internal timer")
    assert (bank.address, bank.misc) == (0x1234, 0x77)


def test_registers_that_the_status_does_not_vouch_for_are_left_out() -> None:
    bank = record_of((XPF_MCA, whea.machine_check(0xB200000000000135, address=0x1234, misc=5))).sections[0].body
    assert isinstance(bank, McaSection)
    assert (bank.address, bank.misc) == (None, None)


def test_a_pci_express_device_has_its_place_and_its_errors() -> None:
    body = record_of((PCI_EXPRESS, whea.pci_express(1 << 20 | 1 << 14, (0, 0x3C, 0x1F, 5)))).sections[0].body
    assert isinstance(body, PciExpressSection)
    place = body.location
    assert place is not None
    assert (place.segment, place.bus, place.device, place.function) == (0, 0x3C, 0x1F, 5)
    assert (place.vendor_id, place.device_id, place.class_code) == (0x8086, 0x1901, 0x060400)
    assert (body.port_type, body.version, body.slot, body.secondary_bus) == ("Root Port", "1.1", 1, 2)
    assert body.aer is not None
    assert body.aer.errors == ("unsupported request", "completion timeout")
    assert (body.aer.correctable_source, body.aer.uncorrectable_source) == (0x108, 0x100)


def test_nothing_is_told_that_no_bit_vouches_for() -> None:
    body = record_of((PCI_EXPRESS, whea.pci_express(valid=0))).sections[0].body
    assert isinstance(body, PciExpressSection)
    assert [name for name in body.__annotations__ if getattr(body, name) is not None] == ["valid_bits"]


def test_memory_has_its_address_and_its_place() -> None:
    body = record_of((MEMORY, whea.memory_error())).sections[0].body
    assert isinstance(body, MemorySection)
    assert (body.physical_address, body.error_type) == (0x123456000, "Multi-bit ECC")
    assert body.place == {"module": 1, "bank": 3}


def test_a_section_of_an_unknown_type_is_named_by_its_guid() -> None:
    section = record_of(("00112233-4455-6677-8899-aabbccddeeff", b"abc")).sections[0]
    assert (section.type, section.name) == ("00112233-4455-6677-8899-aabbccddeeff", None)
    assert (section.body, section.problem, section.length) == (None, None, 3)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(DumpkitError, match="it does not begin with CPER"):
        read_error_record(target_of(bytes(0x200)), PLACE)
    with pytest.raises(MemoryReadError):
        read_error_record(target_of(b"CPER"), 0x1000)


@pytest.mark.parametrize("length", [0, 127, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_no_record_has_is_refused(length: int) -> None:
    data = bytearray(whea.record([(XPF_MCA, whea.machine_check(1 << 63))]))
    data[20:24] = length.to_bytes(4, "little")
    with pytest.raises(DumpkitError, match="its length is"):
        read_error_record(target_of(bytes(data)), PLACE)


def test_a_count_of_sections_is_held_against_the_record_s_length() -> None:
    data = bytearray(whea.record([(XPF_MCA, whea.machine_check(1 << 63))]))
    data[10:12] = b"\xff\xff"
    record = read_error_record(target_of(bytes(data)), PLACE)
    assert record.problems == ("it claims 65535 sections and has room for 4",)


def test_a_section_behind_the_end_has_its_reason() -> None:
    data = bytearray(whea.record([(XPF_MCA, whea.machine_check(1 << 63)), (MEMORY, whea.memory_error())]))
    data[whea.HEADER : whea.HEADER + 4] = b"\xff\xff\xff\xff"
    first, second = read_error_record(target_of(bytes(data)), PLACE).sections
    assert first.body is None and "lies behind the record's" in str(first.problem)
    assert isinstance(second.body, MemorySection)


def test_a_missing_page_takes_the_sections_that_lie_in_it() -> None:
    place = PLACE + 0x1000 - whea.HEADER - 2 * whea.DESCRIPTOR
    target = target_of(whea.record([(XPF_MCA, whea.machine_check(1 << 63)), (MEMORY, whea.memory_error())]), place)
    target.lose(PLACE + 0x1000)
    record = read_error_record(target, place)
    assert [section.name for section in record.sections] == ["x86/x64 MCA", "Platform Memory"]
    assert all(section.body is None and section.problem for section in record.sections)
    target = target_of(whea.record([(XPF_MCA, b""), (MEMORY, b"")]), place + 0x40)
    target.lose(PLACE + 0x1000)
    record = read_error_record(target, place + 0x40)
    assert len(record.sections) == 1 and record.problems[0].startswith("descriptors from section 1 on: ")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_records_are_read_as_far_as_they_go(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SECTION_TYPES)))
    body = data.draw(st.binary(max_size=300))
    record = bytearray(whea.record([(kind, body)]))
    for _ in range(data.draw(st.integers(0, 4))):
        record[data.draw(st.integers(4, len(record) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_error_record(target_of(bytes(record)), PLACE)
    except DumpkitError:
        return
    assert len(found.sections) <= 64


# --- The sources of errors ------------------------------------------------------


@pytest.mark.parametrize("build", [19041, 22000])
def test_sources_are_listed_with_their_records(build: int) -> None:
    machine = Machine(build)
    machine.layouts = windows(build, "hardware")
    record = whea.record([])
    places = whea.add_error_sources(machine, PLACE, [(0, 1, [record, record]), (4, 0, [])])
    result = error_sources(MachineTarget(machine))
    assert (result.count, result.problem) == (2, None)
    first, second = result.sources
    assert (first.type, first.error_count, first.record_count, first.record_length) == (0, 1, 2, 0x800)
    assert [each for _, each in first.records] == places
    assert (second.type, second.records, second.facts["ErrorSourceId"]) == (4, (), 1)


def test_a_damaged_list_of_sources_ends_with_its_reason() -> None:
    machine = Machine(19041)
    machine.layouts = windows(19041, "hardware")
    whea.add_error_sources(machine, PLACE, [(0, 1, []), (3, 0, [])])
    second = machine.u64(machine.u64(PLACE + 0x10))
    machine.put_u64(second, 0x4141414141414141)
    result = error_sources(MachineTarget(machine))
    assert [source.type for source in result.sources] == [0, 3]
    assert result.problem
    machine.put_u64(second, second)
    assert error_sources(MachineTarget(machine)).problem
