"""Volatility's ISF tables as symbol files: names, and the types of public kernel PDBs, without the PDB.

What a table does not hold: sections (the nearest symbol is bound by the image alone), lengths of
functions, lines, the parameters and results of function types, `const`, and the order in which members
and enumerators were declared (they come by offset and by value).
"""

from __future__ import annotations

import os

from dumpkit.errors import SymbolError
from dumpkit.functions import cached_property, partial
from dumpkit.symbols.isf_table import (
    BASE_KINDS,
    ENUM_SIGNED,
    NODE_ARRAY,
    NODE_BASE,
    NODE_BITFIELD,
    NODE_NAMED,
    NODE_POINTER,
    TYPE_KINDS,
    Table,
    TypeRow,
)
from dumpkit.symbols.symbol_file import Symbol, SymbolFile
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    Member,
    PointerType,
    RecordType,
    Type,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

#: A compressed table above this is refused unread; kernels' are 0.6 MB.
FILE_LIMIT = 64 << 20


class IsfFile(SymbolFile):
    """One ISF table: .json, .json.xz, .json.gz or .json.bz2.

    `cache` is the folder that keeps the packed form, `default_folder()` where None; False keeps none.
    Raises SymbolError, naming the file, where it cannot be read or is no ISF table.
    """

    kind = "isf"

    def __init__(self, path: str, cache: Union[Path, str, bool, None] = None) -> None:
        self.path = path
        self._table = _table_of(os.fspath(path), cache)
        self._types: Dict[str, Optional[Type]] = {}
        self._nodes: Dict[int, Type] = {}

    def _facts(self) -> Dict[str, str]:
        lines = self._table.facts.decode("utf-8", "replace").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def pdb_name(self) -> str:
        """The name of the PDB that the table was made from ("ntkrnlmp.pdb"), "" where it does not say."""
        return self._facts().get("database", "")

    @property
    def guid(self) -> str:
        """The PDB's GUID as 32 upper-case hexadecimal digits, "" where the table does not say."""
        return self._facts().get("guid", "").upper()

    @property
    def age(self) -> Optional[int]:
        """The PDB's age, None where the table does not say."""
        age = self._facts().get("age", "")
        return int(age) if age.isascii() and age.isdecimal() else None

    def find(self, name: str) -> Optional[Symbol]:
        """The symbol that is shown as `name`, or that the linker knew as `name`."""
        for linkage in (name, f"_{name}"):
            number = self._table.symbol_named(linkage)
            if number is not None:
                return self._symbol(number)
        return self._shown(name, lambda shown: shown == name)

    def _shown(self, name: str, is_it: Callable[[str], bool]) -> Optional[Symbol]:
        """The first C++ symbol whose shown name is the wanted one."""
        word = _word_of(name)
        if word is None:
            number = next((number for shown, number in self._decorated.items() if is_it(shown)), None)
            return None if number is None else self._symbol(number)
        candidates = map(self._symbol, self._table.decorated_with(word))
        return next((symbol for symbol in candidates if is_it(symbol.name)), None)

    def find_in_any_case(self, name: str) -> Optional[Symbol]:
        found = self.find(name)
        if found is not None:
            return found
        for linkage in (name, f"_{name}"):
            number = self._table.symbol_in_any_case(linkage)
            if number is not None:
                return self._symbol(number)
        folded = name.lower()
        return self._shown(name, lambda shown: shown.lower() == folded)

    @cached_property
    def _decorated(self) -> Dict[str, int]:
        """C++ names as they are shown -> number of the first such symbol."""
        found: Dict[str, int] = {}
        for number in self._table.decorated():
            found.setdefault(self._symbol(number).name, number)
        return found

    def nearest(self, rva: int) -> Optional[Symbol]:
        number = self._table.symbol_near(rva)
        return None if number is None else self._symbol(number)

    def symbols(self) -> Iterator[Symbol]:
        return map(self._symbol, range(len(self._table.rva)))

    def _symbol(self, number: int) -> Symbol:
        table = self._table
        try:
            rva, linkage = table.rva[number], table.string(table.name[number])
        except IndexError:
            raise SymbolError(f"{self.path}: the packed table refers to a symbol that it does not hold") from None
        if linkage[:1] not in ("?", "_", ".") and "@" not in linkage:
            return Symbol(rva, linkage)
        from dumpkit.symbols.undecorate import shown_name

        name = shown_name(linkage)
        return Symbol(rva, name, 0, None, "" if name == linkage else linkage)

    def type(self, name: str) -> Optional[Type]:
        if name not in self._types:
            row = self._table.type_named(name)
            self._types[name] = None if row is None else self._type_of(name, row)
        return self._types[name]

    def type_names(self) -> Iterator[str]:
        return self._table.type_names()

    def _type_of(self, name: str, row: TypeRow) -> Type:
        kind = _kind(TYPE_KINDS, row.kind & ~ENUM_SIGNED)
        if kind == "enum":
            signed = bool(row.kind & ENUM_SIGNED)
            return EnumType(name, row.size, signed, partial(self._enumerators, row, signed))
        return RecordType(name, row.size, kind, partial(self._members, row))

    def _members(self, row: TypeRow) -> List[Member]:
        rows = list(self._table.member_rows(row))
        names = self._table.strings_at([name for name, _, _ in rows])
        return [Member(name, offset, partial(self._node, node)) for name, (_, offset, node) in zip(names, rows)]

    def _enumerators(self, row: TypeRow, signed: bool) -> Sequence[Tuple[str, int]]:
        found = []
        for name, low, high in self._table.member_rows(row):
            value = high << 32 | low
            if signed and value >> 63:
                value -= 1 << 64
            found.append((self._table.string(name), value))
        return found

    def _node(self, index: int) -> Type:
        known = self._nodes.get(index)
        if known is None:
            known = self._nodes[index] = self._decoded(index)
        return known

    def _decoded(self, index: int) -> Type:
        kind, a, b, size = self._table.node(index)
        if kind == NODE_BASE:
            return BaseType(self._table.string(a), size, _kind(BASE_KINDS, b))
        if kind == NODE_POINTER:
            return PointerType(partial(self._node, a), size)
        if kind == NODE_ARRAY:
            return ArrayType(partial(self._node, a), b, size)
        if kind == NODE_BITFIELD:
            return BitfieldType(partial(self._node, a), b >> 8, b & 0xFF, size)
        if kind == NODE_NAMED:
            return self._named(self._table.string(a), _kind(TYPE_KINDS, b))
        return FunctionType(_unknown, tuple)

    def _named(self, name: str, kind: str) -> Type:
        found = self.type(name)
        if found is not None:
            return found
        # Only declared where the table was made: a type without size or members.
        return EnumType(name, 4, True, tuple) if kind == "enum" else RecordType(name, 0, kind, tuple)


