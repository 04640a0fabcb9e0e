"""volatility3 on the walkthrough dump, with an ISF table that its own converter makes of the forged PDB."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from tests.examples.walkthrough import FOLDER, built

volatility = pytest.importorskip("volatility3")
pytestmark = pytest.mark.slow
_KERNEL = 0xFFFF_FFFF_FFFF


@pytest.fixture(scope="module")
def symbols(tmp_path_factory) -> Path:
    """A folder of symbols for volatility."""
    folder = tmp_path_factory.mktemp("volatility")
    pdb = next(pdb for pdb in built()[1] if pdb.name == "ntkrnlmp.pdb")
    source = FOLDER / "symbols" / pdb.name / pdb.store_key / pdb.name
    converter = Path(volatility.__file__).parent / "framework" / "symbols" / "windows" / "pdbconv.py"
    made = folder / "made.json.xz"
    subprocess.run(
        [sys.executable, str(converter), "-f", str(source), "-o", str(made)], check=True, capture_output=True
    )
    table = json.loads(lzma.decompress(made.read_bytes()))
    # The converter knows no name of a PDB that it did not download.
    table["metadata"]["windows"]["pdb"]["database"] = pdb.name
    place = folder / "windows" / pdb.name
    place.mkdir(parents=True)
    (place / f"{pdb.codeview.guid}-1.json.xz").write_bytes(lzma.compress(json.dumps(table).encode()))
    return folder


def ask(symbols: Path, folder: Path, kind: int, plugin: str) -> List[Any]:
    path = folder / f"{kind}.dmp"
    built()[0].machine.save(path, kind)
    options = ["-q", "-r", "json", "--offline", "-s", str(symbols), "-f", str(path), plugin]
    program = [
        sys.executable,
        "-c",
        f"import sys, volatility3.cli; sys.argv = ['vol'] + {options}; volatility3.cli.main()",
    ]
    done = subprocess.run(program, check=True, capture_output=True, timeout=300)
    answer: List[Any] = json.loads(done.stdout[done.stdout.index(b"[") :])
    return answer


def test_volatility_finds_processes_and_threads_in_a_full_dump(symbols, tmp_path, agreement):
    processes = ask(symbols, tmp_path, 1, "windows.pslist")
    names = [row["ImageFileName"] for row in processes]
    agreement.holds("volatility3", "processes", names, ["System", "Registry", "smss.exe", "csrss.exe"])
    assert processes[0]["Offset(V)"] == 0xFFFFB5076A4EB040 & _KERNEL
    threads = ask(symbols, tmp_path, 1, "windows.threads")
    first = (threads[0]["Offset"], threads[0]["TID"])
    agreement.holds("volatility3", "threads", first, (0xFFFFB507729E3040 & _KERNEL, 0x26EC))


def test_volatility_finds_the_modules_in_a_bitmap_dump(symbols, tmp_path, agreement):
    modules = ask(symbols, tmp_path, 5, "windows.modules")
    wanted = [(image.name, image.base & _KERNEL, image.size) for image, _ in built()[0].machine.images]
    agreement.holds("volatility3", "modules", [(row["Name"], row["Base"], row["Size"]) for row in modules], wanted)


def test_volatility_tells_the_system(symbols, tmp_path, agreement):
    facts = {row["Variable"]: str(row["Value"]) for row in ask(symbols, tmp_path, 5, "windows.info")}
    found = [facts["Major/Minor"], facts["KeNumberProcessors"], facts["SystemTime"][:19]]
    agreement.holds("volatility3", "system", found, ["15.22621", "6", "2023-12-04 14:55:45"])
