"""Names and types on real dumps: against the true stack of one, and against Microsoft's engine with the same PDBs."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError
from dumpkit.session import Session
from dumpkit.symbols.pdb import PdbFile

from tests.disassembly.engine import needs_engine
from tests.fidelity.placed_pdb import place_pdb
from tests.fidelity.symbol_engine import ask
from tests.running import failure_text, run, run_lines, session_on
from tests.shared import DUMPS, REFERENCE, SYMBOLS, dump, needs_shared, needs_symbols

pytestmark = [needs_shared, needs_symbols]

KERNEL_PDB = SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb"
STORE = SYMBOLS / "store"
#: The dump's process and thread, of which it holds whole pages.
NAMES, TYPES = 200, 30
#: The engine does not see more sections than the PDB was made for.
SECTIONS = 24

Counts = Dict[str, List[int]]


def session_with(name: str, *places: Path) -> Session:
    return session_on(open_dump(dump(name), symbol_path=";".join(map(str, places)), offline=True))


@pytest.fixture(scope="module")
def tables() -> Iterator[Session]:
    session = session_with("triage_x64", SYMBOLS / "isf", STORE)
    yield session
    session.dump.symbols.close()


def true_frames() -> List[Tuple[int, str]]:
    rows = (REFERENCE / "triage_x64.frames.tsv").read_text(encoding="utf-8").splitlines()
    parts = [row.split("\t") for row in rows if not row.startswith("#")]
    return [(int(part[1], 16), part[2]) for part in parts if int(part[1], 16)]


def test_all_36_frames_have_their_true_names(tables: Session, fidelity: Counts) -> None:
    symbols = tables.dump.symbols
    frames = true_frames()
    named = 0
    for address, place in frames:
        found = symbols.nearest(address)
        assert found is not None
        if "!" not in place:
            named += str(found) == place
            continue
        # Several names may stand at one address: which of them is shown is not what counts.
        name, _, displacement = place.partition("+")
        near = symbols.around(address - found.displacement)
        aliases = {str(each) for each in near.exact} if near is not None else set()
        named += name in aliases and found.displacement == int(displacement, 16)
    fidelity["frames named"] = [named, len(frames)]
    assert (named, len(frames)) == (36, 36)


def test_dps_names_the_return_addresses_of_the_stack(tables: Session) -> None:
    stack = run(tables, "dps ffff850429890e00 L800")
    meanings = [row.meaning for row in stack.rows if row.values[0] in {address for address, _ in true_frames()}]
    assert len(meanings) > 20
    assert all(meaning is not None and ("!" in meaning or meaning.startswith("Wdf01000+")) for meaning in meanings)


@pytest.mark.parametrize("name", ["triage_x64", "100623-6156-01"])
def test_the_current_process_is_named_and_its_kernel_matched_by_its_variables(name: str) -> None:
    session = session_with(name, SYMBOLS / "isf", STORE)
    lines = run_lines(session, "dt nt!_EPROCESS @$proc ImageFileName")
    process = run(session, "dt nt!_EPROCESS @$proc ImageFileName")
    assert re.fullmatch(r'   \+0x5a8 ImageFileName : \[15\]  "[\w .-]+"', lines[0])
    if name == "triage_x64":
        assert '"System"' in lines[0]
    assert process.address == session.evaluate("@$proc")
    (row,) = run(session, "lm m nt").modules
    assert row.symbols == "isf symbols"
    assert "matched by PsLoadedModuleList, KdDebuggerDataBlock, PsActiveProcessHead" in row.remark
    assert any("matched by PsLoadedModuleList" in line for line in run_lines(session, "lmvm nt"))
    assert any("matched by PsLoadedModuleList" in line for line in run_lines(session, ".reload"))
    session.dump.symbols.close()


def test_the_tables_of_other_kernels_are_refused_with_their_reason() -> None:
    session = session_with("rts_13a", SYMBOLS / "isf")
    with pytest.raises(DumpkitError, match="Symbol nt!_EPROCESS not found") as refused:
        run(session, "dt nt!_EPROCESS")
    assert "is at 0x" in str(refused.value) or "isf" in str(refused.value)
    assert "\n" not in str(refused.value)


# --- Against the engine ------------------------------------------------------


class _Pair:
    """A session and the engine on one dump, with the same symbols."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        target = open_dump(dump("triage_x64"), offline=True)
        self.symbols = folder / "symbols"
        self.symbols.mkdir()
        place_pdb(KERNEL_PDB, target, self.symbols / "ntoskrnl.pdb")
        target.close()
        self.session = session_with("triage_x64", self.symbols, STORE)

    def compare(self, commands: List[str]) -> List[Tuple[str, List[str], List[str]]]:
        """(command, the engine's lines, ours) of those that differ."""
        said = ask(self.folder, DUMPS / "triage_x64.dmp", [self.symbols, STORE], commands)
        different = []
        for command in commands:
            try:
                ours = run_lines(self.session, command)
            except DumpkitError as error:
                ours = failure_text(self.session, error).splitlines()
            theirs = [line for line in said.get(command, []) if not line.startswith("[hr ")]
            if normal(command, ours) != normal(command, theirs):
                different.append((command, theirs, ours))
        return different

    def names(self, module: str, count: int) -> List[Tuple[str, int]]:
        """Some names of a module, and their addresses."""
        target = self.session.dump
        found = target.module_named(module)
        assert found is not None
        file = target.symbols.file(found)
        assert isinstance(file, PdbFile)
        plain = [
            (symbol.name, found.base + symbol.rva)
            for symbol in file.symbols()
            if re.fullmatch(r"\w+", symbol.name) and (file.sections.place(symbol.rva) or (99,))[0] <= SECTIONS
        ]
        return random.Random(19041).sample(plain, count)


