"""Both backends on one dump: the same lines run by dumpkit's own reader and inside WinDbg's engine."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from dumpkit.clock import Zone
from dumpkit.command_line import split_commands
from dumpkit.dispatcher import Dispatcher
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError
from dumpkit.launchers import error_text
from dumpkit.output import Output
from dumpkit.session import Session

from tests.forge.rig import RIG
from tests.windbg.arguments import SHOWS_STATES

ROOT = Path(__file__).resolve().parents[2]
BATCH = Path(__file__).with_name("batch.py")
#: A path as a program under Wine shows it.
_WINDOWS_PATH = re.compile(r"(?i)\bz:((?:\\[^\\\s]+)+)")


class Answer(NamedTuple):
    """What a line of commands printed, and how long it took in seconds."""

    lines: List[str]
    seconds: float = 0.0
    #: Processor time until the first of it was printed.
    first: float = 0.0
    #: The longest write, in characters.
    longest: int = 0


class Dump(NamedTuple):
    """A dump, the folders of its symbols, and what the engine is told before any command of dumpkit."""

    name: str
    path: Path
    symbols: Sequence[Path]
    preparation: Sequence[str] = ()
    #: What loads the same symbols in a session of dumpkit's own as the engine has loaded by its preparation.
    loading: str = ""


def windows_path(path: Path) -> str:
    """A path as programs under Wine know it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def install(folder: Path) -> Path:
    """A copy of the package as an installation has it, in a folder; the folder to import it from."""
    for source, place in (("ext", ""), ("commands", "commands"), ("symbols", "symbols")):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / source, folder / "dumpkit" / place, ignore=ignored, dirs_exist_ok=True)
    return folder


def compile_package(folder: Path) -> None:
    """Compile an installed copy with the rig's Python, as pip does."""
    arguments = ["-m", "compileall", "-q", windows_path(folder / "dumpkit")]
    subprocess.run([str(Path(RIG) / "python"), *arguments], capture_output=True, timeout=600, check=True)


def inside(dump: Dump, lines: Sequence[str], folder: Path, reader: bool = False) -> List[Answer]:
    """What the lines print inside the engine, or on dumpkit's own `reader` in the rig's Windows Python.

    See batch.py for what lines there are. `folder` takes the files that it needs.
    """
    package = folder / "package"
    if not package.exists():
        install(package)
    path = ";".join(windows_path(place) for place in dump.symbols) or windows_path(folder / "no symbols")
    (folder / "no symbols").mkdir(exist_ok=True)
    launchers = folder / "launchers"
    launchers.mkdir(exist_ok=True)
    request = {
        "dump": windows_path(dump.path) if dump.path.name else "",
        "launchers": windows_path(launchers) if any(line.startswith("!py ") for line in lines) else "",
        "package": windows_path(package),
        "symbols": path,
        "reader": reader,
        "preparation": [f".sympath {path}", *dump.preparation],
        "lines": list(lines),
    }
    asked, answered = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    answered.unlink(missing_ok=True)
    command = [str(Path(RIG) / "python"), windows_path(BATCH), windows_path(asked), windows_path(answered)]
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    assert answered.exists(), done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
    answer = json.loads(answered.read_text(encoding="utf-8"))
    assert answer["threads"] == ["MainThread"]
    return [
        Answer(normal(each["lines"]), each["seconds"], each["first"], each["longest"]) for each in answer["answers"]
    ]


def outside(dump: Dump, lines: Sequence[str]) -> List[Answer]:
    """What the lines print on dumpkit's own reader, each in a session of its own."""
    return [Answer(normal(_run(dump, line))) for line in lines]


def _run(dump: Dump, line: str) -> List[str]:
    stream = io.StringIO()
    path = ";".join(map(str, dump.symbols))
    target = open_dump(str(dump.path), symbol_path=path or None, offline=True)
    session = Session(Output(stream), target)
    session.zone = Zone()
    Dispatcher(session)
    try:
        if dump.loading and SHOWS_STATES.match(line):
            # The engine has them loaded by then.
            session.execute(dump.loading)
            stream.truncate(stream.seek(0))
        for text in split_commands(line):
            session.execute(text)
    except DumpkitError as error:
        stream.write(error_text(error) + "\n")
    finally:
        session.close_log()
        target.close()
    return stream.getvalue().splitlines()


def normal(lines: Sequence[str]) -> List[str]:
    """The lines with every path as this machine writes it."""
    return [_WINDOWS_PATH.sub(lambda match: match.group(1).replace("\\", "/"), line) for line in lines]


def values(dump: Dump) -> Dict[str, str]:
    """What stands in the commands' arguments for this dump: addresses as text."""
    path = ";".join(map(str, dump.symbols))
    target = open_dump(str(dump.path), symbol_path=path or None, offline=True)
    processor = target.current_processor
    context = target.context(processor)
    found = {
        "ip": f"{context.instruction_pointer:x}",
        "sp": f"{context.stack_pointer:x}",
        "nt": f"{target.kernel_base or 0:x}",
        "driver": target.modules[len(target.modules) // 2].name,
        "base": f"{target.modules[len(target.modules) // 2].base:x}",
        "processor": str(processor),
    }
    for name, ask in (
        ("thread", target.thread_address),
        ("process", target.process_address),
        ("prcb", target.prcb_address),
    ):
        try:
            found[name] = f"{ask(processor):x}"
        except DumpkitError:
            found[name] = "ffffb50700000000"
    target.close()
    return found
