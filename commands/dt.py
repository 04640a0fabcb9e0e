"""`dt`: types, and memory as types."""

from __future__ import annotations

from dumpkit.errors import CommandError, SymbolError
from dumpkit.module import Module
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.symbols.types import FunctionType, RecordType, Type
from dumpkit.target_symbols import FoundSymbol
from dumpkit.typetext.dump import TypeDump
from dumpkit.typetext.names import c_words, result_name
from dumpkit.typetext.request import USAGE, TypeRequest, looks_like_address, parse
from dumpkit.typetext.values import Reader, Value, reader_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple, Union

_WILD = "*?"


class TypeView(Record):
    """A type alone, or the object of that type at a virtual address (physical with -p); `value` is its content."""

    module: str
    type: str
    size: int
    address: Optional[Hex]
    value: Any
    _dump: Optional[TypeDump] = None
    _heading: Optional[str] = None


class Signature(Record):
    """A function: what it returns and takes, in the words of C."""

    module: str
    name: str
    result: str
    parameters: Tuple[str, ...]


class NameRow(Record):
    """A type, or a variable or function at a virtual address; `size` is in bytes."""

    module: str
    name: str
    size: int
    address: Optional[Hex] = None


class NameList(Record):
    """What a pattern matched."""

    names: Tuple[NameRow, ...]
    _lines: Tuple[str, ...] = ()


class Named(Record):
    """What a name in `dt` means: a type, or a symbol with its type."""

    module: Module
    type: Type
    symbol: Optional[FoundSymbol] = None


def type_lines(result: Union[TypeView, Signature, NameList]) -> Iterator[Line]:
    if isinstance(result, NameList):
        yield from result._lines
    elif isinstance(result, Signature):
        yield f"{result.name}  {result.result} ("
        for number, parameter in enumerate(result.parameters, 1):
            yield f"\t{parameter}{', ' if number < len(result.parameters) else ')'}"
        if not result.parameters:
            yield "\tvoid)"
    else:
        if result._heading is not None:
            yield result._heading
        if result._dump is not None:
            yield from result._dump.lines()


def meaning(session: Session, request: TypeRequest) -> Named:
    """What the name of a request stands for. Raises CommandError, saying where it was looked for."""
    symbols = session.dump.symbols
    try:
        module, type = symbols.type_in(request.bare_name, request.module)
        if not (isinstance(type, RecordType) and not type.size and not type.members):
            return Named(module, type)
        missing = SymbolError(f"{module.name} has only its declaration")
    except SymbolError as error:
        missing = error
    found = _variable(session, request)
    if found is None:
        raise CommandError(f"Symbol {request.name} not found: {missing}") from missing
    return found


def _variable(session: Session, request: TypeRequest) -> Optional[Named]:
    symbols = session.dump.symbols
    try:
        for found in symbols.matching(request.name):
            type = symbols.type_of(found)
            if type is not None:
                return Named(found.module, type, found)
    except SymbolError:
        # What is wrong with the module has been told of the type of that name already.
        return None
    return None


def dump_of(session: Session, request: TypeRequest, named: Named) -> TypeDump:
    """The object that a request names, over the target's memory. Raises ExpressionError for its address."""
    target = session.dump
    reader = reader_of(target, named.module.name)
    if request.physical:
        if target.physical is None:
            raise CommandError("dt -p: this dump has no physical memory")
        reader = Reader(target.physical, reader.place, reader.find)
    address: Optional[int] = None
    if request.address is not None:
        address = session.evaluate(request.address)
    elif named.symbol is not None:
        address = named.symbol.address
    # The engine takes address 0 for none.
    return TypeDump(request, Value(reader, named.type, address or None))


def understood(text: str) -> TypeRequest:
    """The words of a request; a name with a module, which no field has, is an address."""
    return parse(text, lambda word: "!" in word or looks_like_address(word))


def view(session: Session, request: TypeRequest) -> Union[TypeView, Signature, NameList]:
    """The result of a request."""
    module = request.module or ""
    if any(sign in request.bare_name + module for sign in _WILD) or request.partial or request.size is not None:
        return _listing(session, request)
    named = meaning(session, request)
    if isinstance(named.type, FunctionType):
        parameters = tuple(c_words(argument) for argument in named.type.arguments)
        return Signature(named.module.name, request.bare_name, result_name(named.type), parameters)
    dump = dump_of(session, request, named)
    value = dump.value
    heading = f"{named.module.name}!{request.bare_name}" if request.module is None else None
    return TypeView(
        named.module.name,
        named.type.name or request.bare_name,
        named.type.size,
        Hex(value.address) if value.address is not None else None,
        value.as_data(max(request.depth, 0)) if session.json else None,
        dump,
        heading,
    )


def _listing(session: Session, request: TypeRequest) -> NameList:
    from dumpkit.typetext.listing import ListedName, TypeListing, matching_types
    from dumpkit.wildcards import matcher

    symbols = session.dump.symbols
    modules = symbols.modules_like(request.module or "nt")
    matches = matcher(request.bare_name + ("*" if request.partial else ""))
    rows: List[NameRow] = []
    lines: List[str] = []
    for module in modules:
        file = symbols.file(module)
        if file is None:
            if len(modules) == 1:
                raise CommandError(
                    f"{module.name} has no symbols: {symbols.remark(module) or 'there is no symbol path'}"
                )
            continue
        names = matching_types(file, request)
        if not request.types_only and file.kind == "pdb":
            for found in symbols.matching(f"{module.name}!*"):
                type = symbols.type_of(found) if matches(found.name) else None
                if type is not None:
                    names.append(ListedName(found.name, found.size or type.size, found.address))
        shown = module.image_name.rpartition(".")[0] or module.name
        lines += TypeListing(request, shown, names).lines()
        rows += [NameRow(module.name, name, size, Hex(place) if place else None) for name, size, place in names]
    return NameList(tuple(rows), tuple(lines))


@command(
    "dt",
    category="Symbols",
    summary="Types, and memory as types",
    arguments=(Text("request", USAGE[3:], holds="type"),),
    render=type_lines,
    raw=True,
)
def dt(session: Session, request: str = "") -> Union[TypeView, Signature, NameList]:
    """Shows a type, the object of that type at an address, a variable, or the names that a pattern matches.

    dt nt!_EPROCESS                          the type
    dt nt!_EPROCESS @$proc ImageFileName     a field of the object there; fields take * and ., as in Pcb.Header.
    dt nt!_K*                                types that begin so
    dt nt!_EPROCESS @$proc ActiveProcessLinks. -l ActiveProcessLinks.Flink    a list

    -r[N]  records inside, N levels deep     -b  embedded ones in full, pointers not followed
    -v  kinds and sizes      -c  on one line     -i  not indented     -o  without offsets
    -a[N]  array elements in lines of their own  -l FIELD  along a list      -p  the address is physical
    -y NAME  the name is a beginning             -n NAME  a name, not an address
    -t -e  types only        -s SIZE  types of that size only

    Without a module, the kernel's types come first, then those of modules whose symbols are loaded.
    """
    if request.split()[:1] in (["-h"], ["-?"], []):
        raise CommandError("dt wants the name of a type", USAGE)
    return view(session, understood(request))
