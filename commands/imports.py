"""`!imports`: what an image imports, and where its import address table leads."""

from __future__ import annotations

from dumpkit.errors import CommandError, SymbolError
from dumpkit.kernel.imports import ImportSlot, ImportTable, ModuleImports, module_of
from dumpkit.module import Module
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Switch, Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Optional, Tuple, Union

    from dumpkit.symbols.imports import BoundModule


class ImportedName(Record):
    """A name or ordinal that the import table asks for: `Name` or `#12`."""

    dll: str
    name: str


class ImportAddress(Record):
    """A slot of an import address table; virtual addresses. `value` is None where the dump lacks the slot."""

    slot: Hex
    value: Optional[Hex]
    symbol: Optional[str]
    #: `DLL!Name` as the import table has it, where it can be read.
    imported: Optional[str]
    problem: str
    _is_exact: bool = True


class BoundImport(Record):
    """A module that the linker bound the image to."""

    dll: str
    timestamp: Hex
    forwarder_of: Optional[str]


class Imports(Record):
    """The imports of one image."""

    module: str
    base: Hex
    #: RVA of the import directory; 0 where there is none.
    directory: Hex
    names: Tuple[ImportedName, ...]
    addresses: Tuple[ImportAddress, ...]
    delay_names: Tuple[ImportedName, ...]
    delay_addresses: Tuple[ImportAddress, ...]
    bound: Tuple[BoundImport, ...]
    #: What could not be read, and why.
    problems: Tuple[str, ...]


def _address_line(module: str, each: ImportAddress) -> Line:
    if each.value is None or (each.symbol is None and each.imported is not None):
        if each.imported is not None:
            return f"{module} imports {each.imported}"
        return (Span(quoted(each.slot), "address"), f"  ????????`???????? {each.problem}")
    line: List[Union[str, Span]] = [Span(quoted(each.slot), "address"), "  ", Span(quoted(each.value), "address")]
    if each.symbol is not None:
        line += [" ", Span(each.symbol, "symbol", f"u {each.value:x}")]
    if not each._is_exact and each.imported is not None:
        line.append(f" ({each.imported})")
    return tuple(line)


def imports_lines(result: Imports) -> Iterator[Line]:
    yield f"Dumping Import table at {result.base:016x} + {result.directory:x} "
    yield f"ModuleImageName: {result.module}"
    for each in result.addresses:
        yield _address_line(result.module, each)
    for name in result.names:
        yield f"{result.module} imports {name.dll}!{name.name}"
    if result.delay_addresses or result.delay_names:
        yield "Delay-loaded imports:"
    for each in result.delay_addresses:
        yield _address_line(result.module, each)
    for name in result.delay_names:
        yield f"{result.module} imports {name.dll}!{name.name}"
    if result.bound:
        yield "Bound imports:"
    for bound in result.bound:
        behind = f" (forwarded to by {bound.forwarder_of})" if bound.forwarder_of else ""
        yield f"{result.module} is bound to {bound.dll}, time stamp {bound.timestamp:08x}{behind}"
    for problem in result.problems:
        yield (Span(problem, "warning"),)


def chosen_module(session: Session, text: str, command_name: str) -> Module:
    """The image that a module's name, or an address in it, stands for. Raises CommandError, ExpressionError."""
    target = session.dump
    text = text.strip()
    if not text:
        raise CommandError(f"{command_name}: MODULE is missing", f"{command_name} MODULE")
    module = target.module_called(text)
    if module is not None:
        return module
    address = session.evaluate(text)
    try:
        return module_of(target, address)
    except SymbolError as error:
        raise CommandError(f"{command_name}: {error}") from error


def _names(table: Optional[ImportTable]) -> Tuple[ImportedName, ...]:
    if table is None:
        return ()
    return tuple(ImportedName(module.name, str(each)) for module in table.modules for each in module.imports)


def _addresses(target: Target, slots: Iterable[ImportSlot]) -> Tuple[ImportAddress, ...]:
    found = []
    for slot in slots:
        symbol = str(slot.symbol) if slot.symbol is not None else None
        exact = slot.symbol is not None and slot.symbol.name is not None and not slot.symbol.displacement
        value = Hex(slot.value) if slot.value is not None else None
        found.append(ImportAddress(Hex(slot.address), value, symbol, slot.imported, slot.problem, exact))
    return tuple(found)


def _bound(modules: List[BoundModule]) -> Tuple[BoundImport, ...]:
    return tuple(BoundImport(each.name, Hex(each.timestamp), each.forwarder_of) for each in modules)


@command(
    "imports",
    category="Modules",
    summary="What an image imports, and where its import address table leads",
    arguments=(
        Switch("addresses", ("-a",), "the import address table: each slot, its value and the symbol there"),
        Text("module", "a module's name, or any address in it", holds="module"),
    ),
    render=imports_lines,
)
def imports(session: Session, module: str = "", addresses: bool = False) -> Imports:
    """Shows the imports of a module; a name, its base or any address in it chooses it.

    Without -a: what the import table asks for, as `MODULE imports DLL!Name`. With -a: the import address
    table as `dps` shows it, each slot with the symbol it leads to, with the pointer behind its end;
    `MODULE imports DLL!Name` where the slot is not in the dump or leads to no module. Delay-loaded and bound
    imports follow in both forms.

    Most drivers' import tables are discarded once they run: without -a the addresses are then shown, unless
    the symbol path leads to the image.
    """
    target = session.dump
    chosen = chosen_module(session, module, "imports")
    try:
        found = ModuleImports(target, chosen)
    except SymbolError as error:
        raise CommandError(f"imports: {error}") from error
    problems = []
    names = _names(found.table) if not addresses else ()
    slots = _addresses(target, found.slots()) if not names else ()
    table, delay = found.table, found.delay_table
    if not found.rva:
        problems.append(f"{chosen.name} imports nothing")
    elif table.problem and (names or not slots or not addresses):
        problems.append(f"The names are not all known: {table.problem}")
    delay_slots = _addresses(target, found.slots_of(delay.names)) if delay is not None and addresses else ()
    if delay is not None and delay.problem:
        problems.append(f"The delay-loaded imports are not all known: {delay.problem}")
    bound, problem = found.bound()
    if problem:
        problems.append(f"The bound imports are not all known: {problem}")
    return Imports(
        chosen.name,
        Hex(chosen.base),
        Hex(found.rva),
        names,
        slots,
        _names(delay) if not addresses else (),
        delay_slots,
        _bound(bound),
        tuple(problems),
    )
