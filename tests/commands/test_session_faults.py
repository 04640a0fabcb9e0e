"""The commands on processes, devices and processors where the machine's memory is faulty: lines, or a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import DumpkitError

from tests.commands.test_thread_faults import RATES
from tests.faulty_target import Faults, Random
from tests.running import run_lines, session_on
from tests.session_machine import (
    ADMINISTRATORS,
    SYSTEM_SID,
    SessionLab,
    add_apc,
    add_descriptors,
    add_device_nodes,
    add_interrupts,
    add_page_frames,
    add_token,
    add_user_mode,
    add_verifier,
    add_work_queues,
)

PCR = 0xFFFFF8022E5E1000
LINES = (
    "stacks 2;apc;devnode 0 1;idt -a;cpuinfo;vad;pfn 2011;token -n;peb;teb;exqueue 6;verifier 1;running -it;ready 6;"
    "tl -u -proc -m nt;p"
).split(";")


class Whole(SessionLab):
    """The machine with everything that the commands ask for."""

    def __init__(self, build: int, folder: Path) -> None:
        super().__init__(build, folder)
        add_user_mode(self)
        add_descriptors(self)
        add_device_nodes(self)
        add_interrupts(self, PCR)
        add_page_frames(self, 0x2011, 2)
        add_apc(self, "user", 1, "nt!KiSwapThread")
        add_work_queues(self)
        token = add_token(self.machine, [(SYSTEM_SID, 0), (ADMINISTRATORS, 0xF)], ("A", "b"))
        self.program["Token.Object"] = token.address | 3
        if build > 7601:
            add_verifier(self, 0x9BB)
        # What is read once for all lines is read without faults.
        run_lines(self.session, "t")

    def shown(self, line: str, seeds: int) -> int:
        """In how many of the damaged machines a line, run in the program's context, still shows something."""
        found = 0
        for seed in range(seeds):
            session = session_on(self.target)
            session.process, session.thread = self.program.address, self.made.threads["user"].address
            with Faults(self.target, Random(seed, *RATES[seed % len(RATES)])):
                try:
                    found += bool(run_lines(session, line))
                except DumpkitError as error:
                    assert str(error) and "\n" not in str(error)
        return found


@pytest.fixture(scope="module", params=(7601, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(request.param, tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("line", LINES)
def test_a_command_bears_random_faults(at: Whole, line: str) -> None:
    if line.startswith("verifier") and at.machine.build == 7601:
        pytest.skip("the forge has no verifier of Windows 7")
    assert at.shown(line, 12) > 2
