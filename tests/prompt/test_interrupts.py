"""Ctrl-C while a command runs, and while none does."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from dumpkit.prompt.interrupts import Interrupts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows gives a process no way to send itself Ctrl-C alone")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_raises_while_something_runs() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(KeyboardInterrupt), interrupts.arm():
        interrupt()


def test_it_does_nothing_in_between() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        interrupt()
        with interrupts.arm():
            pass
        interrupt()


def test_it_raises_once_while_a_key_is_held_down() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), interrupts.arm():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupt()


def test_each_command_can_be_interrupted_at_once() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt), interrupts.arm():
                interrupt()


def test_the_handler_before_it_is_back_after_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def install() -> None:
        with Interrupts().installed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert seen == [before]
