"""Ctrl-C at a prompt: it ends the command that runs, and nothing else."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import current_thread, main_thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

#: Seconds after a KeyboardInterrupt in which no other is raised: a key held down must not meet the
#: code that cleans up after the first one.
_REST = 0.5


class Interrupts:
    """Whether Ctrl-C raises KeyboardInterrupt (while `armed`) or does nothing."""

    def __init__(self) -> None:
        self.armed = False
        self._raised = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within, this object decides; after it, all is as it was. Only the main thread has signals."""
        if current_thread() is not main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def arm(self) -> Iterator[None]:
        """Within, Ctrl-C raises KeyboardInterrupt: once, and again where that did not end what runs."""
        self._raised = 0.0
        self.armed = True
        try:
            yield
        finally:
            self.armed = False

    def _on_signal(self, number: int, frame: object) -> None:
        now = monotonic()
        if self.armed and now - self._raised > _REST:
            self._raised = now
            raise KeyboardInterrupt
