"""`.trap`, `.cxr`, `.ecxr` and `.exr` on a dump made for them; the engine is asked the same where it is here."""

from __future__ import annotations

from pathlib import Path
from struct import pack, pack_into
from typing import List, Sequence

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.session import Session

from tests.forge.rig import converse, needs_rig
from tests.forge.triage import KERNEL_BASE, Block, TriageFile
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

PLACE = 0xFFFFA10000000000
TRAP, CONTEXT, USER_TRAP, RECORD = PLACE, PLACE + 0x800, PLACE + 0xD00, PLACE + 0xF00
#: mov rax,[rsp+20h]; mov [r15+8],rax
CODE = bytes.fromhex("488b442420 49894708 c3").ljust(0x100, b"\x90")


def trap_frame(rip: int, cs: int, ss: int) -> bytearray:
    frame = bytearray(0x190)
    for offset in range(0, 0x190, 8):
        pack_into("<Q", frame, offset, 0x1111111100000000 + offset)
    pack_into("<Q", frame, 0x168, rip)
    pack_into("<Q", frame, 0x180, PLACE + 0x600)
    pack_into("<I", frame, 0x178, 0x40A97)
    pack_into("<H", frame, 0x170, cs)
    pack_into("<H", frame, 0x188, ss)
    return frame


def context_record() -> bytearray:
    record = bytearray(0x4D0)
    for offset in range(0, 0x4D0, 8):
        pack_into("<Q", record, offset, 0x2222222200000000 + offset)
    pack_into("<I", record, 0x30, 0x10000F)
    pack_into("<6H", record, 0x38, 0x10, 0x2B, 0x2B, 0x53, 0x2B, 0x18)
    pack_into("<I", record, 0x44, 0x40286)
    pack_into("<Q", record, 0x98, PLACE + 0x700)
    pack_into("<Q", record, 0xF8, KERNEL_BASE + 0x15)
    return record


def exception_record(code: int, *parameters: int, following: int = 0) -> bytes:
    words = b"".join(pack("<Q", parameter) for parameter in parameters).ljust(120, b"\0")
    return pack("<IIQQII", code, 1, following, KERNEL_BASE + 0x15, len(parameters), 0) + words


def dump_bytes() -> bytes:
    memory = bytearray(0x1000)
    for place, data in (
        (TRAP, trap_frame(KERNEL_BASE + 0x10, 0x10, 0x18)),
        (CONTEXT, context_record()),
        (USER_TRAP, trap_frame(0x7FF612340000, 0x33, 0x2B)),
        (RECORD, exception_record(0xC0000005, 1, 0x10)),
    ):
        memory[place - PLACE : place - PLACE + len(data)] = data
    return TriageFile(processors=2, blocks=[Block(PLACE, bytes(memory)), Block(KERNEL_BASE + 0x10, CODE)]).build()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "made.dmp"
    path.write_bytes(dump_bytes())
    return session_on(open_dump(str(path), symbol_path=str(tmp_path / "store")))


def test_a_trap_frame_is_shown_with_zeros_for_what_it_lacks_and_without_segments(session: Session):
    assert run_lines(session, f".trap {TRAP:x}") == [
        "NOTE: The trap frame does not contain all registers.",
        "Some register values may be zeroed or incorrect.",
        "rax=1111111100000030 rbx=0000000000000000 rcx=1111111100000038",
        "rdx=1111111100000040 rsi=0000000000000000 rdi=0000000000000000",
        "rip=fffff80010000010 rsp=ffffa10000000600 rbp=1111111100000158",
        " r8=1111111100000048  r9=1111111100000050 r10=1111111100000058",
        "r11=1111111100000060 r12=0000000000000000 r13=0000000000000000",
        "r14=0000000000000000 r15=0000000000000000",
        "iopl=0         ov up ei ng nz ac po cy",
        "nt+0x10:",
        "fffff800`10000010 488b442420      mov     rax,qword ptr [rsp+20h] ss:0018:ffffa100`00000620=0000000000000000",
    ]


def test_the_data_of_a_trap_frame_names_what_it_holds_only(session: Session):
    values = run(session, f".trap {TRAP:x}").values
    assert values["rax"] == 0x1111111100000030
    assert "r15" not in values and "rbx" not in values


def test_a_context_that_was_set_is_what_other_commands_go_by_until_it_is_reset(session: Session):
    run(session, f".cxr {CONTEXT:x}")
    lines = run_lines(session, "r")
    assert lines[0] == "Last set context:"
    assert lines[-2] == "nt+0x15:"
    assert run_lines(session, "r rbx") == ["Last set context:", "rbx=2222222200000090"]
    assert run_lines(session, "k")[0] == "  *** Stack trace for last set context - .thread/.cxr resets it"
    assert run_lines(session, "k 1")[0].startswith("Child-SP")
    assert run_lines(session, "? @rip") == [f"Evaluate expression: -8795824586731 = {'fffff800`10000015'}"]
    assert run_lines(session, "u @rip L1")[1].startswith("fffff800`10000015 49894708        mov")
    assert run_lines(session, ".cxr") == ["Resetting default scope"]
    assert run_lines(session, ".cxr") == []
    assert run_lines(session, "r")[0].startswith("rax=000000000000000a")
    assert run_lines(session, "k")[0].startswith("Child-SP")


