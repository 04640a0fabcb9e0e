"""The tables of an image as bytes: exports, imports, debug data, load configuration, relocations.

Layouts as Microsoft's "PE Format" and winnt.h have them. Every address is an RVA unless it says otherwise.
"""

from __future__ import annotations

from struct import pack
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

CODEVIEW, POGO, REPRO = 2, 13, 16


class Export(NamedTuple):
    """An exported name: `target` is an RVA, the name of something in the image, or a forwarder "module.name"."""

    name: Optional[str]
    target: Union[int, str]


class Import(NamedTuple):
    """An imported function: `address` is what the loader wrote in its slot (None: nothing was bound)."""

    name: str
    address: Optional[int] = None
    hint: int = 0
    #: Imported by ordinal; the name is only for this image's own symbols then.
    ordinal: Optional[int] = None


class ImportedModule(NamedTuple):
    """An imported image by its file name, with its imports in the order of their slots."""

    name: str
    imports: Sequence[Import]


class CodeView(NamedTuple):
    """What leads to the PDB; `guid` is 32 hexadecimal digits in the order of a symbol store's key."""

    pdb_name: str
    guid: str
    age: int = 1


def rsds(codeview: CodeView) -> bytes:
    """The RSDS record."""
    return b"RSDS" + guid_bytes(codeview.guid) + pack("<I", codeview.age) + codeview.pdb_name.encode() + b"\0"


def guid_bytes(guid: str) -> bytes:
    """A GUID of 32 hexadecimal digits as it lies in memory."""
    raw = bytes.fromhex(guid)
    return raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]


def pogo(groups: Sequence[Tuple[int, int, str]]) -> bytes:
    """The list of section groups (RVA, size, name) that the linker leaves in the debug data."""
    data = b"\0\0\0\0"
    for rva, size, name in groups:
        text = name.encode() + b"\0"
        data += pack("<II", rva, size) + text + bytes(-len(text) % 4)
    return data


def debug_directory(entries: Sequence[Tuple[int, int, int, int]], timestamp: int) -> bytes:
    """Entries of (type, size, RVA, file offset)."""
    return b"".join(pack("<IIHHIIII", 0, timestamp, 0, 0, *entry) for entry in entries)


def export_table(exports: Sequence[Tuple[Optional[str], Union[int, str]]], rva: int, base: int, name: str) -> bytes:
    """An export directory with all that belongs to it, to lie at `rva`; a target that is text is a forwarder."""
    names = sorted((name.encode(), index) for index, (name, _) in enumerate(exports) if name is not None)
    functions_at = rva + 40
    names_at = functions_at + 4 * len(exports)
    ordinals_at = names_at + 4 * len(names)
    texts_at = ordinals_at + 2 * len(names)
    texts = bytearray()

    def text(value: bytes) -> int:
        place = texts_at + len(texts)
        texts.extend(value + b"\0")
        return place

    name_at = text(name.encode())
    functions = [target if isinstance(target, int) else text(target.encode()) for _, target in exports]
    places = [text(name) for name, _ in names]
    counts = (base, len(exports), len(names), functions_at, names_at, ordinals_at)
    arrays = pack(f"<{len(functions)}I", *functions) + pack(f"<{len(places)}I", *places)
    ordinals = pack(f"<{len(names)}H", *(index for _, index in names))
    return pack("<IIHHI", 0, 0, 0, 0, name_at) + pack("<6I", *counts) + arrays + ordinals + bytes(texts)


class ImportTables(NamedTuple):
    """Import tables ready to be placed."""

    #: Directory, name tables and texts, to lie at the directory's RVA.
    directory: bytes
    directory_size: int
    #: The slots as the file has them, to lie at the IAT's RVA.
    slots: bytes
    #: RVA of each import's slot, in the order of the modules.
    slot_rvas: Sequence[Sequence[int]]


