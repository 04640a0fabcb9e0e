"""`analyze`: its text, its options, and what programs get of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator, List

import pytest
from dumpkit.commands.analyze_facts import Analysis
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.session import Session

from tests.kernel.analysis.crash_scene import crash
from tests.running import dumpkit, run, run_lines, session_on

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(crash().write_symbols(tmp_path_factory.mktemp("symbols")))


@pytest.fixture
def on(tmp_path: Path, store: str) -> Iterator:
    """A session on the forged crash with a bugcheck."""
    opened: List[Session] = []

    def session(code: int, words: str) -> Session:
        path = tmp_path / "forged.dmp"
        path.write_bytes(crash().dump(code, crash().parameters(words.split())))
        opened.append(session_on(open_dump(str(path), symbol_path=store, offline=True)))
        return opened[-1]

    yield session
    for each in opened:
        each.dump.close()  # type: ignore[attr-defined]


def labels(lines: List[str]) -> List[str]:
    """The labels of an analysis in their order, the keys left out."""
    start = lines.index(next(line for line in lines if line.startswith("BUGCHECK_CODE")))
    found = []
    for line in lines[start : lines.index("---------")]:
        label, colon, _ = line.partition(":")
        if colon and label.isupper() and " " not in label and label != "NOTE":
            found.append(label)
    return found


HEAD = ["BUGCHECK_CODE", "BUGCHECK_P1", "BUGCHECK_P2", "BUGCHECK_P3", "BUGCHECK_P4", "FILE_IN_CAB"]
CULPRIT = ["SYMBOL_NAME", "MODULE_NAME", "IMAGE_NAME"]
TAIL = ["STACK_COMMAND", "BUCKET_ID_FUNC_OFFSET", "FAILURE_BUCKET_ID", "OS_VERSION", "BUILDLAB_STR"]
TAIL += ["OSPLATFORM_TYPE", "OSNAME", "FAILURE_ID_HASH"]
EXCEPTION = ["ERROR_CODE", "EXCEPTION_CODE_STR", "EXCEPTION_PARAMETER1", "EXCEPTION_PARAMETER2", "EXCEPTION_STR"]


@pytest.mark.parametrize(
    ("code", "words", "between"),
    [
        (0xD1, "ADDR 2 1 IP", ["WRITE_ADDRESS", "PROCESS_NAME", "TRAP_FRAME", "STACK_TEXT", *CULPRIT]),
        (0xD1, "ADDR 2 0 IP", ["READ_ADDRESS", "PROCESS_NAME", "TRAP_FRAME", "STACK_TEXT", *CULPRIT]),
        (
            0x50,
            "ADDR 2 IP 0",
            "READ_ADDRESS MM_INTERNAL_CODE IMAGE_NAME MODULE_NAME FAULTING_MODULE PROCESS_NAME TRAP_FRAME STACK_TEXT "
            "SYMBOL_NAME".split(),
        ),
        (
            0x7E,
            "c0000005 IP ER CX",
            ["EXCEPTION_RECORD", "CONTEXT", "PROCESS_NAME", "WRITE_ADDRESS", *EXCEPTION, "STACK_TEXT", *CULPRIT],
        ),
        (
            0x139,
            "1d TF ER 0",
            ["TRAP_FRAME", "EXCEPTION_RECORD", "PROCESS_NAME", "WRITE_ADDRESS", *EXCEPTION, "STACK_TEXT", *CULPRIT],
        ),
        (0x13A, "12 0 ADDR 0", ["CORRUPTING_POOL_ADDRESS", "PROCESS_NAME", "STACK_TEXT", *CULPRIT]),
        (0x19, "22 ADDR 0 0", ["POOL_ADDRESS", "PROCESS_NAME", "STACK_TEXT", *CULPRIT]),
        (0xE3, "ADDR THR 0 2", ["PROCESS_NAME", "STACK_TEXT", *CULPRIT]),
    ],
)
def test_the_labels_stand_in_windbgs_order(code: int, words: str, between: List[str], on) -> None:
    assert labels(run_lines(on(code, words), "!analyze -v")) == HEAD + between + TAIL


@pytest.mark.parametrize(
    ("code", "words", "line"),
    [
        (
            0x7E,
            "80000003 IP ER CX",
            "(NTSTATUS) 0xc0000005 - The instruction at 0x%p referenced memory at 0x%p. The memory could not be %s.",
        ),
        (0x7A, "1 ffffffffc000009c 0 ADDR", "(NTSTATUS) 0xc000009c - STATUS_DEVICE_DATA_ERROR"),
        (0x74, "2 0 0 c0000218", "(NTSTATUS) 0xc0000218 - {Registry File Failure}  The registry cannot load the hive"),
        (0x77, "e0000001 e0000001 0 0", "(NTSTATUS) 0xe0000001 - <Unable to get error code text>"),
    ],
)
def test_a_status_is_shown_with_its_message(code: int, words: str, line: str, on) -> None:
    lines = run_lines(on(code, words), "!analyze -v")
    (found,) = [each for each in lines if each.startswith("ERROR_CODE: ")]
    assert found[12:].startswith(line)


def test_the_summary_names_process_culprit_and_bucket(on) -> None:
    lines = run_lines(on(0xD1, "ADDR 2 1 IP"), "!analyze")
    start = lines.index("Debugging Details:")
    end = lines.index("---------")
    assert [line for line in lines[start:end] if line] == [
        "Debugging Details:",
        "------------------",
        "BUGCHECK_CODE:  d1",
        f"BUGCHECK_P1: {crash().names['ADDR']:x}",
        "BUGCHECK_P2: 2",
        "BUGCHECK_P3: 1",
        f"BUGCHECK_P4: {crash().names['IP']:x}",
        "PROCESS_NAME:  System",
        "SYMBOL_NAME:  bad!Touch+10",
        "MODULE_NAME: bad",
        "IMAGE_NAME:  bad.sys",
        "FAILURE_BUCKET_ID:  AV_bad!Touch",
        "FAILURE_ID_HASH:  {0400a9dd-bff7-f87f-fc52-4c13b8afd543}",
        "Followup:     MachineOwner",
    ]


def test_keys_are_sorted_by_their_characters_codes(on) -> None:
    lines = run_lines(on(0x139, "1d TF ER 0"), "!analyze -v")
    keys = [line.partition(": ")[2] for line in lines if line.startswith("    Key  : ")]
    assert keys == sorted(keys)
    assert "FailFast.Name" in keys
    assert len([key for key in keys if key.startswith("Analysis.")]) == 8


def test_a_context_record_is_the_stack_command(on) -> None:
    lines = run_lines(on(0x7E, "c0000005 IP ER CX"), "!analyze -v")
    assert f"STACK_COMMAND:  .cxr 0x{crash().names['CX']:x} ; kb" in lines
    lines = run_lines(on(0x101, "c 0 PRCB 1"), "!analyze -v")
    assert "STACK_COMMAND:  ~1s ; kb" in lines


def test_nobody_is_blamed_where_the_stack_is_not_the_causes(on) -> None:
    lines = run_lines(on(0x109, "0 0 0 1"), "!analyze -v")
    assert "SYMBOL_NAME:  ANALYSIS_INCONCLUSIVE" in lines
    assert "MODULE_NAME: Unknown_Module" in lines
    assert "IMAGE_NAME:  Unknown_Image" in lines
    assert any(line.startswith("Not known: culprit: ") for line in lines)


def test_show_describes_any_bugcheck(on) -> None:
    session = on(0xD1, "ADDR 2 1 IP")
    lines = run_lines(session, "!analyze -show")
    assert lines[0] == "DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)"
    assert lines[-1] == f"Arg4: {crash().names['IP']:016x}, address which referenced memory"
    assert run_lines(session, "!analyze -show 139 1d")[-4] == (
        "Arg1: 000000000000001d, An RTL_BALANCED_NODE RBTree entry has been corrupted."
    )
    assert run_lines(session, "!analyze -show 39")[-1] == "Arg4: 0000000000000000"
    assert run_lines(session, "!analyze -show dead")[:2] == [
        "Unknown bugcheck code (dead)",
        "Unknown bugcheck description",
    ]


def test_show_needs_no_dump_with_a_code() -> None:
    assert run_lines(session_on(None), "!analyze -show 0xd1")[0] == "DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)"
    with pytest.raises(CommandError, match="needs a dump"):
        run_lines(session_on(None), "!analyze -v")


@pytest.mark.parametrize("options", ["-D x", "-xml -v", "-foo", "-show 1 2 3 4 5 6", "nt"])
def test_what_is_not_supported_is_refused_in_one_line(options: str, on) -> None:
    with pytest.raises(CommandError) as error:
        run(on(0xD1, "ADDR 2 1 IP"), f"!analyze {options}")
    assert "\n" not in str(error.value)


def test_a_machine_that_did_not_stop_is_analysed_only_by_force(on) -> None:
    session = on(0, "0 0 0 0")
    with pytest.raises(CommandError, match="did not bugcheck"):
        run(session, "!analyze -v")
    lines = run_lines(session, "!analyze -v -f")
    assert "Unknown bugcheck code (0)" in lines
    assert "MODULE_NAME: bad" in lines


def test_hang_says_who_holds_what_others_wait_for() -> None:
    session = session_on(open_dump(str(EXAMPLES / "power-0x9f" / "MEMORY.DMP")))
    lines = run_lines(session, "!analyze -hang")
    assert lines[0] == "2 threads, 1 of them wait for what another thread holds"
    assert any(line.startswith("mutant ") and " is held by thread " in line for line in lines)


def test_the_block_before_a_damaged_one_is_named() -> None:
    session = session_on(open_dump(str(EXAMPLES / "pool-0x13a" / "MEMORY.DMP")))
    found: Analysis = run(session, "!analyze")
    assert found.allocation is not None
    assert found.allocation_before is not None
    assert found.allocation_before.tag == "Ovrn"
    assert any(line.startswith("Pool before it: ") and "tag Ovrn" in line for line in run_lines(session, "!analyze"))


def test_the_request_of_a_power_failure_leads_to_its_driver() -> None:
    session = session_on(open_dump(str(EXAMPLES / "power-0x9f" / "MEMORY.DMP")))
    found: Analysis = run(session, "!analyze -v")
    assert (found.culprit.module, found.bucket) == ("slowdisk", "0x9F_3_IMAGE_slowdisk.sys")
    assert found.request is not None
    assert found.request.address == found.description.arguments[3].value
    assert "IRP" in found.evidence["culprit"]


def test_programs_get_all_of_it_with_evidence() -> None:
    done = dumpkit(str(EXAMPLES / "fast-mutex-irql" / "MEMORY.DMP"), "--json", "-c", "!analyze -v")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)["data"]
    assert data["culprit"]["module"] == "fileinfo"
    assert data["bucket"] == "AV_fileinfo!FIPfFileFSOpPostCreate"
    assert data["failing_context"]["kind"] == "trap frame"
    assert data["access"]["operation"] == "Write"
    assert "passed over as plumbing: Ntfs, nt, FLTMGR" in data["evidence"]["culprit"]
    assert data["irql"]["cause"]["module"] == "TestDriver"
    assert len(data["frames"]) == 36
