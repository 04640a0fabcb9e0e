"""Errors of the hardware: the record is decoded, the processor's maker stands where a module would."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence, Tuple

import pytest
from dumpkit.kernel.whea.identifiers import MEMORY, PCI_EXPRESS, PROCESSOR_GENERIC, XPF_MCA, XPF_PROCESSOR

from tests.crashes.crash_world import CrashWorld, analysed, shown
from tests.forge import whea

RECORD = 0xFFFFAB0161234028
#: A cache error of an AMD processor, an internal timer error of one of Intel's.
CACHE, TIMER = 0xBE00000000010135, 0xBE00000000800400


def world_of(
    data: Optional[bytes], source: int = 0, status: int = 0, code: int = 0x124, vendor: str = "GenuineIntel"
) -> CrashWorld:
    """A crash that the hardware's record explains; None for a record whose page is not there."""
    world = CrashWorld(22000, processors=4)
    for name in ("nt!HalpMceHandler", "nt!HalBugCheckSystem"):
        world.function(name)
    world.trap_handler("nt!KiMcheckAbort")
    machine = world.open()
    if data is not None:
        machine.put(RECORD, data)
    world.enter(["nt!KiIdleLoop", "nt!PoIdle"])
    world.trap("nt!KiMcheckAbort", world.address("nt!PoIdle") + 8)
    world.enter(["nt!HalpMceHandler", "nt!HalBugCheckSystem"])
    world.die(code, source, RECORD, status >> 32, status & 0xFFFFFFFF, irql=15, processor=2)
    world.processors[2].prcb["VendorString"] = vendor.encode() + b"\0"
    return world


def processor_record(status: int, vendor: int, error: int) -> bytes:
    sections: Sequence[Tuple[str, bytes]] = [
        (PROCESSOR_GENERIC, whea.generic_processor(error)),
        (XPF_PROCESSOR, whea.processor_checks([("Cache", 1 | 1 << 16)])),
        (XPF_MCA, whea.machine_check(status, 4, 5, vendor, address=0x1234)),
    ]
    return whea.record(sections)


@pytest.mark.parametrize(
    ("status", "vendor", "error", "bucket"),
    [
        (CACHE, 2, 1, "0x124_0_AuthenticAMD_PROCESSOR_CACHE_IMAGE_AuthenticAMD.sys"),
        (TIMER, 1, 8, "0x124_0_GenuineIntel_PROCESSOR_MAE_IMAGE_GenuineIntel.sys"),
        (TIMER, 1, 0, "0x124_0_GenuineIntel_PROCESSOR__UNKNOWN_IMAGE_GenuineIntel.sys"),
    ],
)
def test_a_processor_s_error_is_decoded(status: int, vendor: int, error: int, bucket: str, tmp_path: Path) -> None:
    found = analysed(world_of(processor_record(status, vendor, error), 0, status), tmp_path)
    assert found.bucket == bucket
    hardware = found.hardware
    assert hardware is not None
    assert (hardware.record, hardware.notified_by) == (RECORD, "Machine Check Exception")
    assert (hardware.severity, hardware.processor) == ("Fatal", 4)
    assert hardware.checks == ("Cache: data access",)
    (check,) = hardware.machine_checks
    assert (check.processor, check.bank, check.address, check.misc) == (4, 5, 0x1234, 0)
    assert check.status.kind == ("cache" if status == CACHE else "internal")
    assert found.evidence["error_record"] == f"{RECORD:016x}, argument 2"
    assert "culprit" not in found.unknown


def test_a_device_is_named_by_its_place(tmp_path: Path) -> None:
    data = whea.record([(PCI_EXPRESS, whea.pci_express(1 << 20, (0, 3, 0, 1)))])
    lines = shown(world_of(data, 4), tmp_path, "analyze -v")
    assert "Hardware: Root Port 0000:03:00.1, vendor 8086, device 1901: unsupported request" in lines
    assert "FAILURE_BUCKET_ID:  0x124_4_GenuineIntel_PCIEXPRESS_IMAGE_GenuineIntel.sys" in lines


