"""Reading volatility's ISF JSON and packing it.

Format: volatility3's schema-6.x (metadata, base_types, user_types, enums, symbols). The file may be plain
or compressed with xz, gzip or bzip2; its contents decide, not its name. What it does not say: section
bounds, the declaration order of members and enumerators (its keys are sorted), the parameters and results
of functions, and `const`.
"""

from __future__ import annotations

from array import array

from dumpkit.errors import SymbolError
from dumpkit.symbols.isf_table import (
    BASE_KINDS,
    ENUM_SIGNED,
    NODE_ARRAY,
    NODE_BASE,
    NODE_BITFIELD,
    NODE_FUNCTION,
    NODE_NAMED,
    NODE_POINTER,
    NODE_WORDS,
    TYPE_KINDS,
    pack_sections,
)
from dumpkit.symbols.preference import is_string_literal, rank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, NoReturn, Optional, Protocol, Tuple, Type

    from typing_extensions import TypeAlias

    class _Stream(Protocol):
        """What lzma, zlib and bz2 decompressors have in common."""

        @property
        def eof(self) -> bool: ...

        def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


#: Kernel tables are 6-10 MB of JSON; more than this is refused unread.
JSON_LIMIT = 64 << 20
_DICTIONARY_LIMIT = 128 << 20
_FORMATS = ("4", "5", "6")
_U32 = 0xFFFF_FFFF

Object: TypeAlias = "Mapping[str, object]"


def load(data: bytes, source: str) -> Dict[str, object]:
    """The JSON object in a file's bytes, decompressed. Raises SymbolError, naming `source`, on anything else."""
    import json

    try:
        tree = json.loads(_decompressed(data, source))
    except (ValueError, RecursionError) as problem:
        raise SymbolError(f"{source}: not an ISF table: {_one_line(problem)}") from None
    if not isinstance(tree, dict):
        raise SymbolError(f"{source}: not an ISF table: its JSON is no object")
    return tree


def _stream_for(data: bytes) -> Optional[Tuple[_Stream, Type[Exception]]]:
    """A decompressor and what it raises, by the first bytes; None for plain data."""
    if data.startswith(b"\xfd7zXZ\0"):
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY_LIMIT), lzma.LZMAError
    if data.startswith(b"\x1f\x8b"):
        import zlib

        return zlib.decompressobj(31), zlib.error
    if data.startswith(b"BZh"):
        import bz2

        return bz2.BZ2Decompressor(), OSError
    return None


def _decompressed(data: bytes, source: str) -> bytes:
    found = _stream_for(data)
    if found is None:
        return data
    stream, broken = found
    try:
        plain = stream.decompress(data, JSON_LIMIT + 1)
    except (broken, EOFError, ValueError) as problem:
        raise SymbolError(f"{source}: damaged compression: {_one_line(problem)}") from None
    if len(plain) > JSON_LIMIT:
        raise SymbolError(f"{source}: more than {JSON_LIMIT >> 20} MB of JSON")
    if not stream.eof:
        raise SymbolError(f"{source}: the compressed data ends too early")
    return plain


def pack(tree: Object, source: str) -> bytes:
    """A table's packed bytes (see `isf_table`). Raises SymbolError, saying where, if it does not follow the format."""
    return _Packing(tree, source).packed()


