"""A pseudo-terminal with a program in it, as a person at a terminal has it."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Dict, Optional, Sequence, Type

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][A-Z0-9]?|\x1b\][^\x07]*\x07|[\x00\x07]")


class Terminal:
    """Types into a program and reads what it shows; POSIX only."""

    def __init__(self, command: Sequence[str], variables: Dict[str, str], patience: float = 30) -> None:
        import pty
        from fcntl import ioctl
        from termios import TIOCSCTTY

        self.patience = patience
        #: What was shown since the beginning, escape sequences and all.
        self.raw = ""
        #: How much of it, without them, has been expected.
        self._seen = 0
        self._far, near = pty.openpty()
        # Nobody answers questions for the cursor's position here.
        environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **variables}
        self.process = subprocess.Popen(
            command,
            stdin=near,
            stdout=near,
            stderr=near,
            start_new_session=True,
            # Without a controlling terminal, Ctrl-C would be no signal.
            preexec_fn=lambda: ioctl(0, TIOCSCTTY, 0),
            env=environment,
        )
        os.close(near)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._far)

    def type(self, text: str) -> None:
        os.write(self._far, text.encode())

    def read(self, seconds: float) -> bool:
        """Take what is shown within a time; false where nothing is."""
        if not select.select([self._far], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._far, 65536)
        except OSError:
            # Linux tells the end of the program's side so.
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)

    @property
    def text(self) -> str:
        """What was shown since the last `expect`, without escape sequences."""
        return _ESCAPES.sub("", self.raw)[self._seen :]

    def expect(self, wanted: str) -> str:
        """Wait until something is shown; what was shown before it, since the last call."""
        until = time.monotonic() + self.patience
        while wanted not in self.text:
            left = until - time.monotonic()
            if left <= 0 or (not self.read(min(left, 0.5)) and self.process.poll() is not None and not self.read(0)):
                raise AssertionError(f"{wanted!r} was not shown, but:\n{self.text}")
        before, _, _ = self.text.partition(wanted)
        self._seen += len(before) + len(wanted)
        return before

    def interrupt(self) -> None:
        """Ctrl-C, as the terminal's driver sends it to a program that has not asked for single keys."""
        self.type("\x03")

    def end(self) -> int:
        """Wait for the program's end; its exit status."""
        until = time.monotonic() + self.patience
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.05)
        return self.process.wait(1)


def python(module: str) -> Sequence[str]:
    """The command that runs a module with this Python."""
    return (sys.executable, "-m", module)
