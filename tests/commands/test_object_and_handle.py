"""object and handle."""

from __future__ import annotations

import pytest
from dumpkit.errors import DumpkitError

from tests.commands.object_machine import make
from tests.forge.namespace import Entry, add_handle_table
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines


@pytest.fixture(scope="module", params=(19041, 22621))
def made(request):
    return make(request.param)


@pytest.fixture(scope="module")
def session(made, tmp_path_factory):
    opened = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("objects"))
    yield opened
    opened.target.close()


def type_address(made, name):
    return made.scene.objects.types[name].address


def test_an_object_is_shown_with_type_counts_and_name(made, session):
    low = made.parts["low"].address
    directory = made.parts["device directory"].address
    assert run_lines(session, f"object {low:x}") == [
        f"Object: {low:x}  Type: ({type_address(made, 'Device'):x}) Device",
        f"    ObjectHeader: {low - 0x30:x} (new version)",
        "    HandleCount: 0  PointerCount: 1",
        f"    Directory Object: {directory:x}  Name: DR0",
    ]


def test_the_flags_choose_what_is_shown(made, session):
    low = made.parts["low"].address
    assert len(run_lines(session, f"object {low:x} 0")) == 2
    assert run_lines(session, f"object {low:x} 10")[2:] == ["Optional Headers: ", f"    NameInfo({low - 0x50:x})"]
    assert run_lines(session, f"object {low:x} 21")[3].endswith("Name: \\Device\\DR0")


def test_a_directory_lists_its_objects_by_hash(made, session):
    lines = run_lines(session, "object \\Device")
    assert lines[0] == (
        f"Object: {made.parts['device directory'].address:x}  Type: ({type_address(made, 'Directory'):x}) Directory"
    )
    assert lines[4:7] == [
        "",
        "    Hash Address          Type                      Name",
        "    ---- -------          ----                      ----",
    ]
    rows = [line[9:] for line in lines[7:]]
    assert sorted(rows) == sorted(
        f"{made.parts[part].address:x} {'Device':<25} {name}" for part, name in (("low", "DR0"), ("pipe", "NamedPipe"))
    )


def test_the_root_is_a_directory_too(made, session):
    result = run(session, "object \\")
    assert result.name == "\\"
    assert {row.name for row in result.contents} == {"Device", "Driver", "FileSystem", "BaseNamedObjects", "GLOBAL??"}


def test_a_symbolic_link_says_where_it_leads(made, session):
    assert run_lines(session, "object \\GLOBAL??\\Disk0")[-1] == "    Target String is '\\Device\\DR0'"
    assert len(run_lines(session, "object \\GLOBAL??\\Disk0 1")) == 4


def test_files_and_keys_are_named_by_themselves(made, session):
    file = run(session, f"object {made.parts['file'].address:x}")
    assert file.name == "\\Temp\\x.txt {DR0}"
    assert run(session, f"object {made.parts['key'].address:x}").name == "\\REGISTRY\\MACHINE\\SYSTEM"


def test_the_objects_of_a_type_are_collected(made, session):
    result = run(session, "object 0 file")
    assert [(row.address, row.name) for row in result.objects] == [
        (made.parts["file"].address, "\\Temp\\x.txt {DR0}"),
    ]
    assert run_lines(session, "object 0 Event")[1] == f"    {made.parts['event'].address:x} Ready"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("object \\nosuch", "Object nosuch not found"),
        ("object 0 Nosuch", "'Nosuch' is no type of objects"),
        ("object {irp}", "Not a valid object"),
        ("object 0xffffdead00000000", "Memory read error"),
        ("object -p", "not an option"),
    ],
)
def test_what_is_no_object_is_refused_in_one_line(made, session, line, reason):
    places = {name: f"{part.address:x}" for name, part in made.parts.items()}
    with pytest.raises(DumpkitError, match=reason):
        run(session, line.format(**places))


def test_a_process_s_handles_are_shown_with_their_objects(made, session):
    user, event = made.parts["user"], made.parts["event"]
    leaf = made.parts["table"]["TableCode"]
    lines = run_lines(session, "handle 0 3 144")
    assert lines[:8] == [
        "",
        f"PROCESS {user.address:x}",
        "    SessionId: none  Cid: 0144    Peb: 00000000  ParentCid: 0004",
        f"    DirBase: {made.machine.root:08x}  ObjectTable: {made.parts['table'].address:x}  HandleCount:   4.",
        "    Image: forged.exe",
        "",
        f"Handle table at {made.parts['table'].address:x} with 4 entries in use",
        "",
    ]
    assert lines[13:18] == [
        f"0008: Object: {event.address:x}  GrantedAccess: 001f0003 (Protected) (Inherit) Entry: {leaf + 0x20:x}",
        f"Object: {event.address:x}  Type: ({type_address(made, 'Event'):x}) Event",
        f"    ObjectHeader: {event.address - 0x30:x} (new version)",
        "        HandleCount: 0  PointerCount: 1",
        f"        Directory Object: {made.parts['named objects'].address:x}  Name: Ready",
    ]
    assert any(line.startswith("000c:") and "(Audit)" in line for line in lines)


def test_the_current_process_is_meant_where_none_is_named(made, session):
    assert [row.handle for row in run(session, "handle").tables[0].handles] == [4, 8, 0xC, 0x10]


