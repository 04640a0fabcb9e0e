"""Work shared out among processes: its order, what no process could do, and where there are none."""

from __future__ import annotations

import os
import signal
from threading import Event, Thread

import pytest
from dumpkit import forked
from dumpkit.errors import CommandError
from dumpkit.forked import in_order

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


def number(item: int) -> bytes:
    return b"%d" % item


def process(_: int) -> bytes:
    return b"%d" % os.getpid()


@pytest.fixture(params=[1, 2, 3])
def processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(forked, "_processors", lambda: request.param)
    # The threads of what runs the tests hold no locks that these need.
    monkeypatch.setattr(forked, "_may_fork", lambda: hasattr(os, "fork"))
    count: int = request.param
    return count


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_order_however_many_processes_there_are(processors: int, count: int) -> None:
    assert list(in_order(number, count)) == [number(item) for item in range(count)]


def test_results_may_be_empty_and_may_be_larger_than_a_pipe(processors: int) -> None:
    results = [b"", b"x" * (1 << 20), b"", b"y" * (1 << 20), b"z"]
    assert list(in_order(results.__getitem__, 5)) == results


@needs_fork
def test_several_processors_work_in_several_processes(processors: int) -> None:
    found = set(in_order(process, 6))
    assert len(found) == processors
    assert (process(0) in found) == (processors == 1)


@needs_fork
def test_what_a_process_that_died_did_not_do_is_done_here(processors: int) -> None:
    here = os.getpid()

    def work(item: int) -> bytes:
        if item == 2 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number(item)

    assert list(in_order(work, 9)) == [number(item) for item in range(9)]


def test_an_error_of_the_work_is_raised_where_its_result_would_have_come(
    processors: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(item: int) -> bytes:
        if item == 3:
            raise CommandError("no third")
        return number(item)

    results = in_order(work, 6)
    assert [next(results) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(CommandError, match="no third"):
        next(results)
    assert capfd.readouterr().err == ""


@needs_fork
def test_no_process_is_left_over_where_not_all_results_are_wanted(processors: int) -> None:
    results = in_order(process, 100)
    first = int(next(results))
    assert (first == os.getpid()) == (processors == 1)
    results.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(first, os.WNOHANG)


def test_no_process_is_started_beside_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 4)
    end = Event()
    thread = Thread(target=end.wait)
    thread.start()
    try:
        assert set(in_order(process, 6)) == {process(0)}
    finally:
        end.set()
        thread.join()


@needs_fork
def test_where_no_more_processes_can_be_started_the_rest_is_done_here(
    processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError("too many")

    monkeypatch.setattr(os, "fork", fork)
    assert list(in_order(number, 7)) == [number(item) for item in range(7)]


def test_the_processors_are_those_that_this_process_may_use() -> None:
    assert 1 <= forked._processors() <= (os.cpu_count() or 1)
