"""`??` on what the symbols of an example describe: pointers, records, arrays, as the engine shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import ExpressionError
from dumpkit.numbers import quoted
from dumpkit.session import Session

from tests.running import run, run_lines, session_on

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"


@pytest.fixture(scope="module")
def session() -> Session:
    return session_on(open_dump(str(EXAMPLE)))


def test_the_current_thread_is_a_pointer_to_its_record(session: Session) -> None:
    thread = session.thread_address
    lines = run_lines(session, "?? @$thread")
    assert lines[0] == f"struct _ETHREAD * 0x{quoted(thread)}"
    assert lines[1:] == run_lines(session, f"dt nt!_ETHREAD {thread:x}")
    assert run(session, "?? @$proc").value == session.process_address


def test_members_are_followed_by_dots_and_arrows(session: Session) -> None:
    process = session.process_address
    assert run_lines(session, "?? @$thread->Tcb.Process")[0] == f"struct _KPROCESS * 0x{quoted(process)}"
    assert run_lines(session, "?? ((nt!_KTHREAD*)@$thread)->Process->Header")[0] == "struct _DISPATCHER_HEADER"
    assert run_lines(session, "?? &@$proc->ActiveProcessLinks")[0].startswith("struct _LIST_ENTRY * 0x")
    (number,) = run_lines(session, "?? @$thread->Tcb.Priority")
    assert number.startswith("char 0n")


def test_sizes_and_offsets_are_the_symbols(session: Session) -> None:
    type = session.dump.type("_ETHREAD")
    assert run(session, "?? sizeof(nt!_ETHREAD)").value == type.size
    assert run_lines(session, "?? #FIELD_OFFSET(nt!_ETHREAD, Tcb.Process)") == [f"long 0n{type.offset('Tcb.Process')}"]


def test_arrays_are_text_or_their_first_element(session: Session) -> None:
    head, text = run_lines(session, "?? @$proc->ImageFileName")
    assert head.startswith("unsigned char [15] 0x") and text == ' "System"'
    assert run_lines(session, "?? @$proc->ImageFileName[0]") == ["unsigned char 0x53 'S'"]


def test_masm_takes_the_value(session: Session) -> None:
    process = session.process_address
    assert run(session, "? @@c++(@$thread->Tcb.Process)").value == process
    listed = run_lines(session, "dt nt!_LIST_ENTRY @@c++(&@$proc->ActiveProcessLinks)")
    assert listed == run_lines(session, "?? @$proc->ActiveProcessLinks")[1:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("((nt!_LIST_ENTRY*)@rsp)->nosuch", "Type does not have given member error at 'nosuch'"),
        ("((nt!_KTHREAD*)0)->Process", "Memory access error at 'Process'"),
        ("((nt!_nosuch*)@rsp)->foo", "Couldn't resolve error at 'nt!_nosuch*)@rsp)->foo'"),
        ("@$thread->Tcb + 1", "Type conflict error at '<EOL>'"),
    ],
)
def test_what_is_wrong_is_said_in_the_engines_words(session: Session, text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        run(session, f"?? {text}")
    assert str(refused.value) == message


def test_a_null_pointer_leads_nowhere(session: Session) -> None:
    assert run_lines(session, "?? (nt!_KTHREAD*)0") == ["struct _KTHREAD * 0x00000000`00000000"]
