"""Rows as lines: what is cut, and where."""

from __future__ import annotations

from typing import Dict

import pytest
from dumpkit.output import plain
from dumpkit.triage.text import WIDEST_NAME, row_line, width_of


def row(**fields: object) -> Dict[str, object]:
    whole: Dict[str, object] = {
        "path": "a.dmp",
        "member": None,
        "status": "ok",
        "bugcheck": {"code": "0xd1", "name": "SOME_NAME"},
        "symbol": "driver!Function",
        "module": "driver",
        "version": "10.0.19041.1",
        "build": 19041,
        "uptime": 90061.0,
        "bucket": "AV_driver!Function",
    }
    return {**whole, **fields}


def test_a_row_has_its_cells_in_columns() -> None:
    cells = [f"{'D1 SOME_NAME':<48}", f"{'driver!Function':<48}", f"{'10.0.19041.1':<16}", " 1d 01:01:01"]
    assert plain(row_line(row(), 8)) == "  ".join(["a.dmp   ", *cells, "AV_driver!Function"])


def test_a_dump_in_an_archive_is_named_by_both() -> None:
    assert plain(row_line(row(path="all.zip", member="in/b.dmp"), 20)).startswith("all.zip/in/b.dmp     ")


@pytest.mark.parametrize(("width", "shown"), [(13, "folder/a.dmp   "), (12, "folder/a.dmp  "), (11, "...er/a.dmp  ")])
def test_of_a_name_that_is_too_long_the_end_is_shown(width: int, shown: str) -> None:
    assert plain(row_line(row(path="folder/a.dmp"), width)).startswith(f"{shown}D1 SOME_NAME")


@pytest.mark.parametrize(("length", "cut"), [(48, "f" * 48), (49, "f" * 45 + "...")])
def test_of_a_function_that_is_too_long_the_start_is_shown(length: int, cut: str) -> None:
    assert f"  {cut}  10.0.19041.1" in plain(row_line(row(symbol="f" * length), 8))


def test_a_dump_that_cannot_be_read_has_its_reason() -> None:
    assert plain(row_line(row(status="bad", error="it is empty"), 8)) == "a.dmp     cannot be read: it is empty"


def test_the_column_of_names_is_as_wide_as_the_widest_up_to_a_bound() -> None:
    assert width_of([]) == 0
    assert width_of(["a", "abc"]) == 3
    assert width_of(["a" * 100]) == WIDEST_NAME
