"""Functions that were inlined, in `k`, `.frame` and `u`, where a frame stands in them and where it has called from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List

import pytest
from dumpkit.dump import open_dump
from dumpkit.session import Session

from tests.forge.call_stack import CallStack
from tests.forge.pdb import Pdb
from tests.forge.rig import ask_engine, needs_rig, write_store
from tests.forge.sample_driver import RESOURCES, driver
from tests.forge.test_engine import crash
from tests.forge.triage import STACK
from tests.running import run, run_lines, session_on

#: Offsets in FileCreationThread of return addresses: at the first byte of what was inlined, in it, and behind it.
OFFSETS = (0x60, 0x61, 0x77, 0x78, 0x79, 0x9F, 0xA0, 0xA1)


def opened(folder: Path, offset: int, called: bool = True) -> Session:
    """A session on a crash in LogCurrentIrql, called from FileCreationThread, or in that itself."""
    image = driver()
    functions = {function.name: function for function in image.functions}
    stack = CallStack(STACK + 0x800)
    stack.call(functions["FileCreationThread"])
    if called:
        stack.call(functions["LogCurrentIrql"], image.base + 0x10F0 + offset)
    store = write_store(folder / "store", [image, Pdb(image, [RESOURCES])])
    path = folder / "forged.dmp"
    path.write_bytes(crash(image, stack, 0x14B2 if called else 0x10F0 + offset))
    return session_on(open_dump(str(path), symbol_path=str(store)))


def sites(session: Session) -> List[str]:
    return [frame.call_site.partition("!")[2] for frame in run(session, "k").frames]


def test_a_frame_stands_in_what_was_inlined_at_its_instruction(tmp_path: Path) -> None:
    session = opened(tmp_path, 0x77, called=False)
    assert sites(session) == ["KeInitializeEvent+0x7", "ExInitializeFastMutex+0x17", "FileCreationThread+0x77"]
    lines = run_lines(session, "knL")
    assert lines[1] == "00 (Inline Function) --------`--------     TestDriver!KeInitializeEvent+0x7"
    assert run_lines(session, "kvL")[1] == (
        "(Inline Function) --------`--------     : --------`-------- --------`-------- --------`-------- "
        "--------`-------- : TestDriver!KeInitializeEvent+0x7 (Inline Function @ fffff802`25da1167)"
    )


def test_a_frame_that_has_called_stands_in_what_was_inlined_before_its_return_address(tmp_path: Path) -> None:
    assert sites(opened(tmp_path, 0x78))[1:3] == ["KeInitializeEvent+0x8", "ExInitializeFastMutex+0x18"]
    assert sites(opened(tmp_path, 0x60))[1:] == ["FileCreationThread+0x60"]


def test_code_is_headed_by_what_was_inlined_and_where(tmp_path: Path) -> None:
    session = opened(tmp_path, 0x77, called=False)
    run(session, ".lines -d")
    assert (
        run_lines(session, "r")[-2]
        == "TestDriver!KeInitializeEvent+0x7 [inlined in TestDriver!FileCreationThread+0x77]:"
    )
    assert run_lines(session, ".frame /r 1")[-2].startswith("TestDriver!ExInitializeFastMutex+0x17 [inlined in ")
    assert run_lines(session, ".frame /c 1")[0] == (
        "Reset base frame from 1 to 0, which points to the inner-most inline function frame."
    )
    run(session, ".lines -e")
    assert re.fullmatch(
        r"\S+!KeInitializeEvent \[.*Driver\.c @ 66\] \[inlined in \S+!FileCreationThread\+0x70 \[.* @ 66\]\]:",
        run_lines(session, "u TestDriver!FileCreationThread+70 L1")[0],
    )


@pytest.mark.rig
@needs_rig
@pytest.mark.parametrize("offset", OFFSETS)
def test_the_engine_shows_the_same_inlined_frames(tmp_path: Path, offset: int) -> None:
    session = opened(tmp_path, offset)
    answers = ask_engine(
        tmp_path,
        (tmp_path / "forged.dmp").read_bytes(),
        [".lines -e", "kL", "kn", ".frame 1", "kc"],
        tmp_path / "store",
    )
    for text in ("kn", ".frame 1", "kc"):
        ours = [re.sub(r"(RetAddr|[0-9a-f-]{8}) +(?=\S)", r"\1 ", line).rstrip() for line in run_lines(session, text)]
        theirs = [re.sub(r"(RetAddr|[0-9a-f-]{8}) +(?=\S)", r"\1 ", line) for line in answers[text]]
        assert ours == theirs, text
