"""`x`: the symbols that a pattern matches."""

from __future__ import annotations

from dumpkit.commands.modules import ModuleList, module_lines, module_rows
from dumpkit.errors import CommandError
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.symbol_text import behind_name, c_name
from dumpkit.symbols.types import FunctionType
from dumpkit.target_symbols import FoundSymbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple, Union

_USAGE = "x [/0|/1|/2] [/v] [/t] [/q] [/f|/d] [/a|/A|/n|/N|/z|/Z] [MODULE!]PATTERN"
_LETTERS = "012vtqfdaAnNzZsipkD"


class SymbolRow(Record):
    """A symbol at a virtual address; `type` and `value` are None where the symbols hold no types."""

    address: Hex
    module: str
    name: str
    size: int
    is_function: Optional[bool]
    type: Optional[str]
    #: What stands behind the name: "(<no parameter info>)", "= 0n7".
    value: str


class SymbolList(Record):
    """What `x` found."""

    pattern: str
    symbols: Tuple[SymbolRow, ...]
    _options: str = ""


def _split(text: str) -> Tuple[str, str]:
    """(letters of the options, pattern)."""
    options = ""
    text = text.strip()
    while text.startswith("/"):
        word, _, text = text.partition(" ")
        text = text.lstrip()
        unknown = [letter for letter in word[1:] if letter not in _LETTERS]
        if unknown:
            raise CommandError(f"x: unknown option /{unknown[0]}", _USAGE)
        options += word[1:]
    if not text:
        raise CommandError("x: what is to be found is missing", _USAGE)
    return options, text


def _row(session: Session, found: FoundSymbol) -> SymbolRow:
    target = session.dump
    type = target.symbols.type_of(found)
    size = found.size or (type.size if type is not None else 0)
    is_function = isinstance(type, FunctionType) if type is not None else found.is_function
    behind = behind_name(found, type, target)
    words = c_name(type) if type is not None else None
    return SymbolRow(Hex(found.address), found.module.name, found.name, size, is_function, words, behind)


def _sorted(rows: List[SymbolRow], options: str) -> Sequence[SymbolRow]:
    for letter in options:
        if letter in "aA":
            rows.sort(key=lambda row: row.address, reverse=letter == "A")
        elif letter in "nN":
            rows.sort(key=lambda row: row.name, reverse=letter == "N")
        elif letter in "zZ":
            rows.sort(key=lambda row: row.size, reverse=letter == "Z")
    return rows


def symbol_lines(result: Union[SymbolList, ModuleList]) -> Iterator[Line]:
    if isinstance(result, ModuleList):
        yield from module_lines(result)
        return
    options = result._options
    for row in result.symbols:
        address = Span(quoted(row.address), "address", f"ln {row.address:x}")
        name = f"{row.module}!{row.name}"
        if "0" in options:
            yield (address, " ")
        elif "1" in options:
            yield (Span(name, "symbol"),)
        elif "2" in options:
            yield (address, " ", Span(name, "symbol"))
        else:
            shown = f'@!"{name}"' if "q" in options else name
            verbose = f" {row.size:4x}" if "v" in options else ""
            type = f"{row.type or '<NoType>'} " if "t" in options else ""
            yield (_kind(row) if verbose else "", address, f"{verbose} {type}", Span(shown, "symbol"), f" {row.value}")


def _kind(row: SymbolRow) -> str:
    """The first columns of /v: whether it is in the private or public symbols, and what it is."""
    return f"{'prv' if row.type is not None else 'pub'} {'global' if row.is_function is False else 'func':<6} "


@command(
    "x",
    category="Symbols",
    summary="The symbols that a pattern matches",
    arguments=(Text("pattern", "options, then [MODULE!]NAME with * ? [] in either"),),
    render=symbol_lines,
)
def x(session: Session, pattern: str = "") -> Union[SymbolList, ModuleList]:
    """Lists symbols with their addresses: x nt!Ke*Dpc*, x *!DriverEntry. Without a module, those that are loaded.

    /0 addresses only   /1 names only   /2 both   /v what kind and how large   /t types   /q names in quotes
    /f functions only   /d data only
    /a by address, /n by name, /z by size; capital letters turn the order round

    `x usb*!` lists the modules. Without one of the orders it lists each module's symbols by address.
    """
    options, wanted = _split(pattern)
    target = session.dump
    if wanted.endswith("!"):
        return ModuleList(module_rows(target, target.symbols.modules_like(wanted[:-1])), None, "", session.zone)
    module = wanted.rpartition("!")[0]
    if module and not target.symbols.modules_like(module):
        raise CommandError(f"Couldn't resolve 'x {module}': no module is called so")
    rows = [_row(session, found) for found in target.symbols.matching(wanted)]
    if "f" in options or "d" in options:
        rows = [row for row in rows if (row.is_function is not False) == ("f" in options)]
    return SymbolList(wanted, tuple(_sorted(rows, options)), options)
