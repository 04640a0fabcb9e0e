"""What pool tags stand for, and where that is looked up."""

from __future__ import annotations

import pytest
from dumpkit.kernel.pool.tags import PoolTags, fits

from tests.forge.pool import tag_value

TEXT = """rem A comment - with dashes - in it
// Another - one - too
AcpA - acpi.sys       - ACPI arbiter data
Irp  - <unknown>      - Io, IRP packets
MmSt - nt!mm          - Mm section object prototype ptes
Mm   - nt!mm          - general Mm Allocations
Scb? - <unknown>      - Mass storage driver tags
Sc*  - scsi.sys       - Any of them
Lone - Only a description
not a line of it
"""


@pytest.fixture(autouse=True)
def no_other_file(monkeypatch):
    monkeypatch.delenv("DUMPKIT_POOLTAG", raising=False)


def described(tags: PoolTags, tag: str):
    found = tags.describe(tag_value(tag))
    return (found.text, found.binary) if found is not None else None


@pytest.fixture
def tags(tmp_path) -> PoolTags:
    (tmp_path / "pooltag.txt").write_text(TEXT)
    return PoolTags(str(tmp_path / "MEMORY.DMP"))


def test_a_file_beside_the_dump_is_used(tags, tmp_path):
    assert tags.source == str(tmp_path / "pooltag.txt")
    assert described(tags, "AcpA") == ("ACPI arbiter data", "acpi.sys")
    assert described(tags, "Mm  ") == ("general Mm Allocations", "nt!mm")
    assert described(tags, "Lone") == ("Only a description", "")
    assert described(tags, "acpa") is None


def test_an_unknown_binary_is_not_named(tags):
    assert described(tags, "Irp ") == ("Io, IRP packets", "")


def test_the_most_exact_pattern_wins(tags):
    assert described(tags, "Scbf") == ("Mass storage driver tags", "")
    assert described(tags, "Scsi") == ("Any of them", "scsi.sys")


def test_a_protected_tag_is_the_same_tag(tags):
    found = tags.describe(tag_value("MmSt") | 0x80000000)
    assert found is not None and found.binary == "nt!mm"


def test_dumpkit_pooltag_names_a_file_or_a_folder_and_comes_first(tmp_path, monkeypatch):
    (tmp_path / "pooltag.txt").write_text("Mine - mine.sys - First\n")
    own = tmp_path / "own.txt"
    own.write_text("Mine - mine.sys - Second\n")
    monkeypatch.setenv("DUMPKIT_POOLTAG", str(tmp_path))
    assert described(PoolTags(""), "Mine") == ("First", "mine.sys")
    monkeypatch.setenv("DUMPKIT_POOLTAG", str(own))
    assert described(PoolTags(str(tmp_path / "MEMORY.DMP")), "Mine") == ("Second", "mine.sys")


def test_a_named_file_that_is_not_there_leaves_the_next_place(tmp_path, monkeypatch):
    monkeypatch.setenv("DUMPKIT_POOLTAG", str(tmp_path / "none.txt"))
    (tmp_path / "pooltag.txt").write_text("Mine - mine.sys - First\n")
    assert described(PoolTags(str(tmp_path / "MEMORY.DMP")), "Mine") == ("First", "mine.sys")


def test_without_a_file_a_few_public_tags_are_known(tmp_path):
    tags = PoolTags(str(tmp_path / "MEMORY.DMP"))
    assert tags.source == "dumpkit"
    assert described(tags, "MmSt") == ("Mm section object prototype ptes", "nt!mm")
    assert described(tags, "Zz99") is None


@pytest.mark.parametrize(
    "tag, pattern, answer",
    [
        ("File", "File", True), ("File", "file", False), ("File", "F*", True), ("File", "F??e", True),
        ("File", "F?e", False), ("File", "*", True), ("File", "*le", True), ("File", "*x*", False),
        ("Irp ", "Irp", False),
    ],
)  # fmt: skip
def test_patterns_are_those_of_the_debugger(tag, pattern, answer):
    assert fits(tag, pattern) is answer
