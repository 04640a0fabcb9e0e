"""peb, teb and ustr: user mode's blocks, whole and with what is missing; command lines in p and tl."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.clock import Zone
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.output import data

from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines
from tests.session_machine import (
    COMMAND_LINE,
    ENVIRONMENT,
    LOADER,
    PARAMETERS,
    PEB,
    PEB32,
    TEB,
    VARIABLES,
    SessionLab,
    add_user_mode,
)


def lab_with_user_mode(build: int, folder: Path) -> SessionLab:
    lab = SessionLab(build, folder)
    add_user_mode(lab)
    return lab


@pytest.fixture(scope="module", params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SessionLab:
    found = lab_with_user_mode(request.param, tmp_path_factory.mktemp("blocks"))
    run(found.session, f".process {found.program.address:x}")
    found.session.zone = Zone(0)
    return found


def test_a_peb_is_shown_with_its_lists_parameters_and_environment(lab: SessionLab) -> None:
    head = LOADER + lab.machine.layouts.offset("_PEB_LDR_DATA", "InInitializationOrderModuleList")
    memory = LOADER + lab.machine.layouts.offset("_PEB_LDR_DATA", "InMemoryOrderModuleList")
    assert run_lines(lab.session, "!peb") == [
        f"PEB at {PEB:016x}",
        "    InheritedAddressSpace:    No",
        "    ReadImageFileExecOptions: No",
        "    BeingDebugged:            Yes",
        "    ImageBaseAddress:         00007ff7ebea0000",
        f"    Ldr                       {LOADER:016x}",
        "    Ldr.Initialized:          Yes",
        f"    Ldr.InInitializationOrderModuleList: {head:016x} . {head:016x}",
        f"    Ldr.InLoadOrderModuleList:           {LOADER + 0x1000:016x} . {LOADER + 0x1200:016x}",
        f"    Ldr.InMemoryOrderModuleList:         {memory:016x} . {memory:016x}",
        "                    Base TimeStamp                     Module",
        "            7ff7ebea0000 6512bd43 Sep 26 11:15:15 2023 C:\\bin\\a_very_long_name.exe",
        "            7ff834650000 e0000000                      C:\\Windows\\ntdll.dll",
        "    SubSystemData:     0000000000000000",
        "    ProcessHeap:       0000020a6ee40000",
        f"    ProcessParameters: {PARAMETERS:016x}",
        "    CurrentDirectory: 'C:\\Windows\\'",
        "    WindowTitle:  'C:\\bin\\a_very_long_name.exe'",
        "    ImageFile:    'C:\\bin\\a_very_long_name.exe'",
        f"    CommandLine:  '{COMMAND_LINE}'",
        "    DllPath:      ''",
        f"    Environment:  {ENVIRONMENT:016x}",
        *(f"        {each}" for each in VARIABLES),
    ]


def test_a_peb_is_given_by_its_address_too_and_is_data(lab: SessionLab) -> None:
    found = data(run(lab.session, f"peb {PEB:x}"))
    assert found["command_line"] == COMMAND_LINE
    assert found["variables"] == list(VARIABLES)
    assert [module["base"] for module in found["modules"]] == ["0x7ff7ebea0000", "0x7ff834650000"]
    assert found["wow64"] is None


def test_command_lines_are_in_p_and_tl_and_name_services(lab: SessionLab) -> None:
    assert f"Command Line: {COMMAND_LINE}" in run_lines(lab.session, "!p a_very_long_name.exe")
    lines = run_lines(lab.session, "!tl -proc a_very")
    assert lines[2].endswith(COMMAND_LINE)
    (row,) = data(run(lab.session, "tl -m ntdll a_very"))["processes"]
    assert row["modules"] == ["ntdll.dll"]


def test_a_teb_is_shown_of_the_current_thread_or_by_its_address(lab: SessionLab) -> None:
    session = lab.session
    run(session, f".thread {lab.made.threads['user'].address:x}")
    lines = run_lines(session, "teb")
    assert lines == run_lines(session, f"teb {TEB:x}")
    assert lines[0] == f"TEB at {TEB:016x}"
    assert lines[1:4] == [
        "    ExceptionList:        0000000000000000",
        "    StackBase:            0000000917e00000",
        "    StackLimit:           0000000917df0000",
    ]
    assert lines[9:] == [
        "    ClientId:             00000000000009ac . 00000000000009b0",
        "    RpcHandle:            0000000000000000",
        "    Tls Storage:          0000000000000000",
        f"    PEB Address:          {PEB:016x}",
        "    LastErrorValue:       5",
        "    LastStatusValue:      c0000034",
        "    Count Owned Locks:    0",
        "    HardErrorMode:        0",
    ]
    run(session, ".thread")


def test_a_32_bit_programs_second_block_comes_first(tmp_path: Path) -> None:
    lab = lab_with_user_mode(19041, tmp_path)
    machine = lab.machine
    machine.place("_PEB32", PEB32).set({"ImageBaseAddress": 0x400000, "ProcessHeap": 0x10000, "Ldr": 0x77FBE900})
    block = machine.place("_EWOW64PROCESS")
    block["Peb"] = PEB32
    lab.program["WoW64Process"] = block
    run(lab.session, f".process {lab.program.address:x}")
    lines = run_lines(lab.session, "peb")
    assert f"Wow64 PEB32 at {PEB32:x}" in lines
    assert "    ImageBaseAddress:         00400000" in lines
    assert f"Wow64 PEB at {PEB:016x}" in lines
    assert run_lines(lab.session, "tl a_very")[2].endswith("a_very_long_name.exe*32")


@pytest.mark.parametrize(
    ("page", "kept", "line"),
    [
        (LOADER, f"    CommandLine:  '{COMMAND_LINE}'", "the loader's lists: "),
        (LOADER + 0x2000, f"    CommandLine:  '{COMMAND_LINE}'", "the loader's list of images: "),
        (PARAMETERS, "    BeingDebugged:            Yes", "the process parameters: "),
        (PARAMETERS + 0x1000, "    BeingDebugged:            Yes", "the process parameters: "),
        (ENVIRONMENT, f"    CommandLine:  '{COMMAND_LINE}'", "the environment: "),
    ],
)
def test_what_is_missing_is_told_and_the_rest_is_shown(page: int, kept: str, line: str, tmp_path: Path) -> None:
    lab = lab_with_user_mode(19041, tmp_path)
    drop_page(lab.machine, page)
    run(lab.session, f".process {lab.program.address:x}")
    lines = run_lines(lab.session, "peb")
    assert kept in lines
    assert any(each.startswith(line) for each in lines)


def test_a_kernel_dump_has_no_blocks_and_one_line_says_so(tmp_path: Path) -> None:
    lab = lab_with_user_mode(19041, tmp_path)
    for address in (PEB, TEB):
        drop_page(lab.machine, address)
    session = lab.session
    run(session, f".thread {lab.made.threads['user'].address:x}")
    run(session, f".process {lab.program.address:x}")
    with pytest.raises(DumpkitError, match=f"PEB at {PEB:016x} is not in the dump"):
        run(session, "peb")
    with pytest.raises(DumpkitError, match=f"TEB at {TEB:016x} is not in the dump"):
        run(session, "teb")
    lines = run_lines(session, "p a_very_long_name.exe")
    assert any(line.startswith("the command line: ") for line in lines)


def test_a_loop_in_the_loaders_list_ends_and_is_named(tmp_path: Path) -> None:
    lab = lab_with_user_mode(19041, tmp_path)
    lab.machine.put_u64(LOADER + 0x1200, LOADER + 0x1200)
    run(lab.session, f".process {lab.program.address:x}")
    lines = run_lines(lab.session, "peb")
    assert any("the end of the loader's list of images: the list loops" in line for line in lines)


def test_an_environment_without_a_size_ends_at_its_two_nuls(tmp_path: Path) -> None:
    lab = lab_with_user_mode(19041, tmp_path)
    parameters = lab.machine.view("_RTL_USER_PROCESS_PARAMETERS", PARAMETERS)
    parameters["EnvironmentSize"] = 0
    long = "".join(f"NAME{number}={'x' * 50}\0" for number in range(100))
    lab.machine.put(ENVIRONMENT, long.encode("utf-16-le") + b"\0\0" + b"junk" * 100)
    run(lab.session, f".process {lab.program.address:x}")
    assert len(run(lab.session, "peb").variables) == 100


def test_a_process_and_a_thread_without_user_mode_have_no_blocks(lab: SessionLab) -> None:
    session = session_for(lab.machine, lab.made.symbols(), lab.folder, 6)
    with pytest.raises(DumpkitError, match="the process has no PEB"):
        run(session, "peb")
    with pytest.raises(CommandError, match="never run in user mode"):
        run(session, "teb")


def test_a_counted_string_is_shown_with_its_lengths(tmp_path: Path) -> None:
    lab = SessionLab(19041, tmp_path)
    place = lab.machine.allocate(16)
    lab.machine.put(place, lab.text("\\Device\\Tcp"))
    assert run_lines(lab.session, f"!ustr {place:x}") == [f"String(22,24) at {place:016x}: \\Device\\Tcp"]
    with pytest.raises(CommandError, match="is no UNICODE_STRING: length"):
        run(lab.session, f"ustr {place + 8:x}")


def test_a_counted_string_whose_text_is_missing_says_so(tmp_path: Path) -> None:
    lab = SessionLab(19041, tmp_path)
    place = lab.machine.allocate(16)
    lab.machine.put_u64(place, 0x00180016, 0xFFFFF900_12340000)
    (line,) = run_lines(lab.session, f"ustr {place:x}")
    assert line.startswith(f"String(22,24) at {place:016x}: its text at fffff90012340000 is not in the dump: ")