def test_either_command_without_an_address_resets_what_the_other_set(session: Session):
    run(session, f".trap {TRAP:x}")
    assert run_lines(session, ".cxr 0") == ["Resetting default scope"]
    run(session, f".cxr {CONTEXT:x}")
    assert run_lines(session, ".trap") == ["Resetting default scope"]
    assert session.override is None


def test_another_processor_resets_what_was_set(session: Session):
    run(session, f".cxr {CONTEXT:x}")
    run(session, "~0s")
    assert session.override is None


def test_a_context_that_cannot_be_read_leaves_the_current_one(session: Session):
    run(session, f".cxr {CONTEXT:x}")
    set_context = session.override
    with pytest.raises(CommandError, match="Unable to read context at 00000000`00001234: not in this triage dump"):
        run(session, ".cxr 1234")
    with pytest.raises(CommandError, match="Unable to read trap frame at ffffa100`00000f80: not in"):
        run(session, f".trap {PLACE + 0xF80:x}")
    assert session.override is set_context


def test_user_code_is_shown_with_its_selector(session: Session):
    assert run_lines(session, f".trap {USER_TRAP:x}")[-1] == "0033:00007ff6`12340000 ??              ???"


def test_an_exception_record_is_shown_with_what_its_parameters_mean(session: Session):
    assert run_lines(session, f".exr {RECORD:x}") == [
        "ExceptionAddress: fffff80010000015 (nt+0x0000000000000015)",
        "   ExceptionCode: c0000005 (Access violation)",
        "  ExceptionFlags: 00000001",
        "NumberParameters: 2",
        "   Parameter[0]: 0000000000000001",
        "   Parameter[1]: 0000000000000010",
        "Attempt to write to address 0000000000000010",
    ]


def test_a_dump_without_an_exception_says_so(session: Session):
    with pytest.raises(CommandError, match="no exception record of its own"):
        run(session, ".exr -1")


@needs_shared
def test_record_minus_one_is_the_dumps_own_exception():
    assert run_lines(session_of("triage_x64"), ".exr -1") == [
        "ExceptionAddress: fffff8047bdf5a80 (nt+0x00000000003f5a80)",
        "   ExceptionCode: 80000003 (Break instruction exception)",
        "  ExceptionFlags: 00000001",
        "NumberParameters: 0",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".exr 1234", "Cannot read Exception record @ 0000000000001234: not in"),
        (".exr", "exr"),
        (".exr foo", "Couldn't resolve error at 'foo'"),
        (f".exr {RECORD:x} 2", "Extra character error"),
        (".cxr foo", "Couldn't resolve error at 'foo'"),
    ],
)
def test_bad_input_is_one_clear_line(session: Session, text: str, message: str):
    with pytest.raises((CommandError, ExpressionError), match=message):
        run(session, text)


def test_a_kernel_dump_has_no_exception_context_and_the_line_goes_on(session: Session):
    session.execute(f".cxr {CONTEXT:x}; .cxr; .ecxr ; kb 1")
    text = session.output.stream.getvalue()  # type: ignore[attr-defined]
    assert "Unable to get exception context, HRESULT 0x8000FFFF\nRetAddr" in text


def answers(session: Session, commands: Sequence[str]) -> List[List[str]]:
    found = []
    for text in commands:
        try:
            found.append(run_lines(session, text))
        except DumpkitError as error:
            found.append([str(error)])
    return found


@pytest.mark.rig
@needs_rig
def test_the_engine_prints_the_same_of_the_same_records(session: Session, tmp_path: Path):
    """But for the reason behind what cannot be read, and the wider column of return addresses in newer engines."""
    commands = [
        f".trap {TRAP:x}", "r", "r rbx", "r al, r15d", "k 1", ".frame", "? @r15", ".trap",
        f".cxr {CONTEXT:x}", "r", "r ds,fs", "k", "u @rip L2", ".cxr", ".cxr",
        f".trap {USER_TRAP:x}", ".trap", f".exr {RECORD:x}", ".exr 1234", ".trap 1234", ".ecxr", ".frame", "k",
    ]  # fmt: skip
    (tmp_path / "store").mkdir()
    engine = converse(tmp_path, dump_bytes(), commands, tmp_path / "store")[: len(commands)]
    ours = answers(session, commands)
    for answer, lines in zip(engine, ours):
        ended = [line.replace("     nt", " nt").replace("RetAddr    ", "RetAddr") for line in lines if line]
        assert [line.split(": not in")[0] for line in ended] == answer.lines, answer.command
