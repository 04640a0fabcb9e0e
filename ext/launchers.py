"""The doors from WinDbg: `!py dumpkit.di`, `!py -m dumpkit.di`, `!py dumpkit "di; t"`.

`!py NAME` looks for a file of that name along PATH, so each command has a launcher, a file of a few lines that
calls `main` here (`dumpkit windbg-setup` writes them); `!py -m` asks Python's import system, which `module_spec`
answers. Each runs in a fresh interpreter: what lasts between two commands is what WinDbg keeps.
"""

from __future__ import annotations

import sys

from dumpkit.errors import CommandError, DumpkitError, ExpressionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any, Dict, Iterable, List, Optional, Sequence

    from dumpkit.session import Session

#: What stands before a command in a launcher's name.
PREFIX = "dumpkit."
#: The words by which commands are called whose names no file can have.
WORDS = {
    "?": "evaluate",
    "??": "evaluate_cpp",
    "~": "processor",
    "!db": "physical_db",
    "!dw": "physical_dw",
    "!dd": "physical_dd",
    "!dc": "physical_dc",
    "!dq": "physical_dq",
    "!dp": "physical_dp",
}
#: Names with letters behind them that are typed most.
GLUED = ("kb", "kn", "kp", "kv", "lmvm")
#: What a dotted command is called where the plain word is taken.
_DOT = "dot_"
#: The switch that shows a traceback with an error.
DEBUG = "-debug"


def launcher_names(commands: Iterable[str]) -> Dict[str, str]:
    """Launcher's name without its prefix -> command, for the names of some commands.

    A dotted command loses its dot (`.trap`: trap), and is called `dot_trap` where another command or a module of
    dumpkit has that word. Of names that differ in case only (dd, dD) the lower-case one is taken, since Windows
    takes their files for one; commands that run files have none. All of them work in `!py dumpkit "COMMAND"`.
    """
    known = sorted(set(commands), key=lambda name: (name.startswith("."), name != name.lower(), name))
    found: Dict[str, str] = {}
    for name in known:
        word = WORDS.get(name, name)
        if word.startswith("."):
            bare = word[1:]
            word = _DOT + bare if bare in found or bare in _modules() else bare
        if word.replace("_", "").isalnum() and word.isascii() and word.lower() not in found:
            found[word] = name
    return found


def _modules() -> Sequence[str]:
    """The names of dumpkit's own modules and packages: `-m dumpkit.NAME` means these."""
    from pkgutil import iter_modules

    import dumpkit

    return [module.name for module in iter_modules(dumpkit.__path__)]


def command_called(word: str) -> Optional[str]:
    """The command that a launcher's name means, or None where there is none."""
    from dumpkit.commands import INDEX

    spoken = {spoken: name for name, spoken in WORDS.items()}
    dotted = "." + (word[len(_DOT) :] if word.startswith(_DOT) else word)
    for name in (spoken.get(word, word), dotted):
        if name in INDEX:
            return name
    from dumpkit.dispatcher import parse_call

    try:
        # Letters may follow some names (kn, lmvm), and other packages may bring commands.
        parse_call(word)
    except CommandError:
        return None
    return word


# --- Running -----------------------------------------------------------------


def main(word: Optional[str] = None, arguments: Optional[Sequence[str]] = None) -> None:
    """Run the command of a launcher, `word`, or where None the line that its arguments are, inside WinDbg.

    Errors are told on one line. They are raised where `-debug` stands among the arguments: pykd shows the traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debugging = DEBUG in words
    if debugging:
        words.remove(DEBUG)
    try:
        _run(_line(word, words))
    except (KeyboardInterrupt, SystemExit):
        # Ctrl+Break: pykd raises one of them between two steps of the script, and shows neither.
        _tell("Interrupted")
    except (DumpkitError, ImportError) as error:
        if debugging:
            raise
        _tell(error_text(error))
    except Exception as error:  # the last place where a defect can be put into words
        from dumpkit.defects import defect_line

        if debugging:
            raise
        _tell(defect_line(error))


def _line(word: Optional[str], words: Sequence[str]) -> str:
    """The line of commands that a call means."""
    if word is None:
        if not words:
            return "help"
        return words[0] if len(words) == 1 else " ".join(_quoted(each) for each in words)
    name = command_called(word)
    if name is None:
        raise CommandError(f"No such command: {word} (!py dumpkit lists them)")
    # The physical displays are called with the ! that tells them from the virtual ones.
    return " ".join([name, *(_quoted(each) for each in words)])


def _quoted(word: str) -> str:
    """A word as it was typed: the quotes that `!py` took off, put back where they meant something."""
    return f'"{word}"' if not word or any(sign in word for sign in " ;\t") else word


def _run(line: str) -> None:
    from dumpkit.command_line import split_commands
    from dumpkit.dispatcher import parse_call

    session = open_session()
    problem: Optional[DumpkitError] = None
    try:
        take_over(session)
    except DumpkitError as error:
        # Told when a command needs the target: help does not.
        problem = error
    try:
        for text in split_commands(line):
            if problem is not None and parse_call(text).command.needs_target:
                raise problem
            session.execute(text)
    finally:
        session.close_log()
        if session.target is not None:
            session.target.close()


def open_session() -> Session:
    """A session that shows its lines in WinDbg; `take_over` gives it WinDbg's target."""
    from dumpkit.dispatcher import Dispatcher
    from dumpkit.session import Session
    from dumpkit.windbg.output import WindbgOutput, takes_dml

    session = Session(WindbgOutput(sys.stdout, takes_dml(), windbg_command))
    Dispatcher(session)
    return session


