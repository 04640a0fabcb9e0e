"""Writes the PDB that belongs to an image: public (stripped) or private.

Streams as "The PDB File Format" of LLVM and github.com/microsoft/microsoft-pdb describe them.
"""

from __future__ import annotations

from struct import pack
from typing import List, Mapping, Optional, Sequence, Tuple

from dumpkit.symbols.types import Type

from tests.forge import pdb_symbols
from tests.forge.image import Image
from tests.forge.image_sections import EXECUTE
from tests.forge.image_tables import guid_bytes
from tests.forge.msf import build_msf
from tests.forge.pdb_dbi import NONE, SectionFacts, Streams, build_dbi
from tests.forge.pdb_hash import NameTable, named_streams, symbol_hash
from tests.forge.pdb_modules import ModuleWriter, Reference, by_compiland
from tests.forge.pdb_symbols import Place
from tests.forge.pdb_types import IdWriter, TypeWriter

_INFO_VERSION, _FEATURE_IDS = 20000404, 20140508


class Pdb:
    """The PDB of `image`, whose CodeView record names it: its functions, labels, variables, and `types`.

    A private one has procedures with types, locals and lines; a public one has the names that the linker knew,
    and with `procedures` also records of functions that say no more than name and length. Both have `types`.
    `age` is that of the DBI stream, by default the CodeView record's; `info_age` is the info stream's.
    """

    def __init__(
        self,
        image: Image,
        types: Sequence[Type] = (),
        *,
        private: bool = True,
        procedures: bool = False,
        typedefs: Optional[Mapping[str, Type]] = None,
        age: Optional[int] = None,
        info_age: Optional[int] = None,
        page_size: int = 4096,
        unnamed: str = "<unnamed-tag>",
    ) -> None:
        if image.codeview is None:
            raise ValueError(f"{image.name} names no PDB")
        self.image = image
        self.codeview = image.codeview
        self.types = types
        self.private = private
        self.procedures = procedures or private
        self.typedefs = typedefs or {}
        self.age = self.codeview.age if age is None else age
        self.info_age = self.age if info_age is None else info_age
        self.page_size = page_size
        self.unnamed = unnamed

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.codeview.pdb_name.replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def store_key(self) -> str:
        """The folder of a symbol store that holds this PDB."""
        return f"{self.codeview.guid.upper()}{self.age:X}"

    def file(self) -> bytes:
        """The PDB's bytes."""
        headers = self.image.section_headers()
        types, ids, names = TypeWriter(self.unnamed), IdWriter(), NameTable()
        for wanted in self.types:
            types.add(wanted)
        modules = self._modules(ModuleWriter(types, ids, names, self._place, self.private))
        records = _SymbolRecords()
        self._add_publics(records)
        self._add_globals(records, modules, types)
        # 0 is unused, 1 info, 2 TPI, 3 DBI, 4 IPI; the others follow in this order.
        fixed = 5
        streams = [module.stream for module in modules.modules if module.stream]
        names_at = fixed + 5 + len(streams)
        tpi = types.records.build(names_at + 1)
        ipi = ids.records.build(names_at + 2)
        numbers = iter(range(fixed + 5, names_at))
        placed = [next(numbers) if module.stream else NONE for module in modules.modules]
        where = Streams(fixed + 1, fixed + 2, fixed + 3, fixed + 4, placed)
        dbi = build_dbi(self.age, not self.private, modules.modules, self._sections(), where)
        info = self._info({"/LinkInfo": fixed, "/names": names_at})
        tail = [b"", records.globals(), records.publics(), bytes(records.data), headers, *streams]
        return build_msf(
            [b"", info, tpi.records, dbi, ipi.records, *tail, names.build(), tpi.hashes, ipi.hashes], self.page_size
        )

    def _info(self, named: Mapping[str, int]) -> bytes:
        head = pack("<III", _INFO_VERSION, self.image.stamp, self.info_age) + guid_bytes(self.codeview.guid)
        return head + named_streams(named) + pack("<II", 0, _FEATURE_IDS)

    def _sections(self) -> List[SectionFacts]:
        return [
            SectionFacts(each.name, each.rva, each.memory_size, each.characteristics) for each in self.image.sections
        ]

    def _place(self, rva: int) -> Place:
        for number, section in enumerate(self.image.sections, 1):
            if section.rva <= rva < section.end:
                return Place(number, rva - section.rva)
        raise ValueError(f"{self.image.name} has no section at {rva:#x}")

    def _modules(self, writer: ModuleWriter) -> ModuleWriter:
        image = self.image
        stem = image.name.rsplit(".", 1)[0]
        for name, (functions, variables) in by_compiland(image.functions, image.variables, f"{stem}.obj").items():
            writer.add(name, functions, variables, self.procedures)
        writer.add_linker(self._sections())
        return writer

    def _add_publics(self, records: _SymbolRecords) -> None:
        image = self.image
        found: List[Tuple[str, int, bool]] = [(label.name, label.rva, label.is_function) for label in image.labels]
        for function in image.functions:
            if function.linker_name and function.rva is not None and (function.is_global or not self.private):
                found.append((function.linker_name, function.rva, True))
        for variable in image.variables:
            if variable.rva is not None and (variable.is_global or not self.private):
                found.append((variable.name, variable.rva, False))
        for name, rva, is_function in found:
            place = self._place(rva)
            executable = image.sections[place.section - 1].characteristics & EXECUTE
            flags = pdb_symbols.FUNCTION if is_function else pdb_symbols.CODE if executable else 0
            records.add_public(name, place, flags)

    def _add_globals(self, records: _SymbolRecords, modules: ModuleWriter, types: TypeWriter) -> None:
        for reference in modules.references:
            records.add_reference(reference)
        if self.private:
            for variable in self.image.variables:
                records.add_global(variable.name, modules.data(variable))
        for name, wanted in self.typedefs.items():
            records.add_global(name, pdb_symbols.udt(name, types.add(wanted)))


class _SymbolRecords:
    """The record stream, with what the hash streams say of it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._publics: List[Tuple[bytes, int]] = []
        self._globals: List[Tuple[bytes, int]] = []
        self._places: List[Tuple[Place, str, int]] = []

    def add_public(self, name: str, place: Place, flags: int) -> None:
        self._publics.append((name.encode(), len(self.data)))
        self._places.append((place, name, len(self.data)))
        self.data += pdb_symbols.public(name, place, flags)

    def add_reference(self, reference: Reference) -> None:
        self.add_global(reference.name, pdb_symbols.procedure_reference(*reference))

    def add_global(self, name: str, record: bytes) -> None:
        self._globals.append((name.encode(), len(self.data)))
        self.data += record

    def globals(self) -> bytes:
        """The hash stream of globals."""
        return symbol_hash(self._globals)

    def publics(self) -> bytes:
        """The hash stream of publics, and their offsets by address behind it."""
        hashed = symbol_hash(self._publics)
        order = pack(f"<{len(self._places)}I", *(offset for _, _, offset in sorted(self._places)))
        return pack("<IIIIHHII", len(hashed), len(order), 0, 0, 0, 0, 0, 0) + hashed + order
