"""The report on one dump: what it says, and that it stands alone."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import List, Optional, Tuple

import pytest
from dumpkit.errors import CommandError, UnwritableError
from dumpkit.library import open_dump
from dumpkit.output import Output
from dumpkit.report.command import check_target, main, write_report
from dumpkit.report.page import Markup, element, joined, table

from tests.running import dumpkit
from tests.shared import DUMPS, needs_shared

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

_VOID = {"meta", "rect", "path", "br"}


class Reader(HTMLParser):
    """A page's text, and every element that is not closed or closed twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: List[str] = []
        self.addresses: List[str] = []
        self.open: List[str] = []
        self.wrong: List[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: List[Tuple[str, Optional[str]]]) -> None:
        self.addresses += [value or "" for name, value in attributes if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "out.html"
    write_report(str(EXAMPLES / "fast-mutex-irql"), str(path))
    return path.read_text(encoding="utf-8")


def test_the_verdict_comes_first_and_names_who_raised_the_irql(page: str) -> None:
    text = "\n".join(Reader(page).text)
    verdict = text.index("TestDriver called nt!ZwCreateFile at DISPATCH_LEVEL, which needs PASSIVE_LEVEL.")
    assert verdict < text.index("Evidence")
    assert "The level was raised in TestDriver!FileCreationThread+0x3a, by nt!KzRaiseIrql." in text
    assert "Bystanders, which ran at the level they were called at: FLTMGR, fileinfo, Ntfs." in text


def test_everything_that_a_reader_needs_is_there(page: str) -> None:
    text = "\n".join(Reader(page).text)
    for wanted in (
        "AV_fileinfo!FIPfFileFSOpPostCreate",
        "{b4048e5d-9388-9a34-9958-ec36d87bbe12}",
        "Ntfs!NtfsChangeAttributeValue+0x392",
        "memory referenced",
        "System Uptime: 0 days 0:07:30.911",
        "bytes of physical memory from 0x0",
        "TestDriver.sys",
        "third party",
    ):
        assert wanted in text, wanted


def test_the_page_stands_alone_and_is_well_formed(page: str) -> None:
    reader = Reader(page)
    assert (reader.wrong, reader.open) == ([], [])
    assert all(address.startswith("#") for address in reader.addresses)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    for anchor in reader.addresses:
        assert f'id="{anchor[1:]}"' in page


def test_a_column_without_any_cell_is_left_out() -> None:
    shown = table(("A", "B", "C"), [["1", "", None], ["2", "", "x"]])
    assert "B" not in shown and shown.count("<td>") == 4
    assert table(("A", "B"), []).count("<th") == 2 + 1


def test_text_of_a_dump_cannot_become_markup() -> None:
    hostile = '<img src=x onerror=alert(1)>\x1b[31m\x07&"'
    made = element("td", hostile, title=hostile)
    assert "<img" not in made
    assert "\x1b" not in made
    assert joined([Markup("<b>"), "<b>"]) == "<b>&lt;b&gt;"


def test_threads_that_wait_for_each_others_locks_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    write_report(str(EXAMPLES / "power-0x9f"), str(path))
    page = path.read_text(encoding="utf-8")
    assert "threads, and what they wait for" in page
    assert re.search(r"mutant ffffa08f10006ed0", page)


def test_markdown_has_the_same_verdict(tmp_path: Path) -> None:
    path = tmp_path / "out.md"
    write_report(str(EXAMPLES / "fast-mutex-irql"), str(path))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)\n")
    assert "* TestDriver called nt!ZwCreateFile at DISPATCH_LEVEL, which needs PASSIVE_LEVEL." in text
    assert text.count("```") % 2 == 0
    assert "Key  : Analysis" not in text


@needs_shared
@pytest.mark.parametrize("path", sorted(DUMPS.glob("*.dmp")), ids=lambda path: path.stem)
def test_every_real_dump_has_a_report_that_says_what_is_missing(path: Path, tmp_path: Path) -> None:
    write_report(str(path), str(tmp_path / "out.html"), offline=True)
    reader = Reader((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert (reader.wrong, reader.open) == ([], [])
    with open_dump(str(path)) as dump:
        assert dump.run("analyze").data["bucket"] in "".join(reader.text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one dump's path is needed"),
        (["a.dmp"], "the path of the report (-o) is missing"),
        (["a.dmp", "-o"], "-o needs its FILE behind it"),
        (["a.dmp", "-o", "out.txt"], "out.txt ends in none of .html, .htm, .md, .markdown"),
        (["a.dmp", "--loud", "-o", "x"], "unknown option --loud"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(words: List[str], said: str) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        main(words, Output(None))  # type: ignore[arg-type]


def test_a_report_is_not_written_over_a_dump_nor_where_there_is_no_folder(tmp_path: Path) -> None:
    dump = tmp_path / "a.dmp"
    dump.write_bytes(b"PAGEDU64")
    with pytest.raises(UnwritableError, match="is a dump, which a report would destroy"):
        write_report(str(dump), str(dump))
    with pytest.raises(UnwritableError, match="there is no folder"):
        write_report(str(dump), str(tmp_path / "no" / "out.html"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_page_takes_the_place_of_no_device_pipe_or_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    (tmp_path / "folder.html").mkdir()
    for name in ("pipe.html", "folder.html"):
        with pytest.raises(UnwritableError, match="it is a folder, a device or a pipe"):
            check_target(str(tmp_path / name))
    with pytest.raises(UnwritableError, match="it is a folder, a device or a pipe"):
        check_target(os.devnull)


def test_a_report_can_be_shown_as_markdown() -> None:
    done = dumpkit("report", str(EXAMPLES / "pool-0x13a"), "-o", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# KERNEL_MODE_HEAP_CORRUPTION (13a)\n")


def test_the_command_line_writes_a_report_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    done = dumpkit("report", str(EXAMPLES / "pool-0x13a"), "-o", str(path))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{path}\n")
    assert "KERNEL_MODE_HEAP_CORRUPTION" in path.read_text(encoding="utf-8")
