"""The object and I/O commands on faulty memory: each ends, with lines or a clear error."""

from __future__ import annotations

import random
import zlib

import pytest
from dumpkit.errors import DumpkitError

from tests.commands.test_dispatcher_object import with_waits
from tests.commands.test_timers_and_dpcs import with_timers
from tests.faulty_target import GARBAGE, Faults, Garbage, Missing, Random
from tests.forged_session import session_for
from tests.running import run_lines

LINES = (
    "irp", "irp {irp} 1", "devobj {low}", "devobj DR0", "devstack {high}", "drvobj disk 7", "fileobj {relative}",
    "object {low} 39", "object \\Device", "object \\GLOBAL??\\Disk0", "object 0 File", "object {key}", "handle 0 7 144",
    "handle 800007ac", "handle 0 3 0", "handle 8c4 23",
)  # fmt: skip
WAITS = ("mut {mutant}", "evt {signal}", "sem {semaphore}", "obj -waiters {signal}", "ddt nt!_DEVICE_OBJECT {low}")
TIMERS = ("timer", "dpcs", "pcr 0")
#: Words of garbage in so many, pages missing in so many.
RATES = ((40, 60), (10, 1000), (200, 15))
SEEDS = 12


@pytest.fixture(scope="module")
def waits(tmp_path_factory):
    made = with_waits()
    session = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("waits"))
    yield made, session
    session.target.close()


@pytest.fixture(scope="module")
def timers(tmp_path_factory):
    made = with_timers()
    session = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("timers"))
    yield made, session
    session.target.close()


def shown(session, line, fault):
    """Whether a command showed lines; an error must be one line."""
    session.target.forget_types()
    with Faults(session.target, fault):
        try:
            return bool(run_lines(session, line))
        except DumpkitError as error:
            assert str(error)
            assert "\n" not in str(error)
            return False


def check(made, session, line):
    """A line with random faults, and with faults in words that it reads."""
    line = line.format(**{name: f"{part.address:x}" for name, part in made.parts.items()})
    with Faults(session.target) as faults:
        assert run_lines(session, line)
    chooser = random.Random(zlib.crc32(line.encode()))
    reads = sorted(place for place, size in faults.reads if size <= 0x1000)
    kinds = [Random(seed, *RATES[seed % len(RATES)]) for seed in range(SEEDS)]
    for place in chooser.sample(reads, min(SEEDS, len(reads))):
        kinds += [Missing(place, 8), Garbage(place, 8, chooser.choice([*GARBAGE.values(), place, place - 8, 5]))]
    return sum(shown(session, line, kind) for kind in kinds), len(kinds)


@pytest.mark.parametrize("line", (*LINES, *WAITS))
def test_an_object_command_ends_on_faulty_memory(waits, line):
    good, all = check(*waits, line)
    assert good <= all


@pytest.mark.parametrize("line", TIMERS)
def test_a_processor_command_keeps_what_it_has_on_faulty_memory(timers, line):
    good, all = check(*timers, line)
    assert 2 * good > all