def normal(command: str, lines: List[str]) -> List[str]:
    kept = []
    for line in lines:
        if command.startswith("ln") and line.startswith("    "):
            # The engine lists the names at one place in the order of its hash table, or none.
            continue
        if "nt!" in command:
            # Which of the kernel's names are functions was made up with its PDB.
            line = line.replace(" = <no type information>", " (<no parameter info>)")
        kept.append(re.sub(r"[\x00-\x1f\x7f]", ".", line).rstrip())
    # Without a wish for an order the engine's is that of the PDB's hash tables.
    matched = sorted(line for line in kept if line.startswith("Matched: "))
    kept = matched + [line for line in kept if not line.startswith("Matched: ")]
    if command.startswith(("x nt!", "x amdppm!", "dt nt!_KPR", "dt -v nt!_KPR")):
        kept.sort()
    return kept


@pytest.fixture(scope="module")
def pair(tmp_path_factory: Any) -> Iterator[_Pair]:
    made = _Pair(tmp_path_factory.mktemp("engine"))
    yield made
    made.session.dump.symbols.close()


def counted(fidelity: Counts, name: str, total: int, different: List[Any]) -> None:
    counts = fidelity.setdefault(name, [0, 0])
    counts[0] += total - len(different)
    counts[1] += total


@pytest.mark.slow
@pytest.mark.rig
@needs_engine
def test_200_names_are_found_listed_and_evaluated_as_the_engine_does(pair: _Pair, fidelity: Counts) -> None:
    names = [(f"nt!{name}", address) for name, address in pair.names("nt", NAMES)]
    names += [(f"amdppm!{name}", address) for name, address in pair.names("amdppm", NAMES // 2)]
    shift = random.Random(5)
    for verb in ("x", "?", "ln"):
        commands = list(dict.fromkeys(f"{verb} {name}" for name, _ in names))
        different = pair.compare(commands)
        counted(fidelity, f"{verb} NAME", len(commands), different)
        assert not different, different[:3]
    commands = [f"ln {address + shift.randrange(0x400):x}" for _, address in names]
    different = pair.compare(commands)
    counted(fidelity, "ln ADDRESS", len(commands), different)
    assert not different, different[:3]


@pytest.mark.slow
@pytest.mark.rig
@needs_engine
def test_the_symbols_of_a_pattern_are_the_engines(pair: _Pair) -> None:
    for command in ("x /n nt!KeBugC*", "x /a nt!KiS*Thread*", "x /1 /n amdppm!*Write*", "x /v /a amdppm!AcpiEval_P*"):
        assert not pair.compare([command])


@pytest.mark.rig
@needs_engine
def test_30_types_are_shown_as_the_engine_does(pair: _Pair, fidelity: Counts) -> None:
    target = pair.session.dump
    kernel = target.module_named("nt")
    assert kernel is not None
    file = target.symbols.file(kernel)
    assert file is not None
    plain = sorted(name for name in set(file.type_names()) if re.fullmatch(r"\w+", name))
    types = random.Random(19041).sample(plain, TYPES)
    commands = [f"dt {option}nt!{name}" for name in types for option in ("", "-v ", "-b ", "-r1 ")]
    commands += ["dt amdppm!_LIST_ENTRY", "dt nt!_KPR*", "dt -v nt!_KPRO*", "dt _LIST_ENTRY", "dt nt!_LIST_ENTRY 0"]
    commands += [
        f"dt {words}"
        for words in (
            "nt!_EPROCESS @$proc ImageFileName",
            "nt!_EPROCESS @$proc ImageFileName UniqueProcessId Pcb.",
            "nt!_KTHREAD @$thread ApcState.",
            "nt!_KTHREAD @$thread -y Wait",
            "-r1 nt!_DISPATCHER_HEADER @$thread",
            "-b nt!_KAPC_STATE @$thread+98",
            "-c nt!_LIST_ENTRY @$thread+8",
            "nt!_EPROCESS @$proc nosuch",
        )
    ]
    different = pair.compare(commands)
    counted(fidelity, "dt", len(commands), different)
    assert not different, different[:3]