def take_over(session: Session) -> None:
    """Make current in the session what is current in WinDbg: its target, processor, thread, registers and radix.

    Raises DumpkitError where WinDbg has no target that dumpkit reads.
    """
    from dumpkit.windbg.target import PykdTarget
    from dumpkit.windbg.variables import EngineVariables

    target = PykdTarget()
    engine = target.engine
    session.target = target
    session.processor = target.current_processor
    session.radix = engine.radix
    session.pseudo = EngineVariables(engine)
    thread, process = engine.thread, engine.process
    try:
        if thread is not None and thread != target.thread_address(session.processor):
            session.thread = thread
        if process is not None and process != target.process_address(session.processor):
            session.process = process
        changed = target.changed_context
    except DumpkitError:
        # What a damaged dump does not tell stays as the commands find it.
        return
    if changed is not None:
        session.set_context(changed)
    session.frame = engine.frame


def windbg_command(command: str) -> str:
    """What WinDbg must run for a command of dumpkit."""
    from dumpkit.dispatcher import parse_call

    name = parse_call(command).command.name
    rest = command[len(name) :]
    if command.startswith(name) and rest.startswith(" ") and ";" not in rest and '"' not in rest:
        word = next((word for word, known in launcher_names([name]).items() if known == name), None)
        if word is not None:
            return f"!py {PREFIX}{word}{rest}"
    return f'!py dumpkit "{command}"'


# --- What goes wrong ---------------------------------------------------------


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")


def error_text(error: Exception) -> str:
    """An error as it is shown in WinDbg: one line, but for what an expression's error points at."""
    from dumpkit.output import printable

    text = error.pointed("") if isinstance(error, ExpressionError) else str(error)
    usage = getattr(error, "usage", None)
    return printable(text) + (f" (usage: {usage})" if usage else "")


# --- `!py -m dumpkit.di` -----------------------------------------------------


def module_spec(name: str) -> Optional[ModuleSpec]:
    """The module that `-m dumpkit.di` runs, where dumpkit has no module of that name but a command; else None."""
    word = name[len(PREFIX) :]
    try:
        found = command_called(word)
    except DumpkitError:
        return None
    if found is None:
        return None
    from importlib.machinery import ModuleSpec

    loader: Any = _CommandLoader(word)
    return ModuleSpec(name, loader, origin=f"the command {found}")


class _CommandLoader:
    """Makes the modules that run one command each; importing them does nothing."""

    def __init__(self, word: str) -> None:
        self._word = word

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def get_code(self, name: str) -> object:
        source = f"if __name__ == '__main__':\n    from dumpkit.launchers import main\n    main({self._word!r})\n"
        return compile(source, f"<{name}>", "exec")

    def exec_module(self, module: object) -> None:
        return None


#: By this line a launcher is known as one.
MARK = "Written by dumpkit windbg-setup"

_GIVE_WAY = (
    "# dumpkit.py must not be taken for the package, should its folder be searched for modules.",
    'here = sys.argv[0] if __name__ == "__main__" else __file__',
    'here = here.replace("/", "\\\\").rpartition("\\\\")[0].lower()',
    "searched = sys.path[:]",
    'sys.path[:] = [path for path in searched if path.replace("/", "\\\\").rstrip("\\\\").lower() != here]',
)
_STAND_IN = (
    "else:",
    "    del sys.modules[__name__]",
    "    __import__(__name__)",
    "    sys.path[:] = searched",
)


def launcher_text(word: Optional[str], version: Sequence[int]) -> List[str]:
    """The lines of a launcher for a command's word, or for `dumpkit` itself where None; `version` is Python's."""
    # pykd's extension understands minor versions of one digit in this line, and no others.
    chooses = [f"#!python{version[0]}.{version[1]}"] if version[1] < 10 else []
    call = f"main({word!r})" if word is not None else "main()"
    return [
        *chooses,
        f"# {MARK}: !py dumpkit{'.' + word if word else ''} in WinDbg runs this file. It may be deleted.",
        "import sys",
        *_GIVE_WAY,
        'if __name__ == "__main__":',
        "    try:",
        "        from dumpkit.launchers import main",
        "    except ImportError as error:",
        '        print("dumpkit is not installed in Python %d.%d: %s" % (*sys.version_info[:2], error))',
        "    else:",
        f"        {call}",
        *(_STAND_IN if word is None else ()),
    ]
