"""Runs in the rig's Windows Python: commands of dumpkit on real pykd and real dbgeng, each as `!py` would run it.

    python batch.py REQUEST.json ANSWER.json

The request has the dump, the symbol path, commands for the engine itself, the package's folder, and the lines to
run; the answer has what each printed and how long it took. No import of the tests: only this file is there.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from time import perf_counter


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    sys.path.insert(0, request["package"])
    import pykd

    pykd.initialize()
    pykd.loadDump(request["dump"])
    for text in request["preparation"]:
        pykd.dbgCommand(text)
    answers = []
    for line in request["lines"]:
        answers.append(run(line))
    answer = {"answers": answers, "threads": [thread.name for thread in threading.enumerate()]}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def run(line: str) -> dict:
    """What `!py dumpkit "LINE"` prints, and the seconds that it takes."""
    from dumpkit.clock import Zone
    from dumpkit.launchers import main as launch
    from dumpkit.session import Session

    Session.zone = Zone()
    shown, sys.stdout = sys.stdout, io.StringIO()
    begin = perf_counter()
    try:
        launch(None, [line])
        text = sys.stdout.getvalue()
    finally:
        sys.stdout = shown
    return {"lines": text.splitlines(), "seconds": perf_counter() - begin}


main()
