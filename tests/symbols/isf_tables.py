"""Small ISF tables for the tests, in every wrapping that volatility knows."""

from __future__ import annotations

import bz2
import copy
import gzip
import json
import lzma
from pathlib import Path
from typing import Any, Callable, Dict, Optional

BASE_TYPES = {
    "char": {"endian": "little", "kind": "char", "signed": True, "size": 1},
    "unsigned char": {"endian": "little", "kind": "char", "signed": False, "size": 1},
    "short": {"endian": "little", "kind": "int", "signed": True, "size": 2},
    "unsigned short": {"endian": "little", "kind": "int", "signed": False, "size": 2},
    "long": {"endian": "little", "kind": "int", "signed": True, "size": 4},
    "unsigned long": {"endian": "little", "kind": "int", "signed": False, "size": 4},
    "long long": {"endian": "little", "kind": "int", "signed": True, "size": 8},
    "unsigned long long": {"endian": "little", "kind": "int", "signed": False, "size": 8},
    "f32": {"endian": "little", "kind": "float", "signed": True, "size": 4},
    "wchar": {"endian": "little", "kind": "int", "signed": True, "size": 2},
    "pointer": {"endian": "little", "kind": "int", "signed": False, "size": 8},
    "void": {"endian": "little", "kind": "void", "signed": True, "size": 0},
}


def base(name: str) -> Dict[str, Any]:
    return {"kind": "base", "name": name}


def struct(name: str) -> Dict[str, Any]:
    return {"kind": "struct", "name": name}


def union(name: str) -> Dict[str, Any]:
    return {"kind": "union", "name": name}


def enum(name: str) -> Dict[str, Any]:
    return {"kind": "enum", "name": name}


def pointer(subtype: Dict[str, Any]) -> Dict[str, Any]:
    return {"kind": "pointer", "subtype": subtype}


def array(subtype: Dict[str, Any], count: int) -> Dict[str, Any]:
    return {"kind": "array", "subtype": subtype, "count": count}


def bits(position: int, length: int, of: str = "unsigned long") -> Dict[str, Any]:
    return {"kind": "bitfield", "bit_position": position, "bit_length": length, "type": base(of)}


FUNCTION = {"kind": "function"}


def record(size: int, fields: Dict[str, Any], kind: str = "struct") -> Dict[str, Any]:
    """A user type; `fields` maps names to (offset, type)."""
    return {
        "kind": kind,
        "size": size,
        "fields": {name: {"offset": offset, "type": described} for name, (offset, described) in fields.items()},
    }


USER_TYPES = {
    "_LIST_ENTRY": record(
        16, {"Flink": (0, pointer(struct("_LIST_ENTRY"))), "Blink": (8, pointer(struct("_LIST_ENTRY")))}
    ),
    "_UNICODE_STRING": record(
        16,
        {
            "Length": (0, base("unsigned short")),
            "MaximumLength": (2, base("unsigned short")),
            "Buffer": (8, pointer(base("wchar"))),
        },
    ),
    "_LARGE_INTEGER": record(
        8,
        {"LowPart": (0, base("unsigned long")), "HighPart": (4, base("long")), "QuadPart": (0, base("long long"))},
        "union",
    ),
    "_GUEST": record(
        0x70,
        {
            "Header": (0, struct("_LARGE_INTEGER")),
            "State": (8, enum("_GUEST_STATE")),
            "Flags": (0xC, base("unsigned long")),
            "Invited": (0xC, bits(0, 1)),
            "Courses": (0xC, bits(1, 4)),
            "Links": (0x10, struct("_LIST_ENTRY")),
            "Host": (0x20, pointer(struct("_GUEST"))),
            "Name": (0x28, struct("_UNICODE_STRING")),
            "Initials": (0x38, array(base("unsigned char"), 8)),
            "Scores": (0x40, array(base("long"), 3)),
            "Weight": (0x4C, base("f32")),
            "Toast": (0x50, pointer(FUNCTION)),
            "Table": (0x58, array(struct("_LARGE_INTEGER"), 2)),
            "Mood": (0x68, base("char")),
            "__unnamed_u": (0x6C, union("_ROOM")),
        },
    ),
    "_ROOM": record(4, {"Number": (0, base("unsigned long")), "Floor": (2, base("unsigned short"))}, "union"),
}

ENUMS = {
    "_GUEST_STATE": {
        "base": "long",
        "size": 4,
        "constants": {"GuestSeated": 1, "GuestAbsent": 0, "GuestLost": -1, "GuestPresent": 1},
    }
}

SYMBOLS = {
    "GuestListHead": {"address": 0x3000},
    "PartyBegin": {"address": 0x1000},
    "PartyBeginEx": {"address": 0x1000},
    "$$label": {"address": 0x1000},
    "?Leave@Guest@@QEAAXXZ": {"address": 0x1200},
    "C_handler": {"address": 0x1100, "linkage_name": "_C_handler"},
    "??_C@_04TEXT@party@": {"address": 0x2000},
}


def table(**changes: Any) -> Dict[str, Any]:
    """A whole table; `changes` replace its sections."""
    made = {
        "metadata": {
            "format": "6.1.0",
            "producer": {"name": "tests", "version": "1"},
            "windows": {
                "pdb": {
                    "GUID": "0123456789ABCDEF0123456789ABCDEF",
                    "age": 2,
                    "database": "party.pdb",
                    "machine_type": 34404,
                }
            },
        },
        "base_types": BASE_TYPES,
        "user_types": USER_TYPES,
        "enums": ENUMS,
        "symbols": SYMBOLS,
    }
    made.update(changes)
    return copy.deepcopy(made)


WRAPPINGS: Dict[str, Optional[Callable[[bytes], bytes]]] = {
    "json": None,
    "json.xz": lzma.compress,
    "json.gz": gzip.compress,
    "json.bz2": bz2.compress,
}


def write(folder: Path, described: Any = None, ending: str = "json") -> Path:
    """Put a table in a file of that ending."""
    data = json.dumps(table() if described is None else described, sort_keys=True).encode()
    wrap = WRAPPINGS[ending]
    path = folder / f"party.{ending}"
    path.write_bytes(wrap(data) if wrap else data)
    return path
