"""`r`, `~Ns` and the register block."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.register_text import extended, flags_line, formatted_register, register_lines, register_text
from dumpkit.registers import ARM64, X64, Context
from dumpkit.session import Session

from tests.forge.triage import TriageFile
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "forged.dmp"
    path.write_bytes(TriageFile().build())
    return session_on(open_dump(str(path)))


def test_named_registers_parts_and_flags_stand_in_one_line(session: Session) -> None:
    rax = session.context["rax"]
    assert run_lines(session, "r rax, @al,zf , $ip") == [
        f"rax={rax:016x} al={rax & 0xFF:x} zf=1 $ip={session.context.instruction_pointer:016x}"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("r nosuch", "               ^ Bad register error in 'r nosuch'"),
        ("r foo", "            ^ Bad register error in 'r foo'"),
        ("r rax rbx", "             ^ Syntax error in 'r rax rbx'"),
    ],
)
def test_bad_names_are_pointed_at_as_the_engine_does(session: Session, text: str, line: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        session.execute(text)
    assert caught.value.pointed("0: kd> ") == line


def test_registers_are_never_changed(session: Session) -> None:
    with pytest.raises(CommandError, match="never changes a target"):
        run(session, "r rax=5")


def test_pseudo_registers_are_set(session: Session) -> None:
    for line in ("r $t0 = 5 + 6", "r @$t1=@$t0*2, $T2=1", "r $t3=poi(@$t4)"):
        with suppress(ExpressionError):
            session.execute(line)
    assert run_lines(session, "r $t0,$t1,$t2,$t3") == [
        "$t0=000000000000000b $t1=0000000000000016 $t2=0000000000000001 $t3=0000000000000000"
    ]
    with pytest.raises(ExpressionError, match="Extra character error"):
        session.execute("r $t0=5 6")
    assert session.pseudo["t0"] == 5
    with pytest.raises(ExpressionError, match="Bad register error in 'r nosuch=5'"):
        session.execute("r nosuch=5")


def test_a_format_may_be_decimal(session: Session) -> None:
    session.execute("r $t0 = 0xffff850429891720")
    assert run_lines(session, "r $t0:ib") == ["$t0=255 255 133 4 41 137 23 32"]
    assert run_lines(session, "r $t0:iw") == ["$t0=65535 34052 10633 5920"]
    assert run_lines(session, "r $t0:id") == ["$t0=-31484 696850208"]
    assert run_lines(session, "r $t0:iq") == ["$t0=-135222053497056"]


def test_extended_floats_are_scientific() -> None:
    assert extended(0x3FFF_8000_0000_0000_0000, 21) == " 1.000000000000000000000e+0000"
    assert extended(0xC000_C000_0000_0000_0000, 3) == "-3.000e+0000"
    assert extended(0x7FFF_8000_0000_0000_0000, 3) == " 1.#INF"
    assert extended(0x0001_8000_0000_0000_0000, 3) == " 3.362e-4932"


def test_a_register_that_a_context_lacks_is_shown_as_question_marks() -> None:
    lines = list(register_lines(Context(X64, {"rax": 1}), segments=False))
    assert lines[0] == "rax=0000000000000001 rbx=???????????????? rcx=????????????????"
    assert not any(line.startswith("cs=") for line in lines)


def test_the_flags_line_has_the_engines_words() -> None:
    assert flags_line(0x40286) == "iopl=0         nv up ei ng nz na po nc"
    assert flags_line(0x40002) == "iopl=0         nv up di pl nz na pe nc"
    assert flags_line(0x3FFFFF) == "iopl=3 vip vif ov dn ei ng zr ac po cy"


def test_vector_registers_are_four_floats() -> None:
    value = int.from_bytes(b"\0\0\x80\x3f" + bytes(8) + b"\0\0\0\x40", "little")
    cells = "           2            0            0            1"
    assert register_text(Context(X64, {"xmm0": value}), "xmm0") == f"xmm0={cells}"


def test_arm64_has_its_own_block() -> None:
    context = Context(ARM64, {**{f"x{number}": number for number in range(29)}, "pc": 0x10, "psr": 0x80000144})
    lines = list(register_lines(context))
    assert lines[0] == " x0=0000000000000000   x1=0000000000000001   x2=0000000000000002   x3=0000000000000003"
    assert lines[-1] == " pc=0000000000000010  psr=80000144 N--- EL1"


def test_a_processor_that_is_not_there_is_refused(session: Session) -> None:
    with pytest.raises(CommandError, match="99 is not a valid processor number"):
        run(session, "~99s")
    with pytest.raises(CommandError, match="needs a processor number"):
        run(session, "~*")


@needs_shared
def test_another_processor_has_its_own_registers_and_prompt() -> None:
    session = session_of("triage_x64")
    session.execute("~1s")
    assert session.prompt == "1: kd> "
    assert run_lines(session, "r rip, rsp") == ["rip=fffff8047bd8d14d rsp=ffff8504296296b0"]
    session.execute("~0s")
    assert session.prompt == "0: kd> "


def test_a_processor_without_registers_is_refused_and_the_session_stays(session: Session) -> None:
    before = session.prompt
    with pytest.raises(CommandError):
        run(session, "~1s")
    assert session.prompt == before and run(session, "r").processor == session.processor


@needs_shared
def test_control_registers_are_shown_by_name() -> None:
    assert run_lines(session_of("triage_x64"), "r cr3, cr8") == ["cr3=00000000001ad000 cr8=0000000000000000"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("uq", "rax=0123456789abcdef"),
        ("ud", "rax=01234567 89abcdef"),
        ("uw", "rax=0123 4567 89ab cdef"),
        ("ub", "rax=01 23 45 67 89 ab cd ef"),
        ("d", f"rax={'3.51270056409e-303':>22}"),
        ("f", f"rax={'2.99882e-038':>12} {'-4.13604e-033':>12}"),
    ],
)
def test_a_register_is_shown_in_the_elements_of_a_format(form: str, text: str) -> None:
    context = Context(X64, {"rax": 0x0123456789ABCDEF})
    assert formatted_register(context, "rax", form) == text


def test_a_part_of_a_register_has_as_many_elements_as_a_whole_one(session: Session) -> None:
    session.override = Context(X64, {"rax": 0x1250, "efl": 0x246})
    assert run_lines(session, "r al:ub, efl:ud")[1] == "al=00 00 00 00 00 00 00 50 efl=00000246"
    with pytest.raises(ExpressionError, match="Syntax error in 'r rax:b'"):
        run(session, "r rax:b")


def test_a_mask_says_which_registers_are_shown(session: Session) -> None:
    assert len(run_lines(session, "rM 0")) == 2
    assert run_lines(session, "rM 2")[0].startswith("rax=")
    assert run_lines(session, "rM 8")[0].startswith("cs=")
    assert run_lines(session, "rX")[15].startswith("xmm15=")
    assert run_lines(session, "rM 1000")[0] == "Ignored invalid bits 1000"
    assert run_lines(session, "rM 4")[:2] == [
        "fpcw=0000    fpsw=0000    fptw=0000",
        "st0= 0.000000000000000000000e+0000  st1= 0.000000000000000000000e+0000",
    ]
    assert run_lines(session, "rF") == run_lines(session, "rM 4")
    assert run_lines(session, "rM 10")[0] == "mm0=0000000000000000  mm1=0000000000000000"
    assert run_lines(session, "rM 800")[15].startswith("xmm15= ")
    assert "The AVX registers are not in a dump's contexts." in run_lines(session, "rM 200")
    assert run_lines(session, "rM 2 rax") == run_lines(session, "r rax")
