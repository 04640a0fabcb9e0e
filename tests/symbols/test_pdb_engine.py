"""What Microsoft's engine says of each PDB, against what is read here: `ln` by address, `x` by name, lines."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest
from dumpkit.symbols.pdb import PdbFile

from tests.forge.rig import RIG, needs_rig
from tests.forge.small_image import rsds
from tests.shared import SYMBOLS

pytestmark = [pytest.mark.rig, needs_rig]

BASE = 0x140000000
REAL = {
    "amdppm": SYMBOLS / "store" / "amdppm.pdb" / "1C19FDDB27BB3399D9B45973EFEAFCF31" / "amdppm.pdb",
    "user32": SYMBOLS / "pdb" / "user32.pdb",
    "ntkrnlmp-19041-public": SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb",
}
NAMES = [*REAL, "driver", "shapes", "public"]
_PE_AT, _OPTIONAL_SIZE = 0x80, 240
#: What divides the engine's answers; no name holds it.
_MARK = "=-=-="

#: (RVA of the symbol or None where it was removed, name, displacement); -1 stands for `<PERF>`.
Place = Tuple[Optional[int], str, int]


def image_for(pdb: PdbFile, name: str) -> bytes:
    """The headers of the image that a PDB belongs to: its sections, and a CodeView record that names the PDB."""
    sections = pdb.sections.sections
    codeview = rsds(pdb.guid, pdb.age, name)
    debug_at = (_PE_AT + 24 + _OPTIONAL_SIZE + 40 * len(sections) + 15) & ~15
    size = max(section.end for section in sections) + 0xFFF & ~0xFFF
    head = bytearray((debug_at + 28 + len(codeview) + 0x1FF) & ~0x1FF)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, _PE_AT)
    struct.pack_into("<4sHHIIIHH", head, _PE_AT, b"PE", 0x8664, len(sections), 1, 0, 0, _OPTIONAL_SIZE, 0x2022)
    optional = _PE_AT + 24
    struct.pack_into("<HBBIIIII", head, optional, 0x20B, 14, 0, 0, 0, 0, 0, 0x1000)
    struct.pack_into("<QIIHHHHHHIIIIHHQQQQII", head, optional + 24, BASE, 0x1000, 0x200, 10, 0, 10, 0, 10, 0, 0, size,
                     len(head), 0, 1, 0, 0x100000, 0x1000, 0x100000, 0x1000, 0, 16)  # fmt: skip
    struct.pack_into("<II", head, optional + 112 + 6 * 8, debug_at, 28)
    for index, section in enumerate(sections):
        struct.pack_into("<8sII20xI", head, optional + _OPTIONAL_SIZE + 40 * index, section.name.encode(),
                         section.size, section.rva, section.characteristics)  # fmt: skip
    struct.pack_into("<IIHHIIII", head, debug_at, 0, 1, 0, 0, 2, len(codeview), debug_at + 28, debug_at + 28)
    head[debug_at + 28 : debug_at + 28 + len(codeview)] = codeview
    return bytes(head)


class Engine:
    """The engine on an image, opened as a dump, with the PDB beside it."""

    def __init__(self, folder: Path, image: str) -> None:
        self._folder = folder
        self._image = image

    def run(self, script: str) -> str:
        path = self._folder / "script.txt"
        path.write_text(script)
        folder = "Z:" + str(self._folder).replace("/", "\\")
        command = [str(Path(RIG) / "kd"), "-y", folder, "-z", f"{folder}\\{self._image}", f"$$><{folder}\\script.txt"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=600)
        return done.stdout.decode("utf-8", "replace")

    def nearest(self, addresses: List[int], lines: bool = False) -> Dict[int, str]:
        """RVA -> the text of `ln`."""
        asked = "".join(f".echo {_MARK}{rva:x}\nln {BASE + rva:x}\n" for rva in addresses)
        answers = self.run((".lines -e\n" if lines else "") + asked + f".echo {_MARK}end\n").split(_MARK)[1:]
        found = {}
        for answer in answers:
            head, _, text = answer.partition("\n")
            if re.fullmatch("[0-9a-f]+", head.strip()):
                found[int(head, 16)] = text.strip()
        return found


@pytest.fixture(params=NAMES)
def opened(request, tmp_path) -> Tuple[PdbFile, Engine]:
    name = request.param
    if name in REAL and not REAL[name].exists():
        pytest.skip("../shared with its symbols is not here")
    source = REAL.get(name) or request.getfixturevalue("compiled")(name)
    pdb = PdbFile(str(source))
    shutil.copy(source, tmp_path / f"{name}.pdb")
    (tmp_path / f"{name}.exe").write_bytes(image_for(pdb, f"{name}.pdb"))
    return pdb, Engine(tmp_path, f"{name}.exe")


def number(text: str) -> int:
    value = int(text.replace("`", ""), 16)
    return value - (1 << 64) if value >> 63 else value


def place_of(text: str) -> Place:
    """The first half of what `ln` prints."""
    found = re.match(r"\(([0-9a-f`]+)\)\s+\S+?!(.*?)(\+0x[0-9a-f`]+)?\s*(?:\||\n|$)", text, re.DOTALL)
    assert found is not None, text
    address = number(found[1])
    return address - BASE if address else None, found[2].rstrip(), number(found[3][1:]) if found[3] else 0


def addresses_of(pdb: PdbFile) -> List[int]:
    """Every start, its neighbours, and 2,000 random addresses of the image; of a kernel only some, for which the
    engine takes 50 ms each."""
    chance = random.Random(5)
    starts, count = sorted({symbol.rva for symbol in pdb.symbols()}), 2000
    if len(starts) > 5000:
        starts, count = chance.sample(starts, 60), 100
    end = max(section.end for section in pdb.sections.sections)
    near = {rva + distance for rva in starts for distance in (-1, 0, 5)}
    return sorted(near | {chance.randrange(end) for _ in range(count)})


@pytest.mark.slow
def test_every_address_is_located_where_the_engine_places_it(opened):
    pdb, engine = opened
    answers = engine.nearest(addresses_of(pdb))
    differences = []
    for rva, text in answers.items():
        theirs = place_of(text)
        located = pdb.locate(rva)
        assert located is not None
        ours = located.symbol.rva, located.symbol.name, -1 if located.displacement is None else located.displacement
        # The engine has no address for a symbol that was removed.
        if ours != theirs and (theirs[0] is not None or ours[1:] != theirs[1:]):
            differences.append((hex(rva), theirs, ours))
    print(f"{pdb.path}: {len(answers)} addresses, {len(differences)} differences")  # noqa: T201
    assert len(answers) > 250 and differences == []


@pytest.mark.slow
def test_the_engine_lists_the_same_names_at_the_same_places(opened):
    pdb, engine = opened
    answer = engine.run(f".echo {_MARK}\nx *!*\n.echo {_MARK}end\n").split(_MARK)[1]
    listed = re.findall(
        r"^([0-9a-f]{8}`[0-9a-f]{8}) +[^ !]+!(.*?)(?: =.*| \([^()]*(?:\(.*\))?[^()]*\))?$", answer, re.M
    )
    inlined = re.findall(r"^([0-9a-f]{8}`[0-9a-f]{8}) +[^ !]+!(.*?) =  \(inline.*$", answer, re.M)
    theirs = Counter((number(address) - BASE, name) for address, name in listed)
    theirs -= Counter((number(address) - BASE, name) for address, name in inlined)
    ours = Counter((symbol.rva, symbol.name) for symbol in pdb.symbols() if symbol.name != "`string'")
    print(f"{pdb.path}: {sum(theirs.values())} names")  # noqa: T201
    assert ours == theirs


@pytest.mark.parametrize("opened", ["driver", "shapes"], indirect=True)
def test_every_byte_of_code_has_the_engines_line(opened):
    pdb, engine = opened
    functions = [symbol for symbol in pdb.symbols() if symbol.is_function and symbol.size]
    code = [rva for symbol in functions for rva in range(symbol.rva, symbol.rva + symbol.size + 4)]
    differences = lines = 0
    for rva, text in engine.nearest(code, lines=True).items():
        shown = re.match(r"(/.*)\((\d+)\)(?:\+0x([0-9a-f]+))?\n", text)
        theirs = (shown[1], int(shown[2]), int(shown[3] or "0", 16)) if shown else None
        line = pdb.line(rva)
        differences += theirs != ((line.file, line.number, rva - line.rva) if line is not None else None)
        lines += theirs is not None
    assert differences == 0 and lines > 400
