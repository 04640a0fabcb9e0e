from __future__ import annotations

import pytest
from dumpkit.errors import DumpkitError

from tests.commands.object_machine import make
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines


@pytest.fixture(scope="module", params=(19041, 22621))
def made(request):
    return make(request.param)


@pytest.fixture(scope="module")
def session(made, tmp_path_factory):
    opened = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("irp"))
    yield opened
    opened.target.close()


def test_a_request_is_shown_as_the_documentation_shows_it(made, session):
    irp, low, high, file = (made.parts[name].address for name in ("irp", "low", "high", "file"))
    completion = made.scene.places["npfs!NpCompletion"].address
    current = made.parts["irp"]["Tail.Overlay.CurrentStackLocation"]
    assert run_lines(session, f"irp {irp:x}") == [
        f"Irp is active with 3 stacks 1 is current (= 0x{current:x})",
        f" No Mdl: No System Buffer: Thread {made.parts['thread'].address:x}:  Irp stack trace.  ",
        "     cmd  flg cl Device   File     Completion-Context",
        ">[IRP_MJ_READ(3), N/A(0)]",
        f"            2 e1 {low:x} {file:x} {completion:x}-ffffa08f00001230 Success Error Cancel pending",
        "\t       \\Driver\\disk\tnpfs!NpCompletion",
        "\t\t\tArgs: 00001000 00000000 116b2963c70 00000000",
        " [IRP_MJ_DEVICE_CONTROL(e), N/A(0)]",
        f"            5 e0 {high:x} {file:x} 00000000-00000000 Success Error Cancel ",
        "\t       \\FileSystem\\Npfs",
        "\t\t\tArgs: 0000010c 00000000 0x226000 00000000",
        " [N/A(0), N/A(0)]",
        "            0  0 00000000 00000000 00000000-00000000    ",
        "",
        "\t\t\tArgs: 00000000 00000000 00000000 00000000",
    ]


def test_detail_adds_the_members_of_the_packet(made, session):
    lines = run_lines(session, f"irp {made.parts['irp'].address:x} 1")
    thread = made.parts["thread"].address
    assert "Flags = 00000000" in lines
    assert f"Tail.Overlay.Thread = {thread:x}" in lines
    assert lines.index("Flags = 00000000") == 2


def test_the_result_has_what_the_lines_leave_out(made, session):
    result = run(session, f"irp {made.parts['irp'].address:x}")
    assert [location.file_name for location in result.locations] == ["\\Temp\\x.txt", "\\Temp\\x.txt", None]
    assert [location.current for location in result.locations] == [True, False, False]
    assert result.notes == ()


def test_without_an_address_every_threads_requests_are_listed(made, session):
    result = run(session, "irp")
    assert [row.address for row in result.irps] == [made.parts["irp"].address]
    assert (result.irps[0].driver, result.irps[0].process, result.irps[0].function) == (
        "\\Driver\\disk",
        "System",
        "IRP_MJ_READ, N/A",
    )
    assert run_lines(session, "irp")[-1] == "1 requests of 2 threads"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"CurrentLocation": 4}, " No Mdl: No System Buffer: Thread {thread:x}:  Irp is completed.  "),
        ({"MdlAddress": 0xFFFFC38E3B905880}, " Mdl=ffffc38e3b905880: No System Buffer: Thread"),
        ({"AssociatedIrp.SystemBuffer": 0xFFFFBE0780F7E620}, " No Mdl: System buffer=ffffbe0780f7e620: Thread"),
        ({"AssociatedIrp.SystemBuffer": 0xFFFFBE0780F7E620, "Flags": 8}, " No Mdl: Master Irp=ffffbe0780f7e620: "),
        ({"PendingReturned": 1}, "Irp stack trace.  Pending has been returned"),
    ],
)
def test_each_state_of_a_request_is_said_in_its_second_line(changes, wanted, tmp_path):
    made = make()
    made.parts["irp"].set(changes)
    session = session_for(made.machine, made.symbols(), tmp_path)
    line = run_lines(session, f"irp {made.parts['irp'].address:x}")[1]
    assert wanted.format(thread=made.parts["thread"].address) in line
    session.target.close()


def test_what_contradicts_itself_is_said(tmp_path):
    made = make()
    made.parts["irp"].set({"CurrentLocation": 2})
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert "CurrentStackLocation:" in run_lines(session, f"irp {made.parts['irp'].address:x}")[-1]
    session.target.close()


@pytest.mark.parametrize("what", ("low", "event"))
def test_what_is_no_request_is_refused_in_one_line(made, session, what):
    with pytest.raises(DumpkitError, match="IRP signature does not match, probably not an IRP"):
        run(session, f"irp {made.parts[what].address:x}")


def test_memory_that_is_not_there_is_said(made, session):
    with pytest.raises(DumpkitError, match="Memory read error"):
        run(session, "irp 0xffffdead00000000")


def test_a_driver_that_is_not_in_the_dump_leaves_the_rest(tmp_path):
    made = make()
    away = made.machine.place("_DRIVER_OBJECT", 0xFFFFA08F20000000)
    made.parts["low"]["DriverObject"] = away
    drop_page(made.machine, away.address)
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, f"irp {made.parts['irp'].address:x}")
    assert "\t       ????\tnpfs!NpCompletion" in lines
    assert any(line.startswith("the driver of device") for line in lines)
    session.target.close()


def test_a_list_that_loops_ends(tmp_path):
    made = make()
    irp = made.parts["irp"]
    irp["ThreadListEntry.Flink"] = irp.at("ThreadListEntry")
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "irp")
    assert "1 requests of 2 threads" in lines
    assert "the list loops" in lines[-1]
    session.target.close()
