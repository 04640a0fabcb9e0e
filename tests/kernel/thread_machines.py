"""The machine of threads as a target, for tests of the kernel's threads, waits and locks."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from dumpkit.kernel.thread import Thread
from dumpkit.session import Session
from dumpkit.target import Target

from tests.forge.machine import Machine
from tests.forged_session import session_for
from tests.thread_machine import Made, make


class Lab:
    """A session on the machine of threads, and what is in it."""

    def __init__(self, made: Made, folder: Path) -> None:
        self.made = made
        self.session: Session = session_for(made.machine, made.symbols(), folder)
        self.target: Target = self.session.dump

    @property
    def machine(self) -> Machine:
        return self.made.machine

    @property
    def parts(self) -> Dict[str, int]:
        return self.made.parts

    def thread(self, name: str) -> Thread:
        """A thread by the name that its maker gave it."""
        return Thread(self.target, self.address(name))

    def address(self, name: str) -> int:
        return self.made.threads[name].address


def lab(build: int, folder: Path) -> Lab:
    """The machine on a build of Windows, written into a folder."""
    return Lab(make(build), folder)
