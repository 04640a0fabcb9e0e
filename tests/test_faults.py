"""Every command on faulty memory: it ends, and gives what there is or a clear error, never anything else.

What a command reads of an example is recorded first. Then each piece of that is missing or garbage in a run of its
own, and in others everything is faulty at random.
"""

from __future__ import annotations

import random
import signal
import threading
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Set, Tuple

import pytest
from dumpkit.dispatcher import parse_call
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import processes
from dumpkit.target import Target
from dumpkit.target_symbols import Symbols

from tests.faulty_lines import LEFT_OUT, NOT_IN_EXAMPLES, lines_of
from tests.faulty_target import GARBAGE, REASON, Fault, Faults, Garbage, Missing, Random
from tests.running import own_commands, run_lines, session_on

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: Example -> the module that its lines name.
MODULES = {"fast-mutex-irql": "TestDriver", "pool-0x13a": "overrun", "power-0x9f": "slowdisk"}
#: No command takes longer on an example, however faulty: seconds, with room for a machine that does other things.
LONGEST = 20.0
#: One word in so many is garbage, one page in so many is missing.
RATES = ((40, 60), (10, 1000), (200, 15))


class TooLongError(Exception):
    """A command did not end."""


class Lab:
    """An example, opened anew for each run; its symbols are read once."""

    def __init__(self, example: str) -> None:
        self.folder = EXAMPLES / example
        self._target = self._open()
        self._symbols: Symbols = self._target.symbols
        commands = [name for name in sorted(own_commands()) if name not in LEFT_OUT]
        self.lines = lines_of(self._target, commands, MODULES[example])

    def _open(self) -> Target:
        symbols = str(self.folder / "symbols")
        return open_dump(str(self.folder / "MEMORY.DMP"), symbol_path=symbols, offline=True)

    def target(self) -> Target:
        target = self._open()
        target.symbols = self._symbols
        return target

    def run(
        self, line: str, fault: Optional[Fault] = None, physical: bool = False
    ) -> Tuple[Optional[List[str]], Set[Tuple[int, int]]]:
        """The lines of a command, None where it ended with an error, and what it read of virtual or physical memory."""
        target = self.target()
        with Faults(target, fault, physical) as faults:
            try:
                with at_most(LONGEST):
                    shown = run_lines(session_on(target), line)
            except DumpkitError as error:
                assert str(error) and "\n" not in str(error), f"{line} with {fault}: its error is no line"
                return None, faults.reads
            except Exception as error:
                raise AssertionError(f"{line} with {fault}: {type(error).__name__}: {error}") from error
        return shown, faults.reads


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooLongError in what runs longer, where the system can interrupt it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise TooLongError(f"not done within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", params=sorted(MODULES))
def lab(request: pytest.FixtureRequest) -> Lab:
    return Lab(request.param)


def faults_of(field: Tuple[int, int], chooser: random.Random, kinds: int) -> List[Fault]:
    """A field missing, and with some kinds of garbage; of a block one word of it."""
    address, size = field
    if size > 16:
        address, size = address + (chooser.randrange(0, size - 7) & ~7), 8
    words = [*GARBAGE.values(), address, address - 8, 5]
    garbage = [Garbage(address, max(1, size), word) for word in chooser.sample(words, kinds)]
    return [Missing(address, max(1, size)), *garbage]


def check(lab: Lab, line: str, seeds: Sequence[int], fields: int, kinds: int = 2) -> int:
    """Run a line with random faults and with faults in some fields that it reads; how many runs still showed lines."""
    chooser = random.Random(zlib.crc32(line.encode()))
    faults: List[Fault] = [Random(seed, *RATES[seed % len(RATES)]) for seed in seeds]
    reads = sorted(lab.run(line)[1]) if fields else []
    for field in chooser.sample(reads, min(fields, len(reads))):
        faults += faults_of(field, chooser, kinds)
    return sum(lab.run(line, fault)[0] is not None for fault in faults)


def test_every_command_ends_with_lines_or_a_clear_error_on_faulty_memory(lab: Lab):
    shown = sum(check(lab, line, [number], 1 if number % 5 == 0 else 0) for number, line in enumerate(lab.lines))
    # Most faults cost what depends on them and nothing else.
    assert shown > len(lab.lines) // 2


def test_page_tables_and_physical_memory_may_be_faulty_too(lab: Lab):
    for number, line in enumerate(lab.lines[::12]):
        lab.run(line, Random(number, words=400, pages=25), physical=True)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_command_bears_many_faults(lab: Lab, part: int):
    lines = lab.lines[part::4]
    shown = sum(check(lab, line, range(6), 8) for line in lines)
    assert shown > 5 * len(lines)


@pytest.mark.slow
def test_every_command_bears_many_faults_in_physical_memory(lab: Lab):
    for number, line in enumerate(lab.lines):
        for seed in range(4):
            rate = 50 * 4**seed
            lab.run(line, Random(number + seed, words=rate, pages=rate), physical=True)


@pytest.mark.slow
def test_commands_end_where_images_and_symbols_meet_faults_too(lab: Lab):
    for number, line in enumerate(lab.lines):
        lab._symbols = lab._open().symbols
        lab.run(line, Random(number, *RATES[number % len(RATES)]))


def test_every_command_that_takes_an_object_has_a_line_that_works_on_some_example():
    working: Set[str] = set()
    for example in MODULES:
        lab = Lab(example)
        for line in lab.lines:
            name = parse_call(line).command.name
            if name not in working and lab.run(line)[0] is not None:
                working.add(name)
    silent = sorted(set(own_commands()) - working - LEFT_OUT - NOT_IN_EXAMPLES)
    assert silent == [], f"none of their lines in faulty_lines.py gives anything: {' '.join(silent)}"


@pytest.mark.parametrize("kind", ["missing", "loop", "wild", "null"])
def test_a_list_of_processes_that_breaks_off_keeps_those_before_it_and_says_why(kind: str):
    lab = Lab("fast-mutex-irql")
    target = lab.target()
    offset = target.type("_EPROCESS").offset("ActiveProcessLinks")
    found = list(processes(target))
    link = found[1].address + offset
    fault: Fault = {
        "missing": Missing(link, 8),
        "loop": Garbage(link, 8, found[0].address + offset),
        "wild": Garbage(link, 8, GARBAGE["nowhere"]),
        "null": Garbage(link, 8, 0),
    }[kind]
    shown, _ = lab.run("process 0 0", fault)
    assert shown is not None
    text = "\n".join(shown)
    assert "Image: System" in text and "Image: Registry" in text and "Image: csrss.exe" not in text
    said = {"missing": REASON, "loop": "loops", "wild": "cannot be read", "null": "null link"}[kind]
    assert said in shown[-1]
