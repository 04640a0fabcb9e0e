"""`.sympath .symfix .reload !sym`: where symbols are looked for, and looking anew."""

from __future__ import annotations

import os

from dumpkit.arguments import take_word
from dumpkit.commands.modules import LoadedModule, module_rows
from dumpkit.errors import CommandError
from dumpkit.module import Module
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.symbols.search import SymbolSearch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_RULE = "************* Symbol Path validation summary **************"
#: Dots in a line of `.reload`, and in its first one.
_DOTS, _FIRST_DOTS = 64, 63


class Place(Record):
    """An element of the symbol path: "OK", "Deferred" (looked at when it is needed) or "Error"."""

    response: str
    location: str


class SearchPath(Record):
    """What `.sympath` shows."""

    path: str
    expanded: str
    #: The folder beside the dump, which is looked in first; None where there is none.
    beside: Optional[str]
    places: Tuple[Place, ...]
    problems: Tuple[str, ...] = ()


class Reloaded(Record):
    """What `.reload` did: the modules that were looked at, with what was found for each."""

    modules: Tuple[LoadedModule, ...]
    #: How many modules the target has; None where single ones were named.
    listed: Optional[int]
    unloaded: bool = False


class Noise(Record):
    """The state of `!sym`."""

    noisy: bool
    _asked: bool = False


def search_of(session: Session) -> SymbolSearch:
    """Where the target's symbols are looked for. Raises CommandError where dumpkit does not look for them."""
    search = session.dump.symbols.search
    if search is None:
        raise CommandError("the symbols of this target are not looked for by dumpkit")
    return search


def path_lines(result: Optional[SearchPath]) -> Iterator[Line]:
    if result is None:
        return
    if result.beside is not None:
        yield f"Looked in first: {result.beside}"
    yield f"Symbol search path is: {result.path or '<empty>'}"
    yield f"Expanded Symbol search path is: {result.expanded or '<empty>'}"
    for problem in result.problems:
        yield (Span(f"Error: {problem}", "error"),)
    if result.places:
        yield ""
        yield (Span(_RULE, "heading"),)
        yield f"{'Response':<33}{'Time (ms)':<14}Location"
        for place in result.places:
            yield f"{place.response:<47}{place.location}"


def describe_path(search: SymbolSearch) -> SearchPath:
    """The symbol path and its elements, folders looked at, servers not asked."""
    from dumpkit.symbols.path import Folder, parse_symbol_path, shown

    places: List[Place] = []
    problems: List[str] = list(search.problems())
    for part in filter(None, (part.strip() for part in search.text.split(";"))):
        elements = parse_symbol_path(part).elements
        if not elements:
            places.append(Place("Error", shown(part)))
        elif not isinstance(elements[0], Folder):
            places.append(Place("Deferred", shown(part)))
        elif os.path.isdir(elements[0].path):
            places.append(Place("OK", shown(part)))
        else:
            places.append(Place("Error", shown(part)))
            problems.append(f"{shown(elements[0].path)} is no folder")
    return SearchPath(shown(search.text), shown(search.path.expanded), search.beside, tuple(places), tuple(problems))


def _set_path(session: Session, text: str) -> None:
    search = search_of(session)
    search.text = text
    session.dump.symbols.forget()


@command(
    ".sympath",
    category="Symbols",
    summary="Shows or sets the symbol path",
    arguments=(Text("path", "folders and srv*STORE*URL, ; between them", holds="file"),),
    render=path_lines,
)
def sympath(session: Session, path: str = "") -> SearchPath:
    """Shows the symbol path, or sets another one; every module's symbols are then looked for anew.

    .sympath C:\\symbols;srv*C:\\cache*https://msdl.microsoft.com/download/symbols
    .sympath+ FOLDER appends to it, .sympath "" empties it. A folder `symbols` beside the dump is always looked in.
    """
    search = search_of(session)
    given = path.lstrip("+").strip()
    if given:
        kept = search.text if path.startswith("+") else ""
        _set_path(session, ";".join(part for part in (kept, given) if part not in ("", '""')))
    return describe_path(search)


def _fixed(cache: str) -> str:
    from dumpkit.symbols.path import MICROSOFT_SERVER

    folder, rest = take_word(cache)
    if rest.strip():
        raise CommandError(".symfix takes one folder (in double quotes where it holds spaces)")
    return f"SRV*{folder}*{MICROSOFT_SERVER}" if folder else "srv*"


