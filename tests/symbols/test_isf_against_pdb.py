"""The same kernel read twice: volatility's ISF table, and the PDB that was made of it."""

from __future__ import annotations

from collections import Counter
from typing import List, Tuple

import pytest
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    PointerType,
    RecordType,
    Type,
)

from tests.shared import SYMBOLS, needs_symbols

ISF = SYMBOLS / "isf" / "5278AFF86C341677D7D7835C85B7B844-1.json.xz"
PDB = SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb"

pytestmark = needs_symbols

#: Names of base types that stand for one another: ISF knows only one `char`.
IN_ISF = {"float": "f32", "wchar_t": "wchar", "signed char": "char"}


@pytest.fixture(scope="module")
def isf(tmp_path_factory) -> IsfFile:
    return IsfFile(str(ISF), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def pdb() -> PdbFile:
    return PdbFile(str(PDB))


def described(type: Type) -> Tuple[object, ...]:
    """A type with everything that both files say of it, to the next name."""
    if isinstance(type, PointerType):
        return ("pointer", type.size, described(type.target))
    if isinstance(type, ArrayType):
        return ("array", type.count, type.size, described(type.element))
    if isinstance(type, BitfieldType):
        return ("bits", type.position, type.length, type.size, described(type.base))
    if isinstance(type, FunctionType):
        return ("function",)
    if isinstance(type, RecordType):
        return (type.kind, type.name, type.size)
    if isinstance(type, EnumType):
        return ("enum", type.name, type.size)
    assert isinstance(type, BaseType)
    return ("base", IN_ISF.get(type.name, type.name), type.size)


def definition(type: Type) -> List[Tuple[object, ...]]:
    """The members or enumerators of a type; in no order, which ISF does not keep."""
    if isinstance(type, EnumType):
        return sorted((name, value) for name, value in type.enumerators)
    assert isinstance(type, RecordType)
    return sorted((member.name, member.offset, described(member.type)) for member in type.members)


def test_every_type_of_the_table_equals_the_pdbs(isf, pdb):
    names = list(isf.type_names())
    differences: List[str] = []
    counts: Counter = Counter()
    for name in names:
        ours, theirs = isf.type(name), pdb.type(name)
        if theirs is None or described(ours) != described(theirs) or definition(ours) != definition(theirs):
            differences.append(name)
        counts["enumerations" if isinstance(ours, EnumType) else "records"] += 1
        counts["members"] += len(ours.members) if isinstance(ours, RecordType) else len(ours.enumerators)
    print(f"{dict(counts)}, {len(differences)} differences {differences[:10]}")  # noqa: T201 - the figures asked for
    assert differences == []
    assert counts["records"] == 1646
    assert counts["enumerations"] == 293


def test_the_types_that_the_table_lacks_are_only_declared_in_the_pdb(isf, pdb):
    missing = set(pdb.type_names()) - set(isf.type_names())
    assert [name for name in missing if pdb.type(name).size or definition(pdb.type(name))] == []


def test_every_symbol_of_the_table_equals_the_pdbs(isf, pdb):
    ours = {(symbol.linkage or symbol.name): symbol[:2] for symbol in isf.symbols()}
    theirs = {(symbol.linkage or symbol.name): symbol[:2] for symbol in pdb.symbols()}
    different = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    print(f"{len(ours)} symbols, {len(theirs)} in the PDB, {len(different)} different {different[:10]}")  # noqa: T201
    assert different == []
    assert len(ours) == 39832


def test_places_are_named_alike_but_for_the_order_of_aliases(isf, pdb):
    other = 0
    for symbol in isf.symbols():
        ours, theirs = isf.nearest(symbol.rva), pdb.nearest(symbol.rva)
        # The PDB's sections are invented: a literal at the start of one has no symbol before it there.
        if ours is None or theirs is None:
            assert symbol.name.startswith(("`string'", "??_C@", " ??"))
            continue
        assert ours.rva == theirs.rva
        other += ours.name != theirs.name
    print(f"{other} of {sum(1 for _ in isf.symbols())} symbols lie at an address that has another alias in the PDB")  # noqa: T201
    assert other < 400
