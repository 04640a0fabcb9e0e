"""Runs in the rig's Windows Python: a module's names and types as the engine tells them, beside those of its PDB.

    python fallback.py REQUEST.json ANSWER.json

The request has the dump, the symbol path, the package's folder and the module; the answer what differs.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    sys.path.insert(0, request["package"])
    import pykd

    pykd.initialize()
    pykd.loadDump(request["dump"])
    pykd.dbgCommand(f".sympath {request['symbols']}")
    pykd.dbgCommand(".reload")
    from dumpkit.symbols.pdb import PdbFile
    from dumpkit.windbg.names import EngineNames
    from dumpkit.windbg.target import PykdTarget

    target = PykdTarget()
    module = target.module_named(request["module"])
    assert module is not None
    target.symbols.load(module)
    pdb = PdbFile(target.symbols.symbol_file(module) or "")
    asked = EngineNames(target.engine, module, pdb.path)
    types = [name for name in pdb.type_names() if "unnamed" not in name and "<" not in name]
    different = {}
    for name in types:
        here, there = shape(pdb.type(name)), shape(asked.type(name))
        if here != there:
            different[name] = [each for each in (*here, *there) if (each in here) != (each in there)][:6]
    names = [symbol for symbol in pdb.symbols() if symbol.name.isidentifier()]
    lost = [symbol.name for symbol in names if asked.find(symbol.name) is None]
    moved = [symbol.name for symbol in names if (asked.find(symbol.name) or symbol).rva != symbol.rva]
    near = [symbol.name for symbol in names if (asked.nearest(symbol.rva + 1) or symbol).rva > symbol.rva + 1]
    answer = {"types": len(types), "different": different, "names": len(names), "lost": lost, "moved": moved + near}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def shape(type) -> list:
    """What counts of a layout: each member's name, place, size and kind."""
    from dumpkit.symbols.types import BitfieldType, EnumType, RecordType, flat_members

    if isinstance(type, EnumType):
        return [type.size, *sorted(type.enumerators)]
    if not isinstance(type, RecordType):
        return [repr(type)]
    rows = [[type.size]]
    for member in flat_members(type):
        if member.kind == "static":
            continue
        inner = member.type
        row = [member.name, member.offset, inner.size, inner.__class__.__name__]
        if isinstance(inner, BitfieldType):
            row += [inner.position, inner.length]
        rows.append(row)
    return rows


main()