@command(
    ".symfix",
    category="Symbols",
    summary="Sets the symbol path to Microsoft's public server",
    arguments=(Text("cache", "the folder to keep files in; WinDbg's default where none is given", holds="file"),),
    render=path_lines,
)
def symfix(session: Session, cache: str = "") -> None:
    """Makes Microsoft's public symbol server the symbol path; .symfix+ appends it.

    The server is asked when a symbol is needed, not before.
    """
    kept = search_of(session).text if cache.startswith("+") else ""
    _set_path(session, ";".join(part for part in (kept, _fixed(cache.lstrip("+").strip())) if part))


def reload_lines(result: Reloaded) -> Iterator[Line]:
    if result.listed is not None:
        yield "Loading Kernel Symbols"
        yield "." * min(result.listed, _FIRST_DOTS)
        for start in range(_FIRST_DOTS, result.listed, _DOTS):
            yield "." * min(result.listed - start, _DOTS)
        yield "Loading User Symbols"
        yield "Loading unloaded module list"
    if result.unloaded:
        yield from (f"Unloaded {row.name}" for row in result.modules)
        return
    for row in result.modules:
        remark = f": {row.remark}" if row.remark else ""
        if row.symbols == "no symbols":
            yield (Span(f"*** ERROR: symbols could not be loaded for {row.image_name}{remark}", "error"),)
        else:
            yield (Span(row.name, "symbol"), f": {row.symbols}, {row.symbol_file}{remark}")


@command(
    ".reload",
    category="Symbols",
    summary="Looks for symbols anew",
    arguments=(Text("request", "[/f] [/i] [/u] [MODULE ...]", holds="module"),),
    render=reload_lines,
)
def reload(session: Session, request: str = "") -> Reloaded:
    """Forgets the symbols of every module, or of those named, and looks for them anew when they are needed.

    /f  look now, for every module or those named
    /i  take symbols of the right name even where their id is another's; lm then shows an M
    /u  forget the symbols only

    Servers that did not answer are asked again. The kernel's symbols are always looked for at once.
    """
    words = request.split()
    flags = {word.lower() for word in words if word.startswith("/")}
    unknown = flags - {"/f", "/i", "/u", "/v", "/n", "/o", "/l", "/w", "/d", "/s", "/user"}
    if unknown:
        raise CommandError(f".reload: unknown option {min(unknown)}", ".reload [/f] [/i] [/u] [MODULE ...]")
    target = session.dump
    symbols = target.symbols
    named = [_module(session, word) for word in words if not word.startswith("/")]
    for module in named:
        symbols.forget(module)
    if "/u" in flags:
        if not named:
            symbols.forget()
        return Reloaded(module_rows(target, named), None, True)
    if not named:
        symbols.forget()
    chosen = named or (list(target.modules) if "/f" in flags else [m for m in target.modules if m.name == "nt"])
    for module in chosen:
        symbols.load(module, trusting="/i" in flags)
    return Reloaded(module_rows(target, chosen), None if named else len(target.modules))


def _module(session: Session, name: str) -> Module:
    module = session.dump.module_called(name.partition("=")[0])
    if module is None:
        raise CommandError(f'"{name}" was not found in the image list.')
    return module


def noise_lines(result: Noise) -> Iterator[Line]:
    state = f"{'noisy' if result.noisy else 'quiet'} mode - symbol prompts off"
    yield f"!sym <noisy/quiet - prompts/prompts off> - {state}" if result._asked else state


@command(
    "sym",
    category="Symbols",
    summary="Whether every place that is looked at for symbols is told",
    arguments=(Text("mode", "noisy or quiet", holds="nothing"),),
    render=noise_lines,
)
def sym(session: Session, mode: str = "") -> Noise:
    """!sym noisy tells each place that is looked at for a symbol file, and what was there; !sym quiet ends that."""
    search = search_of(session)
    word = mode.strip().lower()
    if word == "noisy":
        search.listen(lambda attempt: session.output.line((Span(str(attempt), "dim"),)))
    elif word == "quiet":
        search.listen(None)
    elif word not in ("", "prompts", "prompts off"):
        raise CommandError(f"!sym: no mode {word}", "!sym [noisy|quiet]")
    return Noise(search.is_noisy, not word)
