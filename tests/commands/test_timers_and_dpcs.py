"""timer, dpcs and pcr."""

from __future__ import annotations

import pytest
from dumpkit.errors import DumpkitError, SymbolError

from tests.commands.object_machine import CRASH_TIME, UPTIME, Made, make
from tests.faulty_target import Faults, Missing
from tests.forge.sync import add_timer
from tests.forge.thread import wait
from tests.forge.timers import add_dpc, empty_tables, encoded_dpc, queue_dpcs, queue_timer, set_keys
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared

SECOND = 10_000_000
NEVER, ALWAYS = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03


def with_timers(build: int = 19041) -> Made:
    """Timers in both tables of the first processor, DPCs in its queues."""
    made = make(build)
    machine, (first, second) = made.machine, made.processors
    set_keys(machine, NEVER, ALWAYS)
    for processor in (first, second):
        empty_tables(processor)
    routine = made.scene.places["nt!PpmPerfAction"].address
    dpc = add_dpc(machine, routine, context=0x1234)
    made.parts["dpc"] = dpc
    made.parts["with dpc"] = timer = add_timer(machine, UPTIME + SECOND, period=1000)
    queue_timer(first, timer, 1, 3, dpc.address)
    made.parts["waited for"] = timer = add_timer(machine, UPTIME + 2 * SECOND)
    queue_timer(first, timer, 1, 3)
    wait(made.parts["thread"], 0, [timer])
    made.parts["never"] = timer = add_timer(machine, 1 << 63 | 0x10232936)
    queue_timer(first, timer, 0, 200)
    threaded = add_dpc(machine, made.scene.places["nt!KiDpcWatchdog"].address, threaded=True)
    made.parts["queued"], made.parts["threaded"] = queued, threaded = add_dpc(machine, routine + 4), threaded
    queue_dpcs(first, [queued, dpc])
    queue_dpcs(first, [threaded], threaded=True)
    queue_dpcs(second, [])
    return made


@pytest.fixture(scope="module", params=(19041, 22621))
def made(request):
    return with_timers(request.param)


@pytest.fixture(scope="module")
def session(made, tmp_path_factory):
    opened = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("timers"))
    yield opened
    opened.target.close()


def test_timers_are_shown_by_table_and_list(made, session):
    table = made.processors[0].prcb.at("TimerTable")
    parts = {name: f"{part.address:x}" for name, part in made.parts.items()}
    heading = "List Timer             Interrupt Low/High Fire Time                  DPC/thread"
    low = (UPTIME + SECOND) & 0xFFFFFFFF
    later = (UPTIME + 2 * SECOND) & 0xFFFFFFFF
    high = UPTIME >> 32
    lines = run_lines(session, "timer 0")
    assert lines[:2] == ["Dump system timers", ""]
    assert lines[2].startswith(f"Interrupt time: {UPTIME & 0xFFFFFFFF:08x} {high:08x} [12/ 4/2023 14:55:45.455]")
    assert lines[4:] == [
        f"PROCESSOR 0 (nt!_KTIMER_TABLE {table:x} - Type 0 - High precision)",
        heading,
        f"200 {parts['never']}    10232936 80000000 [         NEVER         ]  ",
        "",
        f"PROCESSOR 0 (nt!_KTIMER_TABLE {table:x} - Type 1 - Standard)",
        heading,
        f"  3 {parts['with dpc']} P  {low:08x} {high:08x} [12/ 4/2023 14:55:46.455]  "
        f"nt!PpmPerfAction (DPC @ {parts['dpc']}) ",
        f"    {parts['waited for']}    {later:08x} {high:08x} [12/ 4/2023 14:55:47.455]  thread {parts['thread']} ",
        "",
        "Total Timers: 3, Maximum List: 2",
    ]


def test_every_processor_has_its_tables(made, session):
    result = run(session, "timer")
    assert [(table.processor, table.kind) for table in result.tables] == [
        (0, "High precision"),
        (0, "Standard"),
        (1, "High precision"),
        (1, "Standard"),
    ]
    assert result.tables[1].timers[0].fire_time == CRASH_TIME + SECOND


@pytest.mark.parametrize(("never", "always"), [(NEVER, ALWAYS), (0, 0), (64, 1), (0x3F, ALWAYS)])
def test_pointers_to_dpcs_are_decoded_whatever_the_keys(never, always, tmp_path):
    made = with_timers()
    set_keys(made.machine, never, always)
    timer = made.parts["with dpc"]
    timer["Dpc"] = encoded_dpc(made.machine, timer.address, made.parts["dpc"].address)
    session = session_for(made.machine, made.symbols(), tmp_path)
    found = run(session, "timer 0").tables[1].timers[0]
    assert found.dpc == made.parts["dpc"].address
    assert found.symbol == "nt!PpmPerfAction"
    session.target.close()