def _unknown() -> Type:
    """The result of a function: a table says of functions only that they are."""
    return BaseType("", 0, "void")


def _kind(kinds: Sequence[str], index: int) -> str:
    if index >= len(kinds):
        raise SymbolError("packed symbol table holds a type of unknown kind")
    return kinds[index]


def _table_of(path: str, cache: Union[Path, str, bool, None]) -> Table:
    from dumpkit.symbols import isf_cache

    try:
        status = os.stat(path)
    except (OSError, ValueError) as problem:
        raise SymbolError(f"{path}: {_reason(problem)}") from None
    stamp = status.st_size, status.st_mtime_ns & 0xFFFF_FFFF_FFFF_FFFF
    folder: Union[Path, str, None] = None
    source = os.path.abspath(path)
    if cache is None or cache is True:
        folder = isf_cache.default_folder()
    elif cache is not False:
        folder = cache
    if folder is not None:
        table = isf_cache.read(folder, source, stamp)
        if table is not None:
            return table
    packed = _packed(path, status.st_size)
    if folder is not None:
        isf_cache.write(folder, source, stamp, packed)
    return Table(packed)


def _packed(path: str, size: int) -> bytes:
    from dumpkit.symbols import isf_json

    if size > FILE_LIMIT:
        raise SymbolError(f"{path}: {size >> 20} MB, more than an ISF table has")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as problem:
        raise SymbolError(f"{path}: {_reason(problem)}") from None
    return isf_json.pack(isf_json.load(data, path), path)


def _word_of(name: str) -> Optional[str]:
    """A word that the linkage name of every C++ symbol shown as `name` contains: its last, where it is a plain one.

    None for operators and for what the compiler makes: their words stand for other letters, and `__xmm@…` loses its
    sign.
    """
    word = name.partition("<")[0].rpartition("::")[2].lstrip("~")
    is_plain = word.isidentifier() and word.isascii() and not word.startswith(("operator", "_"))
    return word if is_plain else None


def _reason(problem: Exception) -> str:
    return (isinstance(problem, OSError) and problem.strerror) or str(problem)
