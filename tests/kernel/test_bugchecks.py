"""The table of bugchecks: names, arguments and rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dumpkit.kernel import bugchecks
from dumpkit.kernel.bugchecks import bare_code, bugcheck_name, describe, described_codes

from tests.shared import SHARED

FACTS = SHARED / "facts" / "bugchecks.tsv"
#: The codes of Microsoft's reference whose arguments and context are known here.
DESCRIBED = (
    "01 0A 18 19 1A 1E 20 24 39 3B 3D 44 4A 4E 50 5A 74 7A 7B 7E 7F 8E 9F A0 BE C1 C2 C4 C5 C9 CE D1 D5 D8 DA E2 E3 EA"
    " EF F4 F7 FC FE 101 109 10D 116 117 119 124 12B 133 139 13A 13C 144 14F 153 154 161 162 18B 1CA 1D5"
    " 34 76 A5 CA DE E6 F5 112 11B 121 122 127 12E 132 13B 145 149 156 157 159 15C 15F 164 16E 171 187 189"
    " 192 193 19C 1A8 1AA 1AB 1C4 1C5 1C6 1C7 1C9 1CC 1CD 1CE 1CF 1D2 1D3 1D4 1D6 1DB 1E0 C000021A DEADDEAD"
).split()
ZEROS = (0, 0, 0, 0)


@pytest.mark.skipif(not FACTS.exists(), reason="../shared/facts is not here")
def test_every_code_of_the_facts_has_its_name():
    lines = [line.split("\t") for line in FACTS.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) == 419
    assert {code: bugcheck_name(int(code, 16)) for code, _ in lines} == dict(lines)


@pytest.mark.parametrize("code", DESCRIBED)
def test_a_code_has_a_text_and_a_context(code):
    known = describe(int(code, 16), ZEROS)
    assert known.name is not None
    assert known.text
    assert known.rule("context")


def test_only_known_words_stand_in_the_rules():
    for code in described_codes():
        known = describe(code, ZEROS)
        assert set(known.rules) <= {
            "context",
            "dpc",
            "initiator",
            "pnp",
            "errrec",
            "mca",
            "fault",
            "exception",
            "blame",
            "pool",
            "status",
            "process",
            "thread",
            "irql",
            "message",
            "next",
            "overflow",
            "returned",
            "bucket",
        }, hex(code)
        places = {words[0] for words in known.rule("context")}
        assert places <= {"trap", "context", "record", "pointers", "thread", "processor", "irp", "stack", "none"}
        assert {words[0] for words in known.rule("blame")} <= {
            "module",
            "device",
            "irp",
            "routine",
            "worker",
            "name",
            "unloaded",
            "interrupted",
        }
        marks = set(re.findall(r"{(\w+)}", known.rules.get("bucket", "")))
        assert marks <= set("symbol image process failfast access region apc status 1 2 3 4".split())


def test_the_codes_that_only_the_header_has_are_named():
    named = {0x1CC: "EXRESOURCE_TIMEOUT_LIVEDUMP", 0x1DA: "HAL_BLOCKED_PROCESSOR_INTERNAL_ERROR"}
    named[0x1E0] = "INVALID_ALTERNATE_SYSTEM_CALL_HANDLER_REGISTRATION"
    assert {code: bugcheck_name(code) for code in named} == named
    assert bugcheck_name(0x10000050) == "PAGE_FAULT_IN_NONPAGED_AREA_M"


def test_the_subtype_chooses_what_the_arguments_mean():
    assert describe(0x139, (0x1D, 0, 0, 0)).labels[0] == "An RTL_BALANCED_NODE RBTree entry has been corrupted."
    assert describe(0x19, (0x22, 0, 0, 0)).labels[0] == ""
    assert describe(0x9F, (4, 0, 0, 0)).rule("context")[0] == ["thread", "3"]
    assert describe(0x9F, (3, 0, 0, 0)).rules["bucket"] == "0x9F_3_IMAGE_{image}"
    # The labels of a subtype that is not known are those of the code.
    assert describe(0x9F, (77, 0, 0, 0)).labels == ("The kind of violation", None, None, None)


def test_a_triage_dumps_code_is_the_codes_with_its_own_name():
    assert bare_code(0x1000007E) == 0x7E
    assert bare_code(0x139) == 0x139
    assert bugcheck_name(0x1000007E) == "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M"
    assert bugcheck_name(0x100000D1) == "DRIVER_IRQL_NOT_LESS_OR_EQUAL_M"
    assert describe(0x1000007E, ZEROS).labels[3] == "Context Record Address"


def test_a_code_without_a_name_is_said_to_have_none():
    known = describe(0xDEAD, ZEROS)
    assert (known.name, known.text, known.labels) == (None, (), (None,) * 4)


def test_a_range_of_subtypes_describes_those_without_a_section_of_their_own():
    assert describe(0xC4, (0x20005, 0, 0, 0)).rule("message") == [["2"]]
    assert describe(0xC4, (0x91001, 0, 0, 0)).labels[0] == "A rule of DDI compliance checking is broken"
    assert describe(0xC4, (0x1FFFF, 0, 0, 0)).labels == ("The rule that was broken", None, None, None)


def test_every_rule_of_driver_verifier_that_gives_the_irql_names_the_argument():
    text = (Path(bugchecks.__file__).parent / "descriptions.txt").read_text(encoding="utf-8")
    for title in re.findall(r"^\[c4:([0-9a-f]+)\]$", text, re.MULTILINE):
        known = describe(0xC4, (int(title, 16), 0, 0, 0))
        told = [str(number) for number, label in enumerate(known.labels, 1) if label == "current IRQL"]
        assert not told or title == "0" or known.rule("irql") == [told], title
