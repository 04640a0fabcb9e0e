"""A debugger data block as a running kernel keeps it: decoded by the kernel's symbols, or its absence told."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.kernel.debugger_data import BlockKeys, EncodedError, block_keys, read_debugger_data
from hypothesis import given
from hypothesis import strategies as st

from tests.flat_memory import FlatMemory
from tests.forge.debugger_data import build_debugger_data, encoded_block
from tests.forge.kernel_variables import VARIABLES
from tests.forge.machine import Machine
from tests.forge.timers import set_keys
from tests.forged_session import session_for
from tests.running import run_lines
from tests.thread_machine import make

ADDRESS = 0xFFFFF80012300B20
NEVER, ALWAYS = 0x8A1B2C3D4E5F6071, 0x0055AA1122334455
COMMANDS = ("~1s", "r", "running", "vertarget", "di")


def encode(machine: Machine) -> None:
    """Mix the machine's block with keys, as it is while Windows runs."""
    set_keys(machine, NEVER, ALWAYS)
    place = machine.address("KdDebuggerDataBlock")
    keys = (NEVER, ALWAYS, machine.address("KdpDataBlockEncoded"))
    block = machine.read(place, VARIABLES["KdDebuggerDataBlock"])
    machine.put(place, encoded_block(block, *keys))


words = st.integers(0, (1 << 64) - 1)


@given(words, words, words)
def test_decoding_undoes_encoding_with_any_keys(never: int, always: int, place: int) -> None:
    block = build_debugger_data(KernBase=ADDRESS, NtBuildLab=ADDRESS + 8)
    assert BlockKeys(never, always, place).decode(encoded_block(block, never, always, place)) == block


def test_an_encoded_block_is_refused_without_keys_and_with_wrong_ones() -> None:
    memory = FlatMemory({ADDRESS: encoded_block(build_debugger_data(KernBase=ADDRESS), NEVER, ALWAYS, ADDRESS)})
    assert read_debugger_data(memory, ADDRESS, BlockKeys(NEVER, ALWAYS, ADDRESS))["KernBase"] == ADDRESS
    for keys in (None, BlockKeys(NEVER, ALWAYS, ADDRESS ^ 1 << 40), BlockKeys(NEVER << 1, ALWAYS, ADDRESS)):
        with pytest.raises(EncodedError, match="encoded or damaged"):
            read_debugger_data(memory, ADDRESS, keys)


def test_an_encoded_block_whose_end_is_missing_gives_the_members_before_it() -> None:
    block = encoded_block(build_debugger_data(KernBase=ADDRESS), NEVER, ALWAYS, ADDRESS)
    data = read_debugger_data(FlatMemory({ADDRESS: block[:0x104]}), ADDRESS, BlockKeys(NEVER, ALWAYS, ADDRESS))
    assert (data["KernBase"], data["KiProcessorBlock"], len(data.block)) == (ADDRESS, None, 0x100)


@pytest.mark.parametrize("build", [19041, 22000])
def test_a_dump_with_an_encoded_block_is_read_as_one_without(build: int, tmp_path: Path) -> None:
    made = make(build)
    (tmp_path / "plain").mkdir()
    plain = session_for(made.machine, made.symbols(), tmp_path / "plain")
    facts = [run_lines(plain, command) for command in COMMANDS]
    encode(made.machine)
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert block_keys(session.dump).never == NEVER
    assert session.dump.notes == plain.dump.notes
    assert [run_lines(session, command) for command in COMMANDS] == facts


def test_without_symbols_an_encoded_block_costs_processors_and_the_note_says_what_would_help(tmp_path: Path) -> None:
    made = make(19041)
    encode(made.machine)
    session = session_for(made.machine, (), tmp_path)
    assert len(session.dump.modules) == 2
    with pytest.raises(DumpkitError, match="no debugger data block"):
        session.dump.context(1)
    (note,) = [note for note in session.dump.notes if "debugger data block" in note]
    assert "encoded or damaged; to decode it: " in note


def test_with_symbols_a_damaged_block_is_not_called_decodable(tmp_path: Path) -> None:
    made = make(19041)
    encode(made.machine)
    made.machine.put_u64(made.machine.address("KdDebuggerDataBlock") + 0x10, 0x1234)
    session = session_for(made.machine, made.symbols(), tmp_path)
    (note,) = [note for note in session.dump.notes if "debugger data block" in note]
    assert "to decode it" not in note