def slot_places(modules: Sequence[ImportedModule], iat_rva: int) -> List[List[int]]:
    """RVA of each import's slot: eight bytes each, and a zero behind each module's."""
    places, at = [], iat_rva
    for module in modules:
        places.append([at + 8 * index for index in range(len(module.imports))])
        at += 8 * len(module.imports) + 8
    return places


def import_tables(modules: Sequence[ImportedModule], rva: int, iat_rva: int, delayed: bool = False) -> ImportTables:
    """Import tables as a linker writes them: directory, import name tables, hints and names.

    `delayed` makes them delay-import descriptors instead (module handles lie behind the texts).
    """
    places = slot_places(modules, iat_rva)
    entry = 32 if delayed else 20
    size = entry * (len(modules) + 1)
    lookup_at = rva + (size + 7 & ~7)
    texts_at = lookup_at + sum(8 * len(module.imports) + 8 for module in modules)
    lookups, texts, descriptors = b"", bytearray(), b""
    for module, slots in zip(modules, places):
        lookup_rva = lookup_at + len(lookups)
        lookups += b"".join(pack("<Q", _lookup(each, texts, texts_at)) for each in module.imports) + bytes(8)
        name_rva = texts_at + len(texts)
        texts += _even(module.name.encode() + b"\0")
        if delayed:
            handle_rva = texts_at + len(texts) + (-len(texts) % 8)
            texts += bytes(-len(texts) % 8 + 8)
            descriptors += pack("<8I", 1, name_rva, handle_rva, slots[0], lookup_rva, 0, 0, 0)
        else:
            descriptors += pack("<5I", lookup_rva, 0, 0, name_rva, slots[0])
    directory = (descriptors + bytes(entry)).ljust(lookup_at - rva, b"\0") + lookups + bytes(texts)
    return ImportTables(directory, size, lookups, places)


def _lookup(each: Import, texts: bytearray, texts_at: int) -> int:
    if each.ordinal is not None:
        return 1 << 63 | each.ordinal
    place = texts_at + len(texts)
    texts += _even(pack("<H", each.hint) + each.name.encode() + b"\0")
    return place


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def load_config(members: Dict[str, int]) -> bytes:
    """IMAGE_LOAD_CONFIG_DIRECTORY64; `members` are virtual addresses as the file has them, or numbers."""
    places = {
        "SecurityCookie": 0x58,
        "GuardCFCheckFunctionPointer": 0x70,
        "GuardCFDispatchFunctionPointer": 0x78,
        "GuardCFFunctionTable": 0x80,
        "GuardCFFunctionCount": 0x88,
    }
    data = bytearray(0x140)
    data[0:4] = pack("<I", len(data))
    data[0x90:0x94] = pack("<I", members.get("GuardFlags", 0x100))
    for name, value in members.items():
        if name != "GuardFlags":
            data[places[name] : places[name] + 8] = pack("<Q", value)
    return bytes(data)


LOAD_CONFIG_POINTERS = {
    "SecurityCookie": 0x58,
    "GuardCFCheckFunctionPointer": 0x70,
    "GuardCFDispatchFunctionPointer": 0x78,
    "GuardCFFunctionTable": 0x80,
}


def relocations(rvas: Iterable[int]) -> bytes:
    """Base relocations (DIR64) in blocks of a page."""
    pages: Dict[int, List[int]] = {}
    for rva in sorted(rvas):
        pages.setdefault(rva & ~0xFFF, []).append(0xA000 | rva & 0xFFF)
    data = b""
    for page, entries in pages.items():
        if len(entries) % 2:
            entries.append(0)
        data += pack("<II", page, 8 + 2 * len(entries)) + pack(f"<{len(entries)}H", *entries)
    return data


def checksum(file: bytes, place: int) -> int:
    """The image checksum: 16-bit words with carries, the field itself at `place` left out, plus the file's size."""
    data = file[:place] + bytes(4) + file[place + 4 :]
    data += bytes(len(data) % 2)
    total = sum(memoryview(data).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(file) & 0xFFFF_FFFF