def test_one_handle_of_the_kernels_table(made, session):
    for line in ("handle ffffffff800007ac", "handle 800007ac", "handle 7ac 13"):
        lines = run_lines(session, line)
        assert f"Kernel handle table at {made.parts['kernel table'].address:x} with 2 entries in use" in lines
        assert any(f"Object: {made.parts['file'].address:x}  GrantedAccess: 00000003" in text for text in lines)


def test_words_are_parted_by_white_space_but_within_parentheses(made, session):
    current = run(session, "handle 0 3 -1 Event").tables[0]
    assert [row.object for row in current.handles] == [made.parts["event"].address]
    place = f"({made.parts['user'].address:x} + 0)"
    assert run(session, f"handle 0 0 {place} Event").tables[0].handles[0].handle == 8


def test_every_process_s_handles_of_a_type(made, session):
    result = run(session, "handle 0 3 0 Key")
    assert [len(table.handles) for table in result.tables] == [0, 1]
    assert run_lines(session, "handle 0 0 0 Key")[1:4] == [
        "**** NT ACTIVE PROCESS HANDLE DUMP ****",
        "",
        "Searching for handles of type Key",
    ]


def test_ids_lead_to_threads_and_processes(made, session):
    result = run(session, "handle 8c4 23")
    row = result.tables[0].handles[0]
    assert (row.object, row.type) == (made.parts["thread"].address, "Thread")


def test_free_entries_are_shown_where_they_are_asked_for(made, session):
    leaf = made.parts["table"]["TableCode"]
    assert run_lines(session, "handle 0 4 144")[12] == (
        f"0014: free handle, Entry address {leaf + 0x50:x}, Next Entry 00000018"
    )


@pytest.mark.parametrize("level", (0, 1, 2))
def test_every_level_of_a_table_is_walked(level, tmp_path):
    made = make()
    far = {0: 0x3FC, 1: 4 * (300 * 256 + 7), 2: 4 * (512 * 256 + 5)}[level]
    handles = {4: Entry(made.parts["event"], 1), far: Entry(made.parts["file"], 2)}
    add_handle_table(made.scene.objects, handles, made.parts["user"], level)
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert [row.handle for row in run(session, "handle 0 0 144").tables[0].handles] == [4, far]
    assert run(session, f"handle {far:x} 3 144").tables[0].handles[0].object == made.parts["file"].address
    session.target.close()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("handle 404 3 144", "no such handle"),
        ("handle 0 3 999", "no process has the id 999"),
        ("handle 0 3 {irp}", "is not a process"),
        ("handle 0 3 0 Key more", "no type of objects"),
        ("handle 24681357 20", "no such handle"),
    ],
)
def test_what_is_no_handle_is_refused_in_one_line(made, session, line, reason):
    places = {name: f"{part.address:x}" for name, part in made.parts.items()}
    with pytest.raises(DumpkitError, match=reason):
        run(session, line.format(**places))


def test_a_missing_page_of_a_table_is_said_and_the_rest_shown(tmp_path):
    made = make()
    handles = {4 * (256 * page + 1): Entry(made.parts["event"]) for page in range(3)}
    table = add_handle_table(made.scene.objects, handles, made.parts["user"], 1)
    second = made.machine.u64((table["TableCode"] & ~3) + 8)
    drop_page(made.machine, second)
    session = session_for(made.machine, made.symbols(), tmp_path)
    found = run(session, "handle 0 3 144").tables[0]
    assert [row.handle for row in found.handles] == [4, 0x804]
    assert found.notes[0].startswith("the table: handles 0400 and on:")
    session.target.close()


def test_damaged_tables_are_refused_or_bounded(tmp_path):
    made = make()
    made.parts["table"]["TableCode"] = made.parts["table"]["TableCode"] | 3
    made.parts["kernel table"]["NextHandleNeedingPool"] = 0xFFFFFFFF
    session = session_for(made.machine, made.symbols(), tmp_path)
    with pytest.raises(DumpkitError, match="level 3"):
        run(session, "handle 0 3 144")
    assert len(run(session, "handle 0 10").tables[0].handles) == 2
    session.target.close()


def test_a_chain_of_a_directory_that_loops_is_said(tmp_path):
    made = make()
    directory = made.parts["device directory"]
    for bucket in range(37):
        place = directory[f"HashBuckets[{bucket}]"]
        if place:
            made.machine.view("_OBJECT_DIRECTORY_ENTRY", place)["ChainLink"] = place
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "object \\Device")
    assert "loops at" in lines[-1]
    assert run(session, "devobj DR0").name == "DR0"
    session.target.close()


def test_the_count_of_a_table_is_that_of_its_list(made, session):
    table = made.parts["table"]
    assert run(session, "handle 0 0 144").tables[0].entries_in_use == table["FreeLists[0].HandleCount"] == 4


def test_without_the_kernels_variables_the_table_of_system_is_still_the_kernels(tmp_path):
    made = make()
    made.machine.set_global("ObpKernelHandleTable", 0x10)
    drop_page(made.machine, made.machine.address("ObpKernelHandleTable"))
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert run(session, "handle 0 0 4").tables[0].kind == "Kernel"
    session.target.close()
