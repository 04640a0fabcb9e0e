"""exqueue: the executive's work queues of three Windows; sysinfo: what the firmware says of the machine."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Tuple

import pytest
from dumpkit.errors import CommandError, DumpkitError, SymbolError
from dumpkit.kernel.processor_key import PROCESSOR_KEY_TAG
from dumpkit.output import data

from tests.running import run, run_lines, session_of
from tests.session_machine import SessionLab, add_work_queues
from tests.shared import needs_shared


@pytest.fixture(params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLab:
    return SessionLab(request.param, tmp_path)


def test_queues_are_shown_with_their_threads_and_what_waits(lab: SessionLab) -> None:
    item = add_work_queues(lab)
    worker = lab.made.threads["worker 1"]
    lines = run_lines(lab.session, "!exqueue")
    is_old = lab.machine.build == 7601
    name, priority = ("Delayed", "") if is_old else ("NODE 0 ExPoolUntrusted", " Priority 12")
    start = lines.index(f"**** {name} WorkQueue( current = 1 maximum = 2 )")
    if not is_old:
        assert lines[start + 1] == "     Threads: 1  Items processed: 7"
    thread = next(line for line in lines[start:] if line.startswith("THREAD "))
    assert thread.startswith(f"THREAD {worker.address:016x}  Cid 0004.")
    assert thread.endswith(" WAIT")
    routine = lab.made.scene.places["test!Worker"].address
    assert (
        f"PENDING: ExWorkItem {item.address:016x} Routine test!Worker ({routine:016x}) "
        f"Parameter 0000000000001234{priority}"
    ) in lines


def test_flags_leave_threads_out_or_show_their_waits(lab: SessionLab) -> None:
    add_work_queues(lab)
    assert not any(line.startswith("THREAD ") for line in run_lines(lab.session, "exqueue 8"))
    assert any("WAIT: (WrQueue) KernelMode" in line for line in run_lines(lab.session, "exqueue 2"))
    assert any("test!Worker+0x40" in line for line in run_lines(lab.session, "exqueue 6"))


def test_one_kind_of_queue_is_picked_where_the_windows_has_it(tmp_path: Path) -> None:
    lab = SessionLab(7601, tmp_path)
    add_work_queues(lab)
    assert [queue["name"] for queue in data(run(lab.session, "exqueue 20"))["queues"]] == ["Delayed"]
    (tmp_path / "new").mkdir()
    new = SessionLab(19041, tmp_path / "new")
    add_work_queues(new)
    with pytest.raises(CommandError, match="no queues of these kinds"):
        run(new.session, "exqueue 20")


def test_lists_that_loop_end_and_are_named(lab: SessionLab) -> None:
    item = add_work_queues(lab)
    lab.machine.put_u64(item.at("List"), item.at("List"))
    link = lab.made.threads["worker 1"].at("Tcb.QueueListEntry")
    lab.machine.put_u64(link, link)
    lines = run_lines(lab.session, "exqueue")
    assert sum("the list loops" in line for line in lines) == 2


def test_queues_that_were_not_made_yet_or_are_missing_are_told(tmp_path: Path) -> None:
    lab = SessionLab(19041, tmp_path)
    with pytest.raises(DumpkitError, match="no work queues yet"):
        run(lab.session, "exqueue")


@needs_shared
def test_a_machine_names_its_maker_by_the_table_behind_its_dump() -> None:
    session = session_of("rts_9f")
    lines = run_lines(session, "!sysinfo machineid")
    assert lines[0].startswith("Machine ID Information [From Smbios ")
    names = [line.partition(" = ")[0] for line in lines[1:]]
    assert "SystemManufacturer" in names
    assert "BiosVendor" in names


def test_a_processor_is_described_by_its_prcb(lab: SessionLab) -> None:
    assert run_lines(lab.session, "sysinfo cpuinfo") == [
        "[CPU Information]",
        "~MHz = REG_DWORD 2995",
        "Identifier = REG_SZ Intel64 Family 6 Model 140 Stepping 1",
        "VendorIdentifier = REG_SZ GenuineIntel",
    ]
    assert run_lines(lab.session, "sysinfo cpuspeed") == ["CurrentSpeed: 2995"]


def key_values(*values: Tuple[str, int, bytes]) -> bytes:
    """The values of a processor's key as a dump keeps them: name, registry type, data."""
    found = b""
    for name, kind, raw in values:
        text = f"{name}\0".encode("utf-16-le")
        found += pack("<I", len(text)) + text + pack("<II", kind, len(raw)) + raw
    return found


def test_a_processors_key_behind_the_dump_is_shown_with_its_types(tmp_path: Path) -> None:
    lab = SessionLab(19041, tmp_path)
    name = "Intel(R) Core(TM) i9-10900F CPU @ 2.80GHz"
    key = key_values(
        ("~MHz", 4, pack("<I", 2808)),
        ("Component Information", 3, bytes(4)),
        ("ProcessorNameString", 1, f"{name}\0".encode("utf-16-le")),
        ("MSR8B", 11, pack("<Q", 0xC800000000)),
    )
    lab.machine.tagged.append((PROCESSOR_KEY_TAG, key))
    assert run_lines(lab.session, "sysinfo cpuinfo") == [
        "[CPU Information]",
        "~MHz = REG_DWORD 2808",
        "Component Information = REG_BINARY 0,0,0,0",
        f"ProcessorNameString = REG_SZ {name}",
        "MSR8B = REG_QWORD c800000000",
    ]
    assert run_lines(lab.session, "sysinfo cpuspeed") == [
        f'CPUID:        "{name}"',
        "MaxSpeed:     2800",
        "CurrentSpeed: 2808",
    ]


def test_what_the_dump_does_not_hold_or_nobody_knows_is_one_line(lab: SessionLab) -> None:
    with pytest.raises(DumpkitError, match="SMBIOS table is not in the dump"):
        run(lab.session, "sysinfo machineid")
    with pytest.raises(CommandError, match="'gbl' is not shown"):
        run(lab.session, "sysinfo gbl")


@needs_shared
def test_a_dump_without_symbols_says_so_in_one_line() -> None:
    with pytest.raises(SymbolError, match="has no symbols"):
        run_lines(session_of("triage_x64"), "exqueue")
