"""The symbols of a target's modules, each module's looked for when a name in it is asked for."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left, bisect_right

from dumpkit.errors import AmbiguousSymbolError, SymbolError
from dumpkit.module import Module
from dumpkit.module_symbols import DEFERRED, ModuleSymbols, Sources, SymbolSources
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target
from dumpkit.target_symbols import FoundSymbol, InlinedFunction, Neighbours, SourceLine, SymbolLocation, Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

    from dumpkit.symbols.search import SymbolSearch
    from dumpkit.symbols.symbol_file import LocalVariable, Symbol, SymbolFile
    from dumpkit.symbols.types import Type

KERNEL = "nt"


class _Order(NamedTuple):
    """A file's symbols by address: their RVAs, and the symbols in the same order."""

    rvas: List[int]
    symbols: List[Symbol]


class FileSymbols(Symbols):
    """Names, types and lines of a target, from symbol files; a subclass says which."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loaded: Dict[int, ModuleSymbols] = {}
        self._orders: Dict[int, _Order] = {}

    # --- Modules -------------------------------------------------------------

    def load(self, module: Module, trusting: bool = False) -> ModuleSymbols:
        """A module's symbols, looked for if they were not yet. `trusting` takes a PDB of the right name, whatever
        its id."""
        loaded = self._loaded.get(module.base)
        if loaded is None:
            loaded = self._loaded[module.base] = ModuleSymbols(self.sources(module, trusting))
        return loaded

    @abstractmethod
    def sources(self, module: Module, trusting: bool) -> Sources:
        """Where a module's symbol files are; see `load`."""

    def forget(self, module: Optional[Module] = None) -> None:
        for base in [module.base] if module is not None else list(self._loaded):
            loaded = self._loaded.pop(base, None)
            if loaded is not None:
                loaded.close()
            self._orders.pop(base, None)
        self._target.forget_types()

    def close(self) -> None:
        self.forget()

    def state(self, module: Module) -> str:
        loaded = self._loaded.get(module.base)
        return loaded.state if loaded is not None else DEFERRED

    def flag(self, module: Module) -> str:
        loaded = self._loaded.get(module.base)
        return loaded.flag if loaded is not None else ""

    def symbol_file(self, module: Module) -> Optional[str]:
        loaded = self._loaded.get(module.base)
        return loaded.file.path if loaded is not None and loaded.file is not None else None

    def image_file(self, module: Module) -> Optional[str]:
        loaded = self._loaded.get(module.base)
        return loaded.sources.image if loaded is not None else None

    def remark(self, module: Module) -> str:
        loaded = self._loaded.get(module.base)
        if loaded is None:
            return ""
        return loaded.note if loaded.file is not None and loaded.file.kind != "exports" else loaded.problem

    def file(self, module: Module) -> Optional[SymbolFile]:
        return self.load(module).file

    def _in_order(self) -> Iterator[Module]:
        """Where a name without a module is looked for: the kernel, then the modules whose symbols are loaded."""
        kernel = self._target.module_named(KERNEL)
        if kernel is not None:
            yield kernel
        for module in self._target.modules:
            if module.base in self._loaded and module is not kernel:
                yield module

    # --- Addresses to names --------------------------------------------------

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        module = self._target.module_at(address)
        if module is None:
            return None
        rva = address - module.base
        loaded = self.load(module)
        location = loaded.ask(lambda file: file.locate(rva))
        if location is not None and location.displacement is not None and location.displacement >= 0:
            return SymbolLocation(module, location.symbol.name, location.displacement)
        symbol = loaded.ask(lambda file: file.nearest(rva))
        if symbol is None:
            return SymbolLocation(module, None, rva)
        return SymbolLocation(module, symbol.name, rva - symbol.rva)

    def around(self, address: int) -> Optional[Neighbours]:
        module = self._target.module_at(address)
        if module is None:
            return None
        rva = address - module.base
        loaded = self.load(module)
        location = loaded.ask(lambda file: file.locate(rva))
        order = self._order(loaded)
        if location is None or order is None:
            return None
        start = location.symbol.rva
        after = bisect_right(order.rvas, start)
        exact: Sequence[Symbol] = ()
        if start == rva:
            exact = order.symbols[bisect_left(order.rvas, start) : after]
        return Neighbours(
            _found(loaded, location.symbol),
            location.displacement,
            _found(loaded, order.symbols[after]) if after < len(order.symbols) else None,
            tuple(_found(loaded, symbol) for symbol in exact),
        )

    def _order(self, loaded: ModuleSymbols) -> Optional[_Order]:
        base = loaded.module.base
        order = self._orders.get(base)
        if order is None:
            symbols = loaded.ask(lambda file: list(file.symbols()))
            if symbols is None:
                return None
            order = self._orders[base] = _Order([symbol.rva for symbol in symbols], symbols)
        return order

    def source_line(self, address: int) -> Optional[SourceLine]:
        module = self._target.module_at(address)
        if module is None:
            return None
        rva = address - module.base
        line = self.load(module).ask(lambda file: file.line(rva))
        return SourceLine(line.file, line.number, rva - line.rva) if line is not None else None

    def inlined(self, address: int) -> Sequence[InlinedFunction]:
        module = self._target.module_at(address)
        if module is None:
            return ()
        rva = address - module.base
        found = self.load(module).ask(lambda file: file.inlines(rva)) or ()
        return [InlinedFunction(module, name, module.base + start, file, line) for name, start, file, line in found]

    def variables(self, address: int) -> Sequence[LocalVariable]:
        module = self._target.module_at(address)
        if module is None:
            return ()
        rva = address - module.base
        return self.load(module).ask(lambda file: file.variables(rva)) or ()

    # --- Names to addresses --------------------------------------------------

    def address_of(self, name: str) -> int:
        module_name, bang, bare = name.partition("!")
        if bang:
            module = self._module(module_name, name)
            found = self._named(module, bare)
            if found is None:
                raise SymbolError(self._missing(name, module))
            return found
        for module in self._in_order():
            found = self._named(module, name)
            if found is not None:
                return found
        by_module = self._target.module_named(name)
        if by_module is not None:
            return by_module.base
        raise SymbolError(self._missing_everywhere(name))

    def _named(self, module: Module, name: str) -> Optional[int]:
        """The virtual address of a name in a module. Raises AmbiguousSymbolError where it has several."""
        loaded = self.load(module)
        symbols = loaded.ask(lambda file: file.named(name)) or ()
        addresses = dict.fromkeys(module.base + symbol.rva for symbol in symbols)
        if len(addresses) > 1:
            raise AmbiguousSymbolError(name, tuple(_found(loaded, symbol) for symbol in symbols))
        return next(iter(addresses), None)

    def _module(self, name: str, wanted: str) -> Module:
        """A module by its debugger name, its file's name, or that without its ending. Raises SymbolError."""
        module = self._target.module_called(name)
        if module is None:
            raise SymbolError(f"{wanted}: no module is called {name}")
        return module

    def matching(self, pattern: str) -> Iterator[FoundSymbol]:
        from dumpkit.wildcards import matcher

        module_pattern, bang, bare = pattern.rpartition("!")
        matches = matcher(bare)
        is_pattern = any(sign in bare for sign in "*?[#+\\")
        for module in self.modules_like(module_pattern) if bang else self._in_order():
            loaded = self.load(module)
            if is_pattern:
                order = self._order(loaded)
                symbols: Sequence[Symbol] = order.symbols if order is not None else ()
                yield from (_found(loaded, symbol) for symbol in symbols if matches(symbol.name))
            else:
                yield from (_found(loaded, symbol) for symbol in loaded.ask(lambda file: file.listed(bare)) or ())

    def modules_like(self, pattern: str) -> List[Module]:
        from dumpkit.wildcards import matcher

        if not any(sign in pattern for sign in "*?[#+\\"):
            return [self._module(pattern, pattern)]
        matches = matcher(pattern)
        return [module for module in self._target.modules if matches(module.name)]

    def completions(self, prefix: str) -> Iterator[str]:
        module_name, bang, bare = prefix.partition("!")
        module = self._target.module_named(module_name) if bang else None
        loaded = self._loaded.get(module.base) if module is not None else None
        order = self._order(loaded) if loaded is not None else None
        if module is None or order is None:
            return
        folded = bare.lower()
        names = {symbol.name for symbol in order.symbols if symbol.name.lower().startswith(folded)}
        yield from (f"{module.name}!{name}" for name in sorted(names))

    def type_completions(self, prefix: str) -> Iterator[str]:
        module_name, bang, bare = prefix.rpartition("!")
        folded = bare.lower()
        seen: Set[str] = set()
        for module in self._in_order():
            loaded = self._loaded.get(module.base)
            if loaded is None or (bang and module.name.lower() != module_name.lower()):
                continue
            names = loaded.ask(lambda file: {name for name in file.type_names() if name.lower().startswith(folded)})
            for name in sorted((names or set()) - seen):
                seen.add(name)
                yield f"{module.name}!{name}" if bang else name

    # --- Types ---------------------------------------------------------------

    def type(self, name: str, module: Optional[str] = None) -> Type:
        return self.type_in(name, module)[1]

    def type_in(self, name: str, module: Optional[str] = None) -> Tuple[Module, Type]:
        modules = [self._module(module, f"{module}!{name}")] if module is not None else self._in_order()
        for candidate in modules:
            found = self.load(candidate).ask(lambda file: file.type(name))
            if found is not None:
                return candidate, found
        if module is not None:
            raise SymbolError(self._missing(f"{module}!{name}", self._module(module, name)))
        raise SymbolError(self._missing_everywhere(name))

    def type_of(self, symbol: FoundSymbol) -> Optional[Type]:
        return self.load(symbol.module).ask(lambda file: file.type_of(symbol.name))

    # --- What went wrong -----------------------------------------------------

    def _missing(self, name: str, module: Module) -> str:
        """Why a name of a module is not known: it has no symbols, or they do not have it."""
        loaded = self.load(module)
        if loaded.file is not None and loaded.file.kind != "exports":
            return f"{name} is not in {loaded.file.path}"
        has_places = self.search is None or self.search.has_places
        problem = loaded.problem or ("" if has_places else "there is no symbol path")
        has = "only its exports" if loaded.file is not None else "no symbols"
        return f"{name} is not known: {module.name} has {has}{f': {problem}' if problem else ''}"

    def _missing_everywhere(self, name: str) -> str:
        kernel = self._target.module_named(KERNEL)
        if kernel is None:
            return f"{name} is not known: the kernel is not among the modules; name the one to look in (module!{name})"
        answer = self._missing(name, kernel)
        at_kernel = self.load(kernel)
        others = sum(loaded.file is not None for loaded in self._loaded.values() if loaded is not at_kernel)
        beyond = f"; nor do the symbols of other modules ({others}) have it" if others else ""
        return answer + beyond


class Symbolizer(FileSymbols):
    """Symbols from the files that `search` finds.

    `known` gives the virtual addresses of kernel variables that the target itself tells, by name: a kernel
    without a PDB id is matched by them.
    """

    search: SymbolSearch

    def __init__(self, target: Target, search: SymbolSearch, known: Callable[[], Dict[str, int]]) -> None:
        super().__init__(target)
        self._known = known
        self.search = search

    def sources(self, module: Module, trusting: bool) -> SymbolSources:
        known = {}
        if module.name == KERNEL:
            known = {name: address - module.base for name, address in self._known().items() if address in module}
        return SymbolSources(self._target.memory, module, self.search, known, trusting)

    def forget(self, module: Optional[Module] = None) -> None:
        self.search.close()
        super().forget(module)


def _found(loaded: ModuleSymbols, symbol: Symbol) -> FoundSymbol:
    module = loaded.module
    # The engine takes what lies in code for a function, whatever its record says.
    is_function = symbol.is_function or loaded.is_code(symbol.rva)
    return FoundSymbol(module, symbol.name, module.base + symbol.rva, symbol.size, is_function)
