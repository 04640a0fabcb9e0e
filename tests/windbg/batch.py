"""Runs in the rig's Windows Python: commands of dumpkit on real pykd and real dbgeng.

    python batch.py REQUEST.json ANSWER.json

The request has the dump, commands for the engine itself, the package's folder, one for launchers, and the lines to
run: "kd> TEXT" is the engine's own, "!py TEXT" is run through a launcher as WinDbg would, anything else by dumpkit in
a session of its own; with `reader`, on dumpkit's own reader instead of the engine. The answer has what each printed,
how long it took, and the processor time until the first of it.
"""

from __future__ import annotations

import json
import sys
import threading
from time import perf_counter, process_time


class Recorder:
    """A stream that keeps what is written, and when the first was; nothing that pykd's lacks."""

    encoding = "ascii"

    def __init__(self) -> None:
        self.begin = perf_counter()
        self.begin_used = process_time()
        #: Until the first write: processor time, so that other processes do not count.
        self.first = 0.0
        self.text = ""
        self.longest = 0

    def write(self, text: str) -> None:
        if not self.text:
            self.first = process_time() - self.begin_used
        self.text += text
        self.longest = max(self.longest, len(text))

    def flush(self) -> None:
        pass


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    sys.path.insert(0, request["package"])
    if request["reader"]:
        run_on = lambda line: run(line, "", lambda *given: run_on_reader(request, *given))  # noqa: E731
    else:
        attach(request)
        run_on = lambda line: run(line, request["launchers"], run_in_session)  # noqa: E731
    if request["launchers"]:
        from dumpkit.windbg_setup import write_launchers

        write_launchers(request["launchers"])
        forget()
    answers = [run_on(line) for line in request["lines"]]
    answer = {"answers": answers, "threads": [thread.name for thread in threading.enumerate()]}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def forget() -> None:
    """Let the next command import dumpkit anew, as it does in an interpreter of its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "dumpkit"]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__module__", "") != "dumpkit"]


def attach(request: dict) -> None:
    """Open the dump in the engine and tell it what the request has for it."""
    import pykd

    pykd.initialize()
    if request["dump"]:
        pykd.loadDump(request["dump"])
    for text in request["preparation"]:
        pykd.dbgCommand(text)


def run(line: str, launchers: str, in_session) -> dict:
    """What a line prints, and the seconds that it takes."""
    recorder = Recorder()
    if line.startswith("kd> "):
        import pykd

        recorder.write(pykd.dbgCommand(line[4:]) or "")
    elif line.startswith("!py "):
        sys.path.insert(0, sys.argv[0].replace("/", "\\").rpartition("\\")[0])
        import bang_py

        del sys.path[0]
        bang_py.run(line[4:], lambda name: find(name, launchers), recorder)
        forget()
    else:
        in_session(line, recorder)
    return {
        "lines": recorder.text.splitlines(),
        "seconds": perf_counter() - recorder.begin,
        "first": recorder.first,
        "longest": recorder.longest,
    }


def find(name: str, folder: str) -> str:
    """The launcher that SearchPath would find on PATH."""
    return folder + "\\" + (name if "." in name else name + ".py")


def run_in_session(line: str, recorder: Recorder) -> None:
    """As the launchers run a line, times in UTC."""
    from dumpkit.clock import Zone
    from dumpkit.launchers import main as launch
    from dumpkit.session import Session

    Session.zone = Zone()
    shown, sys.stdout = sys.stdout, recorder
    try:
        launch(None, [line])
    finally:
        sys.stdout = shown


def run_on_reader(request: dict, line: str, recorder: Recorder) -> None:
    """As the console runs a line on dumpkit's own reader, errors told as the launchers tell them."""
    from dumpkit.clock import Zone
    from dumpkit.command_line import split_commands
    from dumpkit.dispatcher import Dispatcher
    from dumpkit.dump import open_dump
    from dumpkit.errors import DumpkitError
    from dumpkit.launchers import error_text
    from dumpkit.output import Output
    from dumpkit.session import Session

    target = open_dump(request["dump"], symbol_path=request["symbols"] or None, offline=True)
    session = Session(Output(recorder), target)
    session.zone = Zone()
    Dispatcher(session)
    try:
        for text in split_commands(line):
            session.execute(text)
    except DumpkitError as error:
        recorder.write(error_text(error) + "\n")
    finally:
        target.close()


if __name__ == "__main__":
    main()
