"""`dumpkit windbg-setup`: puts the launchers where WinDbg finds them, checks that it does, takes them away."""

from __future__ import annotations

import os
import sys

from dumpkit.calls import read_call, usage
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.launchers import GLUED, MARK, PREFIX, launcher_names, launcher_text
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

#: Modules of dumpkit.commands whose commands are the engine's own: WinDbg has them without `!`.
_ENGINE_MODULES = frozenset(
    "bugcheck display dt formats help ln modules processors registers session stack unassemble vertarget x".split()
)
#: Extension commands that come with WinDbg. An alias would hide them.
_WINDBG_HAS = frozenset(
    "analyze apc blackboxbsd cpuinfo dbgprint ddstack devnode devobj devstack dpcs drvobj error exchange exqueue"
    " filelock fileobj handle idt irp irpfind irql lm locks memusage obja object pcr peb pfn pool poolfind"
    " poolused poolval prcb process processfields pte pte2va qlocks ready reg running stacks sym sysinfo sysptes"
    " teb thread time timer token tz usage ustr vad verifier vm vtop wdfkd whea".split()
)


class Launchers(NamedTuple):
    """What was done in a folder: the launchers' file names, and what stood in the way, a line each."""

    folder: str
    files: List[str]
    problems: List[str]


def main(words: Sequence[str], output: Output, platform: str = sys.platform) -> int:
    """The command line behind `windbg-setup`; the exit status. Raises DumpkitError."""
    options = _options(words)
    if options.aliases:
        for line in aliases(with_windbgs_own=options.aliases == "all"):
            output.line(line)
        return 0
    if options.folder is None and platform != "win32":
        raise CommandError("windbg-setup is for Windows, where WinDbg runs", usage("windbg-setup"))
    folder = options.folder if options.folder is not None else scripts_folder(os.environ)
    if options.remove:
        removed = remove_launchers(folder)
        output.line(f"Removed {len(removed)} launchers from {folder}")
        return 0
    written = write_launchers(folder)
    output.line(f"Wrote {len(written.files)} launchers to {written.folder}")
    problems = [*written.problems, *check(written, os.environ)]
    for problem in problems:
        output.line(f"Problem: {problem}")
    if not problems:
        output.line("WinDbg finds them: .load pykd, then !py dumpkit lists the commands and !py dumpkit.di runs one.")
    return 1 if problems else 0


class _Options(NamedTuple):
    folder: Optional[str] = None
    remove: bool = False
    #: "", "own" or "all".
    aliases: str = ""


def _options(words: Sequence[str]) -> _Options:
    values, others = read_call("windbg-setup", words)
    takes_over = others == ["all"] and "aliases" in values
    if others and not takes_over:
        raise CommandError(f"windbg-setup: nothing is known of {others[0]}", usage("windbg-setup"))
    aliases = ("all" if takes_over else "own") if "aliases" in values else ""
    return _Options(values.get("folder"), "remove" in values, aliases)


# --- The files ---------------------------------------------------------------


def all_names() -> Dict[str, str]:
    """Launcher's name without its prefix -> command, for every command that there is, other packages' included."""
    from dumpkit.commands import INDEX
    from dumpkit.dispatcher import load_entry_points
    from dumpkit.registry import REGISTERED

    load_entry_points()
    return launcher_names([*INDEX, *REGISTERED, *GLUED])


def write_launchers(folder: str, version: Sequence[int] = sys.version_info[:2]) -> Launchers:
    """Write a launcher for every command, and dumpkit.py; launchers of commands that are no more are taken away.

    A file that is no launcher is left as it is. Raises DumpkitError where the folder cannot be written to.
    """
    texts = {PREFIX + word: launcher_text(word, version) for word in all_names()}
    texts["dumpkit.py"] = launcher_text(None, version)
    problems = []
    files = []
    try:
        for name in _launchers(folder):
            if name not in texts:
                os.remove(os.path.join(folder, name))
        for name, lines in sorted(texts.items()):
            path = os.path.join(folder, name)
            if os.path.exists(path) and not _is_launcher(path):
                problems.append(f"{path} is not dumpkit's and was left as it is: !py {name} will run it")
                continue
            with open(path, "w", encoding="ascii", newline="\r\n") as file:
                file.write("\n".join(lines) + "\n")
            files.append(name)
    except OSError as error:
        raise DumpkitError(f"The launchers cannot be written to {folder}: {error.strerror or error}") from error
    return Launchers(folder, files, problems)


def remove_launchers(folder: str) -> List[str]:
    """Take away every launcher in a folder; their file names. Raises DumpkitError where one cannot be removed."""
    names = _launchers(folder)
    try:
        for name in names:
            os.remove(os.path.join(folder, name))
    except OSError as error:
        raise DumpkitError(f"A launcher cannot be removed from {folder}: {error.strerror or error}") from error
    return names