def test_a_pointer_that_leads_nowhere_is_said(tmp_path):
    made = with_timers()
    made.parts["with dpc"]["Dpc"] = 0x1234567
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert any(line.endswith("(DPC not decoded)") for line in run_lines(session, "timer 0"))
    session.target.close()


def test_queued_dpcs_are_shown_by_processor_and_kind(made, session):
    routine = made.scene.places["nt!PpmPerfAction"].address
    watchdog = made.scene.places["nt!KiDpcWatchdog"].address
    parts = {name: f"{part.address:x}" for name, part in made.parts.items()}
    wanted = [
        "CPU Type      KDPC       Function",
        f" 0: Normal  : 0x{parts['queued']} 0x{routine + 4:x} nt!PpmPerfAction+0x4",
        f" 0: Normal  : 0x{parts['dpc']} 0x{routine:x} nt!PpmPerfAction",
        f" 0: Threaded: 0x{parts['threaded']} 0x{watchdog:x} nt!KiDpcWatchdog",
    ]
    assert run_lines(session, "dpcs") == wanted
    assert run_lines(session, "dpcs 0") == wanted
    assert run_lines(session, "dpcs 1") == wanted[:1]


def test_a_dpc_that_is_not_in_the_dump_is_said(tmp_path):
    made = with_timers()
    away = made.machine.place("_KDPC", 0xFFFFA08F40000000)
    queue_dpcs(made.processors[0], [made.parts["queued"], away])
    drop_page(made.machine, away.address)
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "dpcs")
    assert f"Failed to read DPC at 0x{away.address:x}" in lines
    assert lines[-1].startswith("the normal queue of processor 0: link at")
    session.target.close()


def test_the_control_region_says_what_it_holds(made, session):
    pcr, prcb = made.processors[0].pcr.address, made.processors[0].prcb
    lines = run_lines(session, "pcr 0")
    assert lines[:3] == [
        f"KPCR for Processor 0 at {pcr:x}:",
        "    Major 1 Minor 1",
        f"\tNtTib.ExceptionList: {made.processors[0].pcr['GdtBase']:016x}",
    ]
    assert f"\t            SelfPcr: {pcr:x}" in lines
    assert f"\t               Prcb: {prcb.address:x}" in lines
    assert f"\t      CurrentThread: {prcb['CurrentThread']:x}" in lines
    assert lines[-3].startswith(f"\t          DpcQueue:  0x{made.parts['queued'].address:x} 0x")
    assert run_lines(session, "pcr 1")[-1] == "\t          DpcQueue: "


@pytest.mark.parametrize("line", ("timer 2", "dpcs 9", "pcr 2"))
def test_a_processor_that_is_not_there_is_refused(session, line):
    with pytest.raises(DumpkitError, match="is not a valid processor number"):
        run(session, line)


def test_lists_that_loop_end(tmp_path):
    made = with_timers()
    timer = made.parts["with dpc"]
    timer["TimerListEntry.Flink"] = timer.at("TimerListEntry")
    queue_dpcs(made.processors[0], [made.parts["queued"]])
    made.parts["queued"]["DpcListEntry.Next"] = made.parts["queued"].at("DpcListEntry")
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert "the list loops" in run_lines(session, "timer 0")[-1]
    assert "the list loops" in run_lines(session, "dpcs 0")[-1]
    session.target.close()


def test_a_processor_whose_block_is_not_in_the_dump_is_said(tmp_path):
    made = with_timers()
    prcb = made.processors[1].prcb
    for page in range(0, prcb.size, 0x1000):
        drop_page(made.machine, prcb.address + page)
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert any("processor 1: link at" in line for line in run_lines(session, "dpcs"))
    assert any(line.startswith("processor 1: ") for line in run_lines(session, "timer"))
    session.target.close()


def test_without_the_keys_the_timers_are_shown_all_the_same(made, session):
    with Faults(session.target, Missing(made.machine.address("KiWaitNever"), 8)):
        lines = run_lines(session, "timer 0")
    assert "Total Timers: 3, Maximum List: 2" in lines
    assert any(line.endswith(f"thread {made.parts['thread'].address:x} ") for line in lines)
    assert any(line.startswith("timers: pointers to DPCs: KiWaitNever") for line in lines)


def test_without_the_shared_data_the_headers_uptime_tells_when_timers_fire(tmp_path):
    made = with_timers()
    drop_page(made.machine, 0xFFFFF78000000000)
    made.machine.header.update(system_time=CRASH_TIME, system_up_time=UPTIME)
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "timer 0")
    assert any("[12/ 4/2023 14:55:46.455]" in line for line in lines)
    assert any("uptime stands for it" in line for line in lines)
    session.target.close()


@needs_shared
@pytest.mark.parametrize("line", ("timer", "dpcs", "pcr"))
def test_without_symbols_one_line_says_so(line):
    session = session_of("rts_9f")
    with pytest.raises(SymbolError, match="is not known: nt has no symbols"):
        run(session, line)
    session.target.close()
