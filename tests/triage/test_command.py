"""`dumpkit triage` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from dumpkit.triage.row import FIELDS

from tests.shared import DUMPS, needs_shared
from tests.triage.folders import SYMBOLS, copies


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DUMPKIT_CACHE", str(folder))
    return folder


def triage(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dumpkit", "triage", *words], capture_output=True, text=True, timeout=300, check=False
    )


def rows_of(done: subprocess.CompletedProcess[str]) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_dump_has_a_line_and_every_bucket_a_count(tmp_path: Path, cache: Path) -> None:
    copies(tmp_path / "dumps", 9, damaged=1)
    done = triage(str(tmp_path / "dumps"), "-y", SYMBOLS)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert done.stderr == ""
    assert lines[0].endswith("000.dmp  cannot be read: Not a kernel dump: the file's first 8192 bytes are all zero")
    assert "D1 DRIVER_IRQL_NOT_LESS_OR_EQUAL" in lines[3]
    assert "fileinfo!FIPfFileFSOpPostCreate+2ff" in lines[3]
    assert lines[3].endswith("  IRQL: TestDriver called nt!ZwCreateFile at DISPATCH_LEVEL, which needs PASSIVE_LEVEL")
    assert not any("IRQL:" in line for line in lines[1:3])
    assert lines[10] == "9 dumps, 3 failure buckets"
    assert [line.split()[:2] for line in lines[11:14]] == [
        ["3", "0x13a_12_overrun!FreeRecord"],
        ["3", "0x9F_3_IMAGE_slowdisk.sys"],
        ["2", "AV_fileinfo!FIPfFileFSOpPostCreate"],
    ]
    assert lines[14] == "     1  could not be read"


def test_json_rows_have_all_fields_in_one_order(tmp_path: Path, cache: Path) -> None:
    copies(tmp_path / "dumps", 3)
    rows = rows_of(triage(str(tmp_path / "dumps"), "--json", "-y", SYMBOLS))
    assert [list(row) for row in rows] == [list(FIELDS)] * 3
    assert rows[0]["bugcheck"] == {
        "code": "0xd1",
        "name": "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
        "arguments": ["0xffff80091002ac08", "0x2", "0x1", "0xfffff802084d9062"],
    }
    assert rows[0]["time"] == "2023-12-04T14:55:45.455Z"
    assert rows[0]["uptime"] == 450.911
    assert rows[0]["irql"].startswith("IRQL: TestDriver called nt!ZwCreateFile at DISPATCH_LEVEL")
    assert rows[0]["stack"][0] == "Ntfs!NtfsChangeAttributeValue+0x392"


def test_a_second_run_computes_nothing_and_says_the_same(tmp_path: Path, cache: Path) -> None:
    made = copies(tmp_path / "dumps", 6)
    first = triage(str(tmp_path / "dumps"), "--json")
    kept = {path: path.read_bytes() for path in cache.rglob("*.json")}
    assert len(kept) == len(made)
    # What a row's file says is what a second run shows: nothing is computed again.
    for path in kept:
        path.write_text(path.read_text().replace("slowdisk", "SLOWDISK"))
    second = triage(str(tmp_path / "dumps"), "--json")
    assert second.stdout == first.stdout.replace("slowdisk", "SLOWDISK")
    again = triage(str(tmp_path / "dumps"), "--json", "--again")
    assert again.stdout == first.stdout


def test_a_row_that_was_kept_before_a_field_was_added_is_computed_anew(tmp_path: Path, cache: Path) -> None:
    copies(tmp_path / "dumps", 1)
    (fresh,) = rows_of(triage(str(tmp_path / "dumps"), "--json", "-y", SYMBOLS))
    (kept,) = cache.glob("triage/*/*.json")
    kept.write_text(json.dumps({name: value for name, value in fresh.items() if name != "irql_cause"}))
    assert rows_of(triage(str(tmp_path / "dumps"), "--json", "-y", SYMBOLS)) == [fresh]
    assert fresh["irql_cause"] == "TestDriver"


def test_a_dump_that_changed_is_looked_at_again(tmp_path: Path, cache: Path) -> None:
    (path,) = copies(tmp_path / "dumps", 1)
    triage(str(path), "--json")
    path.write_bytes(path.read_bytes().replace(b"PAGEDU64", b"XXXXXXXX", 1))
    (row,) = rows_of(triage(str(path), "--json"))
    assert row["status"] == "bad"


def test_a_dump_that_kills_its_process_costs_its_own_row_only(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dumpkit.triage import workers
    from dumpkit.triage.sources import find_sources

    copies(tmp_path / "dumps", 5)
    real = workers.row_of

    def row_of(source: Any, symbols: Any, offline: bool) -> Any:
        if source.path.endswith("001.dmp"):
            os._exit(7)
        if source.path.endswith("003.dmp"):
            time.sleep(60)
        return real(source, symbols, offline)

    monkeypatch.setattr(workers, "row_of", row_of)
    sources = list(find_sources([str(tmp_path / "dumps")]))
    rows = dict(workers.rows(sources, workers.Settings(limit=3.0), jobs=2))
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert rows[1]["error"] == "the process that read it ended with status 7"
    assert rows[3]["error"] == "gave no result in 3 s"
    assert [rows[index]["status"] for index in (0, 2, 4)] == ["ok"] * 3


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc")
def test_no_worker_outlives_a_run_that_was_killed(tmp_path: Path, cache: Path) -> None:
    copies(tmp_path / "dumps", 30)
    command = [sys.executable, "-m", "dumpkit", "triage", "-j", "2", str(tmp_path / "dumps")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.readline()
    workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert len(workers) == 2
    run.kill()
    run.communicate()
    until = time.monotonic() + 20
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < until, "a worker is still there"
        time.sleep(0.1)


def is_running(number: str) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the path of a dump, a folder or an archive is missing"),
        (["--json", "--what", "x"], "unknown option --what"),
        (["x", "-j", "none"], "-j needs a number above 0, not none"),
        (["x", "--limit=inf"], "--limit needs a number above 0, not inf"),
        (["x", "--html"], "--html needs its FILE behind it"),
    ],
)
def test_a_wrong_call_says_what_and_how(words: List[str], said: str) -> None:
    done = triage(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "usage: dumpkit triage PATH..." in done.stderr


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    done = triage(str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"no dump in {tmp_path}\n"


@pytest.mark.slow
@needs_shared
def test_real_and_forged_dumps_together_survive_being_killed(tmp_path: Path, cache: Path) -> None:
    """Over 100 dumps with 10 damaged ones; killed in the middle and run again, it says what one whole run says."""
    copies(tmp_path / "dumps", 100, damaged=10)
    paths = [str(DUMPS), str(tmp_path / "dumps")]
    command = [sys.executable, "-m", "dumpkit", "triage", "--json", *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        for _ in range(30):
            running.stdout.readline()
        running.send_signal(signal.SIGKILL)
    kept = len(list(cache.rglob("*.json")))
    assert 10 <= kept < 102
    resumed = triage("--json", *paths)
    whole = triage("--json", "--again", *paths)
    assert resumed.stdout == whole.stdout
    rows = rows_of(whole)
    assert len(rows) == 114
    bad = [row for row in rows if row["status"] == "bad"]
    assert len(bad) == 12
    assert all(row["error"] for row in bad)
    assert all(row["bucket"] for row in rows if row["status"] != "bad")