class _Packing:
    """One table on its way from JSON to words."""

    def __init__(self, tree: Object, source: str) -> None:
        self.source = source
        self.base_types = self.section(tree, "base_types")
        self.user_types = self.section(tree, "user_types")
        self.enums = self.section(tree, "enums")
        self.symbols = self.section(tree, "symbols")
        self.facts = self.read_facts(self.section(tree, "metadata"))
        self.blob = bytearray(b"\0")
        self.known_strings: Dict[str, int] = {"": 0}
        self.nodes = array("I")
        self.known_nodes: Dict[Tuple[int, int, int, int], int] = {}
        self.members = array("I")

    def fail(self, where: str, what: str) -> NoReturn:
        raise SymbolError(f"{self.source}: not an ISF table that can be read: {where} {what}")

    def section(self, tree: Object, name: str) -> Object:
        found = tree.get(name)
        if not isinstance(found, dict):
            self.fail(f'"{name}"', "is missing")
        return found

    def number(self, where: str, parent: Object, key: str, limit: int = _U32) -> int:
        value = parent.get(key)
        if type(value) is not int or not 0 <= value <= limit:
            self.fail(where, f'has no usable "{key}"')
        return value

    def text(self, where: str, parent: Object, key: str) -> str:
        value = parent.get(key)
        if not isinstance(value, str):
            self.fail(where, f'has no "{key}"')
        return value

    def string(self, text: str) -> int:
        known = self.known_strings.get(text)
        if known is None:
            known = self.known_strings[text] = len(self.blob)
            self.blob += text.encode("utf-8", "replace").replace(b"\0", b"?") + b"\0"
        return known

    def read_facts(self, metadata: Object) -> bytes:
        version = str(metadata.get("format"))
        if version.split(".")[0] not in _FORMATS:
            self.fail('"metadata"', f"names the format {_one_line(version)}, known are {', '.join(_FORMATS)}")
        facts = {"format": version}
        windows = metadata.get("windows")
        pdb = windows.get("pdb") if isinstance(windows, dict) else None
        if isinstance(pdb, dict):
            facts.update({key.lower(): str(value) for key, value in pdb.items()})
        return "\n".join(f"{key}={_one_line(value)}" for key, value in facts.items()).encode("utf-8", "replace")

    def node(self, kind: int, a: int, b: int, size: int) -> int:
        words = (kind, a, b, size & _U32)
        known = self.known_nodes.get(words)
        if known is None:
            known = self.known_nodes[words] = len(self.nodes) // NODE_WORDS
            self.nodes.extend(words)
        return known

    def node_size(self, index: int) -> int:
        return self.nodes[NODE_WORDS * index + 3]

    def node_of(self, where: str, described: object) -> int:
        """The number of the node for a type object of the JSON."""
        if not isinstance(described, dict):
            self.fail(where, "has no type")
        kind = described.get("kind")
        if kind == "base":
            return self.base_node(where, self.text(where, described, "name"))
        if kind in TYPE_KINDS:
            return self.named_node(where, str(kind), self.text(where, described, "name"))
        if kind == "pointer":
            size = self.base_size(where, str(described.get("base", "pointer")))
            return self.node(NODE_POINTER, self.node_of(where, described.get("subtype")), 0, size)
        if kind == "array":
            element = self.node_of(where, described.get("subtype"))
            count = self.number(where, described, "count")
            return self.node(NODE_ARRAY, element, count, count * self.node_size(element))
        if kind == "bitfield":
            base = self.node_of(where, described.get("type"))
            position = self.number(where, described, "bit_position", 63)
            length = self.number(where, described, "bit_length", 64)
            return self.node(NODE_BITFIELD, base, position << 8 | length, self.node_size(base))
        if kind == "function":
            return self.node(NODE_FUNCTION, 0, 0, 0)
        self.fail(where, f"has a type of unknown kind {_one_line(kind)}")

    def base_size(self, where: str, name: str) -> int:
        base = self.base_types.get(name)
        if not isinstance(base, dict):
            self.fail(where, f"refers to the base type {_one_line(name)}, which is not there")
        return self.number(f"base type {_one_line(name)}", base, "size", 64)

    def base_node(self, where: str, name: str) -> int:
        size = self.base_size(where, name)
        base = self.base_types[name]
        assert isinstance(base, dict)
        kind, signed = base.get("kind"), bool(base.get("signed"))
        if name.lower() == "hresult":
            model = "hresult"
        elif name in ("wchar", "wchar_t"):
            model = "wchar"
        elif kind == "char":
            model = "char" if signed else "uchar"
        elif kind == "int":
            model = "int" if signed else "uint"
        elif kind in BASE_KINDS:
            model = str(kind)
        else:
            self.fail(f"base type {_one_line(name)}", f"is of unknown kind {_one_line(kind)}")
        return self.node(NODE_BASE, self.string(name), BASE_KINDS.index(model), size)

    def named_node(self, where: str, kind: str, name: str) -> int:
        target = (self.enums if kind == "enum" else self.user_types).get(name)
        # A forward declaration without its type has no size.
        size = self.number(f"type {_one_line(name)}", target, "size") if isinstance(target, dict) else 0
        return self.node(NODE_NAMED, self.string(name), TYPE_KINDS.index(kind), size)

    def record_row(self, name: str, described: Object) -> List[int]:
        where = f"type {_one_line(name)}"
        kind = described.get("kind")
        if kind not in TYPE_KINDS[:3]:
            self.fail(where, f"is of unknown kind {_one_line(kind)}")
        fields = described.get("fields")
        if not isinstance(fields, dict):
            self.fail(where, 'has no "fields"')
        rows: List[Tuple[int, int, str, int]] = []
        for field, place in fields.items():
            inside = f"{where}, member {_one_line(field)}"
            if not isinstance(place, dict):
                self.fail(inside, "is no object")
            node = self.node_of(inside, place.get("type"))
            is_bitfield = self.nodes[NODE_WORDS * node] == NODE_BITFIELD
            bit = (self.nodes[NODE_WORDS * node + 2] >> 8) + 1 if is_bitfield else 0
            rows.append((self.number(inside, place, "offset"), bit, field, node))
        rows.sort()
        first = len(self.members) // 3
        for offset, _, field, node in rows:
            self.members.extend((self.string(field), offset, node))
        return [self.string(name), TYPE_KINDS.index(str(kind)), self.number(where, described, "size"), first, len(rows)]

    def enum_row(self, name: str, described: Object) -> List[int]:
        where = f"enumeration {_one_line(name)}"
        constants = described.get("constants")
        if not isinstance(constants, dict):
            self.fail(where, 'has no "constants"')
        base = self.base_types.get(str(described.get("base")))
        signed = isinstance(base, dict) and bool(base.get("signed"))
        rows: List[Tuple[int, str]] = []
        for constant in constants:
            value = constants[constant]
            if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
                self.fail(where, f"has no usable value of {_one_line(constant)}")
            rows.append((value, constant))
        rows.sort()
        first = len(self.members) // 3
        for value, constant in rows:
            self.members.extend((self.string(constant), value & _U32, value >> 32 & _U32))
        kind = TYPE_KINDS.index("enum") | (ENUM_SIGNED if signed else 0)
        return [self.string(name), kind, self.number(where, described, "size", 64), first, len(rows)]

    def pack_types(self) -> bytes:
        rows: Dict[str, List[int]] = {}
        for name, described in self.enums.items():
            if not isinstance(described, dict):
                self.fail(f"enumeration {_one_line(name)}", "is no object")
            rows[name] = self.enum_row(name, described)
        for name, described in self.user_types.items():
            if not isinstance(described, dict):
                self.fail(f"type {_one_line(name)}", "is no object")
            rows[name] = self.record_row(name, described)
        words = array("I")
        for name in sorted(rows, key=_bytes_of):
            words.extend(rows[name])
        return words.tobytes()

    def pack_symbols(self) -> List[bytes]:
        found: List[Tuple[int, bytes, str]] = []
        for name, described in self.symbols.items():
            where = f"symbol {_one_line(name)}"
            if not isinstance(described, dict):
                self.fail(where, "is no object")
            # volatility keeps C names without an underscore, and then the linker's beside it.
            linkage = described.get("linkage_name")
            raw = linkage if isinstance(linkage, str) and linkage else name
            found.append((self.number(where, described, "address"), rank(raw), raw))
        found.sort()
        rvas = array("I", [rva for rva, _, _ in found])
        names = array("I", [self.string(raw) for _, _, raw in found])
        by_name = array("I", sorted(range(len(found)), key=lambda number: _bytes_of(found[number][2])))
        place_rvas, place_symbols = array("I"), array("I")
        for number, (rva, _, raw) in enumerate(found):
            if not is_string_literal(raw) and (not place_rvas or place_rvas[-1] != rva):
                place_rvas.append(rva)
                place_symbols.append(number)
        return [words.tobytes() for words in (rvas, names, by_name, place_rvas, place_symbols)]

    def packed(self) -> bytes:
        try:
            symbols = self.pack_symbols()
            types = self.pack_types()
        except RecursionError:
            raise SymbolError(f"{self.source}: not an ISF table that can be read: types nested too deeply") from None
        return pack_sections(
            [self.facts, bytes(self.blob), *symbols, types, self.members.tobytes(), self.nodes.tobytes()]
        )


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "replace").replace(b"\0", b"?")


def _one_line(value: object) -> str:
    text = str(value)
    if len(text) > 80:
        text = text[:77] + "..."
    return "".join(character if character.isprintable() else "?" for character in text)