def _launchers(folder: str) -> List[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DumpkitError(f"{folder} cannot be read: {error.strerror or error}") from error
    return sorted(name for name in names if name.startswith(PREFIX) and _is_launcher(os.path.join(folder, name)))


def _is_launcher(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return any(MARK in file.readline() for _ in range(2))
    except OSError:
        return False


def scripts_folder(environment: Mapping[str, str]) -> str:
    """The folder for launchers: of this Python's folders for scripts the first on PATH that can be written to.

    Where none is on PATH, the first that can be written to.
    """
    import sysconfig

    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", "nt_user")]
    writable = [folder for folder in folders if os.path.isdir(folder) and os.access(folder, os.W_OK)]
    if not writable:
        raise DumpkitError(f"None of {', '.join(folders)} can be written to: name a folder on PATH with --folder")
    searched = [_normal(folder) for folder in path_folders(environment)]
    return next((folder for folder in writable if _normal(folder) in searched), writable[0])


# --- Whether WinDbg finds them -----------------------------------------------


def path_folders(environment: Mapping[str, str]) -> List[str]:
    """The folders on PATH."""
    path = next((value for name, value in environment.items() if name.upper() == "PATH"), "")
    return [folder.strip('"') for folder in path.split(os.pathsep) if folder]


def find_script(name: str, folders: Iterable[str]) -> Optional[str]:
    """The file that `!py NAME` runs, as SearchPath(NULL, NAME, ".py") finds it along folders; None where there is none.

    The ending is added only to a name without a dot. Windows looks at the debugger's folder first, then at the
    current one, the system's, and those on PATH.
    """
    wanted = name if "." in name else f"{name}.py"
    for folder in folders:
        path = os.path.join(folder, wanted)
        if os.path.isfile(path):
            return path
    return None


def system_folders(environment: Mapping[str, str]) -> List[str]:
    """The folders that Windows searches before those on PATH, whichever debugger it is."""
    root = environment.get("SystemRoot", "C:\\Windows")
    return [os.path.join(root, "System32"), os.path.join(root, "System"), root]


def check(launchers: Launchers, environment: Mapping[str, str]) -> Iterator[str]:
    """Why WinDbg would not find the launchers or could not run them, a line for each reason."""
    folders = [*system_folders(environment), *path_folders(environment)]
    found = find_script("dumpkit", folders)
    if found is None:
        yield (
            f"{launchers.folder} is not on PATH, where !py looks: add it to your account's environment variables,"
            " or choose a folder that is with --folder; then start WinDbg anew"
        )
    elif _normal(os.path.dirname(found)) != _normal(launchers.folder):
        yield f"{found} stands before {launchers.folder} on PATH: !py dumpkit will run it"
    from importlib.util import find_spec

    if find_spec("pykd") is None:
        yield "pykd is not installed for this Python: pip install dumpkit[windbg]"
    places = list(extension_folders(environment))
    if places and not any(os.path.isfile(os.path.join(place, "pykd.dll")) for place in places):
        yield (
            "WinDbg's extension pykd.dll (of the project pykd-ext) was not found in"
            f" {', '.join(places)}: !py needs it; .load it by its path if it lies elsewhere"
        )


def extension_folders(environment: Mapping[str, str]) -> Iterator[str]:
    """The folders in which WinDbg looks for extensions, as Microsoft's documentation names them."""
    local = environment.get("LOCALAPPDATA")
    if local:
        yield os.path.join(local, "Dbg", "EngineExtensions")
    programs = environment.get("ProgramFiles(x86)")
    if programs:
        yield os.path.join(programs, "Windows Kits", "10", "Debuggers", "x64", "winext")
    yield from (part for part in environment.get("_NT_DEBUGGER_EXTENSION_PATH", "").split(os.pathsep) if part)


def _normal(folder: str) -> str:
    return os.path.normcase(os.path.normpath(folder))


# --- Aliases -----------------------------------------------------------------


def aliases(with_windbgs_own: bool = False) -> Iterator[str]:
    """The lines that, run in WinDbg, let `!di` stand for `!py dumpkit.di`, for each extension command.

    Commands that WinDbg's own extensions have too are left alone, unless `with_windbgs_own`.
    """
    from dumpkit.commands import INDEX

    for word, name in sorted(all_names().items()):
        if word in GLUED or name.startswith((".", "!")) or not name.isalnum() or INDEX.get(name) in _ENGINE_MODULES:
            continue
        if with_windbgs_own or name not in _WINDBG_HAS:
            yield f"as !{word} !py {PREFIX}{word}"