def test_the_lines_say_who_reported_what(tmp_path: Path) -> None:
    lines = shown(world_of(processor_record(TIMER, 1, 8), 0, TIMER), tmp_path, "analyze -v")
    assert not [line for line in lines if line.startswith("SYMBOL_NAME")]
    assert "MODULE_NAME: GenuineIntel" in lines and "IMAGE_NAME:  GenuineIntel.sys" in lines
    start = lines.index("---------") + 1
    assert lines[start : start + 7] == [
        f"Hardware: {RECORD:016x} is the record of a Machine Check Exception, fatal",
        "Hardware: processor 4: Micro-Architectural Error",
        "Hardware: processor check: Cache: data access",
        "Hardware: machine check of processor 4, bank 5: Internal timer (internal)",
        f"          MCi_STATUS {TIMER:016x}: valid, uncorrected, error enabled, misc. valid, address valid, "
        "processor context corrupt",
        "          MCi_ADDR 0000000000001234",
        "          MCi_MISC 0000000000000000",
    ]


def test_memory_and_sections_of_other_kinds(tmp_path: Path) -> None:
    unknown = "00112233-4455-6677-8899-aabbccddeeff"
    data = whea.record([(MEMORY, whea.memory_error()), (unknown, b"1234")])
    lines = shown(world_of(data, 5, vendor="AuthenticAMD"), tmp_path, "analyze")
    assert "Hardware: memory at physical address 123456000: Multi-bit ECC (module 1, bank 3)" in lines
    assert f"Hardware: the record has beside this: {{{unknown}}}" in lines
    assert "FAILURE_BUCKET_ID:  0x124_5_AuthenticAMD_MEMORY_IMAGE_AuthenticAMD.sys" in lines


def test_a_driver_s_record_has_the_bucket_of_the_transcripts(tmp_path: Path) -> None:
    data = whea.record([("00112233-4455-6677-8899-aabbccddeeff", b"1234")])
    assert analysed(world_of(data, 16), tmp_path).bucket == "0x124_16_GenuineIntel__UNKNOWN_IMAGE_GenuineIntel.sys"


def test_without_the_record_the_arguments_tell_the_status(tmp_path: Path) -> None:
    found = analysed(world_of(None, 0, TIMER), tmp_path)
    assert found.culprit.module is None
    assert found.bucket == "0x124_0_ANALYSIS_INCONCLUSIVE"
    assert found.unknown["error_record"] and found.unknown["culprit"]
    assert found.hardware is not None
    (check,) = found.hardware.machine_checks
    assert (check.processor, check.bank, check.status.error) == (None, None, "Internal timer")
    assert found.hardware.vendor == "GenuineIntel"


def test_arguments_without_a_valid_status_say_nothing(tmp_path: Path) -> None:
    found = analysed(world_of(None, 0, 0x400), tmp_path)
    assert found.hardware is None
    assert "no valid MCi_STATUS" in found.unknown["machine_check"]


def test_a_machine_check_without_whea_has_its_bank_in_the_arguments(tmp_path: Path) -> None:
    found = analysed(world_of(None, 3, CACHE, code=0x9C), tmp_path)
    assert found.hardware is not None
    (check,) = found.hardware.machine_checks
    assert (check.bank, check.status.error) == (3, "DCACHEL1_DRD_ERR")


def test_a_maker_that_is_not_known_leaves_the_culprit_open(tmp_path: Path) -> None:
    data = whea.record([(PCI_EXPRESS, whea.pci_express())])
    found = analysed(world_of(data, 4, vendor=""), tmp_path)
    assert found.culprit.module is None
    assert found.unknown["processor_maker"] == "the KPRCB names none"
    assert found.hardware is not None and found.hardware.devices
