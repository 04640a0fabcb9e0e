"""`lm`: which images its letters and patterns list, and what it says of each."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.errors import CommandError

from tests.made_target import MadeTarget
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

UNLOADED = ["dam.sys", "WdBoot.sys", "hwpolicy.sys", "mcupdate.dll"]


def unloaded_names(text: str) -> List[str]:
    return [gone.name for gone in run(session_of("triage_x64"), text).unloaded or ()]


@needs_shared
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lm", UNLOADED),
        ("lmk", UNLOADED),
        ("lmu", []),
        ("lm a fffff80479d30010", ["WdBoot.sys"]),
        ("lm a fffff80479d42000", []),
        ("lm m dam*", ["dam.sys"]),
        ("lm m dam", []),
        ("lm m wd?oot*", ["WdBoot.sys"]),
        ("lm m d[a-b]m*", ["dam.sys"]),
        ("lm M *dam*", ["dam.sys"]),
        ("lm k m dam*", ["dam.sys"]),
        ("lm u m dam*", []),
        ("lm o m dam*", []),
        ("lm l m dam*", []),
        ("lm e m dam*", []),
    ],
)
def test_what_narrows_the_loaded_images_narrows_the_unloaded_ones(text: str, names: List[str]) -> None:
    assert unloaded_names(text) == names


@needs_shared
@pytest.mark.parametrize("letters", ["t", "v", "nt"])
def test_an_unloaded_image_with_its_date_has_the_engines_three_lines(letters: str) -> None:
    assert run_lines(session_of("triage_x64"), f"lm{letters} m dam*") == [
        "start             end                 module name",
        "",
        "Unloaded modules:",
        "fffff804`87de0000 fffff804`87dfc000   dam.sys ",
        "    Timestamp: unavailable (00000000)",
        "    Checksum:  00000000",
        "    ImageSize:  0001C000",
    ]


@needs_shared
def test_bare_names_include_an_unloaded_image() -> None:
    assert run_lines(session_of("triage_x64"), "lm1m dam*") == ["dam.sys"]


@needs_shared
@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("lmn m Ntfs", "fffff804`7a320000 fffff804`7a5f9000   Ntfs     Ntfs.sys    "),
        ("lmf m nt", "fffff804`7ba00000 fffff804`7ca46000   nt       \\SystemRoot\\system32\\ntoskrnl.exe"),
        (
            "lmnt m nt",
            "fffff804`7ba00000 fffff804`7ca46000   nt       ntoskrnl.exe Tue Mar  8 20:51:50 1977 (0D8333E6)",
        ),
        (
            "lmtc m nt",
            "fffff804`7ba00000 fffff804`7ca46000   nt        Tue Mar  8 20:51:50 1977 (0D8333E6) 00A5938C",
        ),
        ("lmcn m nt", "fffff804`7ba00000 fffff804`7ca46000   nt       ntoskrnl.exe 00A5938C"),
        ("lmc m storport", "fffff804`7a140000 fffff804`7a1f3000   storport   (deferred)              000B8B03"),
        ("lmp m nt", "fffff804`7ba00000 fffff804`7ca46000   nt       <none>      "),
        ("lmfp m nt", "fffff804`7ba00000 fffff804`7ca46000   nt       <none>      "),
        ("lmpn m nt", "fffff804`7ba00000 fffff804`7ca46000   nt       ntoskrnl.exe"),
    ],
)
def test_a_row_is_the_engines(text: str, row: str) -> None:
    assert run_lines(session_of("triage_x64"), text)[1:] == [row]


@needs_shared
def test_loaded_ones_are_all_and_those_with_symbols_only_what_was_looked_for() -> None:
    session = session_of("triage_x64")
    everything = [row.name for row in run(session, "lm").modules]
    assert [row.name for row in run(session, "lmo").modules] == everything
    assert run(session, "lml").modules == run(session, "lme").modules == ()
    run(session, "u @$ip L1")
    assert [row.name for row in run(session, "lml").modules] == ["nt"]
    assert [row.name for row in run(session, "lme").modules] == ["nt"]
    assert run(session, "lml").unloaded is None


@pytest.mark.parametrize("pattern", ["nt", '"nt"', "N?", "n[st]", '"nt'])
def test_a_pattern_may_stand_in_quotes(pattern: str) -> None:
    assert [row.name for row in run(session_on(MadeTarget()), f"lm m {pattern}").modules] == ["nt"]


def test_options_may_follow_a_quoted_pattern() -> None:
    assert run_lines(session_on(MadeTarget()), 'lm m "nt" 1') == ["nt"]


@pytest.mark.parametrize("text", ["lm m", 'lm m ""', "lm M"])
def test_a_missing_pattern_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="needs a pattern behind it"):
        run(session_on(MadeTarget()), text)


def test_an_unknown_letter_is_refused() -> None:
    with pytest.raises(CommandError, match="unknown option 'z'"):
        run(session_on(MadeTarget()), "lm z")
