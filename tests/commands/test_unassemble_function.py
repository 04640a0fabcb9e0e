"""`uf`: blocks, labels and jumps, against the engine on real drivers' functions where it is here."""

from __future__ import annotations

import random
from pathlib import Path
from typing import List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.kernel.unwind import Unwinder
from dumpkit.session import Session

from tests.forge.rig import converse, needs_rig
from tests.forge.triage import KERNEL_BASE, Block, Driver, TriageFile
from tests.running import run, run_lines, session_on
from tests.shared import SYMBOLS, needs_symbols

START = KERNEL_BASE + 0x1000
#: test ecx,ecx; je +7; call nt+0x1100; jmp +1; nop; ret; and behind a gap, unreachable: int 3
CODE = bytes.fromhex("85c9 7407 e8f7000000 eb01 90 c3 cc")
IMAGES = ("amdppm.sys/C9C030003b000/amdppm.sys", "Wdf01000.sys/A9A9D36Ed1000/Wdf01000.sys")


def opened(tmp_path: Path, code: bytes) -> Session:
    path = tmp_path / "made.dmp"
    path.write_bytes(TriageFile(blocks=[Block(START, code)]).build())
    return session_on(open_dump(str(path), symbol_path=str(tmp_path / "store")))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return opened(tmp_path, CODE.ljust(0x100, b"\xcc"))


def test_each_block_has_a_label_and_jumps_between_blocks_are_marked(session: Session) -> None:
    assert run_lines(session, f"uf {START:x}") == [
        "nt+0x1000:",
        "fffff800`10001000 85c9            test    ecx,ecx",
        "fffff800`10001002 7407            je      nt+0x100b (fffff800`1000100b)  Branch",
        "",
        "nt+0x1004:",
        "fffff800`10001004 e8f7000000      call    nt+0x1100 (fffff800`10001100)",
        "fffff800`10001009 eb01            jmp     nt+0x100c (fffff800`1000100c)  Branch",
        "",
        "nt+0x100b:",
        "fffff800`1000100b 90              nop",
        "",
        "nt+0x100c:",
        "fffff800`1000100c c3              ret  Branch",
    ]


def test_blocks_that_only_follow_on_each_other_can_be_shown_as_one(session: Session) -> None:
    lines = run_lines(session, f"uf /m {START:x}")
    assert [line for line in lines if line.endswith(":")] == ["nt+0x1000:", "nt+0x100b:", "nt+0x100c:"]


def test_the_calls_alone_can_be_shown(session: Session) -> None:
    assert run_lines(session, f"uf /c {START:x}") == [
        "nt+0x1000 (fffff800`10001000)",
        "  nt+0x1004 (fffff800`10001004):",
        "    call to nt+0x1100 (fffff800`10001100)",
    ]
    assert run(session, f"uf {START:x}").calls[0].target == START + 0x100


def test_the_instructions_are_counted(session: Session) -> None:
    assert run_lines(session, f"uf /i {START:x}")[:3] == ["6 instructions scanned", "", "nt+0x1000:"]


def test_code_that_is_cut_off_is_said_to_be_incomplete(tmp_path: Path) -> None:
    lines = run_lines(opened(tmp_path, CODE[:4]), f"uf {START:x}")
    assert lines[0] == "Flow analysis was incomplete, some code may be missing"
    assert len(lines) == 4


def test_code_that_jumps_to_itself_ends(tmp_path: Path) -> None:
    assert run_lines(opened(tmp_path, b"\xeb\xfe"), f"uf {START:x}")[-1].endswith("Branch")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uf 1234", "No code found, aborting"),
        ("uf /x 1234", "Unknown uf option"),
        ("uf /c", "Address expression missing from '<EOL>'"),
        ("uf foo", "Couldn't resolve error at 'foo'"),
        (f"uf {START:x} 3", "Extra character error"),
    ],
)
def test_bad_input_is_one_clear_line(session: Session, text: str, message: str) -> None:
    with pytest.raises((CommandError, ExpressionError), match=message):
        run(session, text)


def with_whole_image(path: Path, base: int) -> bytes:
    """A triage dump that holds all of an image."""
    pefile = pytest.importorskip("pefile")
    pe = pefile.PE(str(path), fast_load=True)
    size, header = pe.OPTIONAL_HEADER.SizeOfImage, pe.FILE_HEADER
    name = f"\\SystemRoot\\system32\\drivers\\{path.name}"
    driver = Driver(base, size, name, header.TimeDateStamp, pe.OPTIONAL_HEADER.CheckSum)
    memory = Block(base, pe.get_memory_mapped_image().ljust(size, b"\0"))
    return TriageFile(drivers=(*TriageFile().drivers, driver), blocks=[memory]).build()


def begins(session: Session, base: int, path: Path, count: int) -> List[int]:
    """The addresses of some functions that are no part of another one."""
    pefile = pytest.importorskip("pefile")
    pe = pefile.PE(str(path))
    unwinder = Unwinder(session.dump)
    found = [base + entry.struct.BeginAddress for entry in pe.DIRECTORY_ENTRY_EXCEPTION]
    whole = [address for address in found if unwinder.function_begin(address) == address]
    return random.Random(1).sample(sorted(set(whole)), count)


@pytest.mark.rig
@needs_rig
@needs_symbols
@pytest.mark.parametrize("image", IMAGES)
def test_the_engine_shows_the_same_functions(tmp_path: Path, image: str) -> None:
    """But for jumps through the import table, which the engine follows into the table, and symbols without names."""
    base, path, store = 0xFFFFF80030000000, SYMBOLS / "store" / image, SYMBOLS / "store"
    data = with_whole_image(path, base)
    (tmp_path / "whole.dmp").write_bytes(data)
    session = session_on(open_dump(str(tmp_path / "whole.dmp"), symbol_path=str(store)))
    commands = [f"uf /D {address:x}" for address in begins(session, base, path, 200)]
    compared = 0
    for answer in converse(tmp_path, data, commands, store)[: len(commands)]:
        theirs = [
            line for line in answer.lines if not line.startswith(("***", " ***", "Unable")) and "natvis" not in line
        ]
        if any("Flow analysis" in line or "<PERF>" in line for line in theirs):
            continue
        assert [line.rstrip() for line in run_lines(session, answer.command) if line] == theirs
        compared += 1
    assert compared > 190
