"""`.thread`, `.process` and `.frame` on the walkthrough's dump."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.kernel.process import processes
from dumpkit.kernel.thread import Thread
from dumpkit.numbers import quoted
from dumpkit.session import Session

from tests.examples.walkthrough import FOLDER
from tests.forge.rig import ask_engine, needs_rig
from tests.running import run, run_lines, session_on

TRAPPED = 3
CURRENT, SYSTEM = 0xFFFFB507729E3040, 0xFFFFB5076A4EB040


@pytest.fixture(scope="module")
def opened() -> Iterator[Session]:
    target = open_dump(str(FOLDER / "MEMORY.DMP"), symbol_path=str(FOLDER / "symbols"))
    yield session_on(target)
    target.close()


@pytest.fixture
def session(opened: Session) -> Session:
    opened.select_processor(4)
    return opened


def threads(session: Session, state: str) -> List[Thread]:
    return [thread for process in processes(session.dump) for thread in process.threads() if thread.state == state]


def waiting(session: Session) -> int:
    return threads(session, "Waiting")[0].address


def test_a_waiting_thread_has_the_registers_that_it_left_behind(session: Session):
    address = waiting(session)
    assert run_lines(session, f".thread {address:x}") == [f"Implicit thread is now {quoted(address)}"]
    lines = run_lines(session, "r")
    assert lines[0] == "Last set context:"
    assert lines[-2].startswith("nt!KiSwapContext+0x")
    stack = run_lines(session, "k")
    assert stack[0].startswith("  *** Stack trace for last set context")
    assert stack[-1].endswith("nt!KiStartSystemThread+0x34")
    assert session.evaluate("@$thread") == address
    assert session.evaluate("@$proc") == SYSTEM


def test_a_reset_of_the_context_leaves_the_thread_chosen(session: Session):
    address = waiting(session)
    run(session, f".thread {address:x}")
    assert run_lines(session, ".cxr") == ["Resetting default scope"]
    assert session.evaluate("@$thread") == address
    assert run_lines(session, "r rip") == ["rip=fffff802044168d0"]


@pytest.mark.parametrize("back", [".thread", ".thread 0", "~4s"])
def test_the_processors_thread_comes_back(session: Session, back: str):
    run(session, f".thread {waiting(session):x}")
    run(session, back)
    assert session.evaluate("@$thread") == CURRENT
    assert session.override is None


def test_a_thread_can_bring_its_process_along(session: Session):
    address = waiting(session)
    assert run_lines(session, f".thread /p {address:x}") == [
        f"Implicit thread is now {quoted(address)}",
        f"Implicit process is now {quoted(SYSTEM)}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".thread 1234", "Cannot read thread type from thread 00000000`00001234: "),
        (f".thread {SYSTEM:x}", f"Invalid thread @ {quoted(SYSTEM)} type - context unchanged."),
        (".process 1234", "Process 00000000`00001234 has invalid page directories: "),
        (".process /i 0", "This operation only works on live kernel debug sessions"),
        (".frame 99", "Cannot find frame 0x99, previous scope unchanged"),
        (".frame ffffffffffffffff", "Cannot find frame 0xffffffffffffffff, previous scope unchanged"),
    ],
)
def test_what_is_not_there_is_one_clear_line_and_changes_nothing(session: Session, text: str, message: str):
    with pytest.raises(CommandError) as caught:
        run(session, text)
    assert str(caught.value).startswith(message)
    assert session.evaluate("@$thread") == CURRENT
    assert session.evaluate("@$proc") == SYSTEM
    assert session.override is None and session.frame == 0


def test_a_process_is_current_until_the_processors_comes_back(session: Session):
    other = next(process.address for process in processes(session.dump) if process.address != SYSTEM)
    assert run_lines(session, f".process {other:x}")[0] == f"Implicit process is now {quoted(other)}"
    assert session.evaluate("@$proc") == other
    assert session.evaluate("@$thread") == CURRENT
    assert run_lines(session, ".process") == [f"Implicit process is now {quoted(SYSTEM)}"]
    assert session.evaluate("@$proc") == SYSTEM


def test_a_frame_is_chosen_and_shown_again(session: Session):
    line = "03 ffffed0e`e77dd020 fffff802`0848980c     Ntfs!NtfsChangeAttributeValue+0x392"
    assert run_lines(session, ".frame 3") == [line]
    assert run_lines(session, ".frame") == [line]
    assert session.evaluate("@$frame") == TRAPPED
    assert run_lines(session, "r rip") == ["rip=fffff802044168d0"]
    assert run_lines(session, ".cxr") == ["Resetting default scope"]
    assert run_lines(session, ".frame")[0].startswith("00 ffffed0e`e77dcd48")


def test_what_a_trap_broke_into_has_the_registers_of_its_trap_frame(session: Session):
    lines = run_lines(session, ".frame /r 3")
    assert lines[1:] == [
        "rax=00000006991b441c rbx=0000000000000000 rcx=0b4df3b13fee0000",
        "rdx=0000000000000000 rsi=0000000000000000 rdi=0000000000000000",
        "rip=fffff802084d9062 rsp=ffffed0ee77dd020 rbp=ffffed0ee77ddb39",
        " r8=0000000000000000  r9=7ffffffffffffffc r10=ffffb5076d140d70",
        "r11=0000000000000001 r12=0000000000000000 r13=0000000000000000",
        "r14=0000000000000000 r15=ffff80091002ac00",
        "iopl=0         nv up ei ng nz na pe nc",
        "cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00050282",
        "Ntfs!NtfsChangeAttributeValue+0x392:",
        "fffff802`084d9062 49894708        mov     qword ptr [r15+8],rax ds:002b:ffff8009`1002ac08=????????????????",
    ]
    known = run(session, ".frame /r 4").registers.values
    assert "rax" not in known and known["r15"] == 0xFFFF80091002AC00


def test_a_frame_can_be_made_the_first_one(session: Session):
    run(session, ".frame /c 4")
    assert run_lines(session, "kn 2")[1:] == [
        "04 ffffed0e`e77dd210 fffff802`08467ce3     Ntfs!NtfsAllocateRecord+0x42c",
        "05 ffffed0e`e77dd390 fffff802`084660ee     Ntfs!GetIndexBuffer+0x6f",
    ]
    with pytest.raises(CommandError, match="Frame 0x2 is before current base frame 0x4"):
        run(session, ".frame 2")
    assert run_lines(session, "r rip") == ["Last set context:", "rip=fffff8020848980c"]
    assert run_lines(session, ".cxr") == ["Resetting default scope"]
    assert run_lines(session, "kn 1")[1].startswith("00 ")


@pytest.mark.rig
@needs_rig
def test_the_engine_shows_the_same_threads_and_frames(session: Session, tmp_path: Path):
    """But for newer engines' wider column of return addresses, and the flags of what a trap broke into."""
    threads_asked = [
        f".thread {thread.address:x}" for state in ("Waiting", "Ready") for thread in threads(session, state)
    ]
    commands = [
        ".lines -e",
        "k",
        "kn",
        "kf",
        ".frame 3",
        ".frame 20",
        ".frame /r 5",
        "k = ffffed0ee77dd020 fffff802084d9062 4",
    ]
    commands += [f"{text}; r; kn; .frame /r 2; ? @$thread; ? @$proc; .frame; .cxr" for text in threads_asked]
    commands += [".trap ffffed0ee77dce90; r; k; kb; .frame /c 4; kn; .cxr", "kL", "knL 5", "kv 3", "kc"]
    (tmp_path / "store").symlink_to(FOLDER / "symbols")
    engine = ask_engine(tmp_path, (FOLDER / "MEMORY.DMP").read_bytes(), [".lines", "kL", *commands], tmp_path / "store")
    for text in commands[1:]:
        ours = [line for part in text.split("; ") for line in run_lines(session, part)]
        assert [_narrow(line) for line in ours] == [_narrow(line) for line in engine[text]], text


def _narrow(line: str) -> str:
    line = re.sub("(RetAddr|Call Site) +", r"\\1 ", line).rstrip()
    if line.startswith(("iopl=", "cs=")):
        return "flags"
    return re.sub(r"(`[0-9a-f]{8}) {5,6}(?=[\w:])", r"\1 ", line)
