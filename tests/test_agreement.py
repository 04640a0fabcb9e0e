"""The table of the readers' agreement."""

from __future__ import annotations

import pytest

from tests.agreement import FACTS, Agreement


def cells(agreement: Agreement, fact: str) -> str:
    return next(line for line in agreement.lines() if line.startswith(f"{fact} "))


def test_nothing_is_printed_where_no_reader_was_asked():
    assert list(Agreement().lines()) == []


def test_a_fact_that_nobody_was_asked_for_is_not_run():
    agreement = Agreement()
    agreement.holds("dbgeng", "r", 1, 1)
    assert cells(agreement, "r").split() == ["r", "1", "of", "1", "not", "run"]
    assert cells(agreement, "!dh").split() == ["!dh", "not", "run"]


def test_a_disagreement_fails_and_stands_in_the_table():
    agreement = Agreement()
    with pytest.raises(AssertionError, match="pefile does not agree about image files"):
        agreement.holds("pefile", "image files", [1, 2, 3], [1, 2, 4])
    assert "2 of 3" in cells(agreement, "image files")


def test_a_reason_marks_its_cell_and_stands_below_once():
    agreement = Agreement()
    agreement.holds("dbgeng", "k", 1, 1)
    for _ in range(2):
        agreement.explain("dbgeng", "k", "a reason")
    assert "1 of 1*" in cells(agreement, "k")
    assert list(agreement.lines())[-1] == "dbgeng: k: a reason"
    assert len(list(agreement.lines())) == 2 + len(FACTS)


def test_processes_of_a_parallel_run_are_added_up():
    agreement = Agreement()
    for _ in range(2):
        other = Agreement()
        other.holds("dumpkit", "PDB lines", ["a", "b"], ["a", "b"])
        other.explain("dumpkit", "PDB lines", "a reason")
        agreement.add(other.record())
    assert "4 of 4*" in cells(agreement, "PDB lines")
    assert list(agreement.lines())[-1] == "dumpkit: PDB lines: a reason"


def test_what_has_no_place_in_the_table_is_refused():
    with pytest.raises(KeyError, match="no place for what pefile says about k"):
        Agreement().holds("pefile", "k", 1, 1)
