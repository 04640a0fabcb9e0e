"""Readers that know nothing of the forge, and what they say of it."""

from __future__ import annotations

import random
import re
from typing import Dict, List, Tuple

import pytest

from tests.examples.walkthrough import built
from tests.forge.rig import ask_engine, needs_rig, write_store

pytestmark = [pytest.mark.rig, needs_rig]

SYSTEM, THREAD, PRCB = 0xFFFFB5076A4EB040, 0xFFFFB507729E3040, 0xFFFFA30054EA8180
#: (type, address, members whose value the engine prints)
OBJECTS = (
    ("_EPROCESS", SYSTEM, ("UniqueProcessId", "ActiveThreads", "ThreadListHead", "CreateTime", "Pcb")),
    ("_ETHREAD", THREAD, ("Cid", "StartAddress", "IrpList", "ThreadListEntry", "Win32StartAddress")),
    ("_KTHREAD", THREAD, ("State", "WaitReason", "ContextSwitches", "KernelStack", "Process", "WaitTime")),
    ("_KPRCB", PRCB, ("CurrentThread", "IdleThread", "Number", "DebuggerSavedIRQL", "MHz", "VendorString")),
)


def sampled_words(count: int = 200) -> List[int]:
    """Addresses of words in pages that the machine's structures and images lie on."""
    machine = built()[0].machine
    choose = random.Random(22621)
    bases = [image.base for image, _ in machine.images] + [SYSTEM, THREAD, PRCB, 0xFFFFED0EE77DC000, 0xFFFFB50760000000]
    places = [base & ~0xFFF | page << 12 for base in bases for page in range(4)]
    places = [place for place in places if machine.is_mapped(place)]
    return [choose.choice(places) + choose.randrange(512) * 8 for _ in range(count)]


def test_the_engine_reads_the_same_words_everywhere(tmp_path):
    crash, pdbs = built()
    words = sampled_words()
    store = write_store(tmp_path / "store", pdbs)
    for kind in (1, 6):
        answers = ask_engine(tmp_path, crash.machine.dump(kind), [f"dq {word:x} L1" for word in words], store)
        for word in words:
            line = answers[f"dq {word:x} L1"][0].replace("`", "").split()
            assert [int(part, 16) for part in line] == [word, crash.machine.u64(word)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Dict[str, List[str]]:
    crash, pdbs = built()
    folder = tmp_path_factory.mktemp("engine")
    commands = [f"dt nt!{type} {address:x} {' '.join(members)}" for type, address, members in OBJECTS]
    commands += [f"dt nt!{type}" for type, _, _ in OBJECTS] + ["ub fffff802084d9062", "dps fffff80225da3000 L1b", "~"]
    return dict(ask_engine(folder, crash.machine.dump(6), commands, write_store(folder / "store", pdbs)))


@pytest.mark.parametrize("type, address, members", OBJECTS)
def test_the_engine_finds_every_member_where_the_layout_has_it(answers, type, address, members):
    layouts = built()[0].machine.layouts
    shown = dict(_offset_and_name(line) for line in answers[f"dt nt!{type}"])
    for member in layouts.record(type).members:
        assert shown[member.name] == member.offset
    lines = answers[f"dt nt!{type} {address:x} {' '.join(members)}"]
    assert {_offset_and_name(line)[0] for line in lines} >= set(members)


def _offset_and_name(line: str) -> Tuple[str, int]:
    match = re.match(r"\s*\+0x([0-9a-f]+) (\w+)", line)
    return (match[2], int(match[1], 16)) if match else ("", 0)


def test_the_engine_reads_the_values_that_were_set(answers):
    text = "\n".join("\n".join(lines) for lines in answers.values())
    for wanted in (
        r"UniqueProcessId\s+: 0x00000000`00000004 Void",
        r"StartAddress\s+: 0xfffff802`25da10f0 Void",
        r"Process\s+: 0xffffb507`6a4eb040 _KPROCESS",
        r"ContextSwitches\s+: 3",
        r"WaitReason\s+: 0x1b",
        r"CurrentThread\s+: 0xffffb507`729e3040 _KTHREAD",
        r"DebuggerSavedIRQL\s+: 0x2",
        r'VendorString\s+: \[13\]\s+"GenuineIntel"',
    ):
        assert re.search(wanted, text), wanted


def test_the_engine_disassembles_what_the_walkthrough_shows(answers):
    lines = answers["ub fffff802084d9062"]
    assert lines[0] == "Ntfs!NtfsChangeAttributeValue+0x363:"
    assert lines[7] == "fffff802`084d9055 e8c6daffff      call    Ntfs!NtfsWriteLog (fffff802`084d6b20)"


def test_the_engine_names_what_the_imports_are_bound_to(answers):
    lines = answers["dps fffff80225da3000 L1b"]
    assert lines[0].split() == ["fffff802`25da3000", "fffff802`07940420", "WDFLDR!WdfVersionUnbind"]
    assert lines[26].split() == ["fffff802`25da30d0", "fffff802`25da1630", "TestDriver!_guard_check_icall_nop"]
