"""PDBs that clang and lld-link make of the sources beside the tests, and a symbol server with its store."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest

from tests.forge.symbol_server import SymbolServerFixture

SOURCES = Path(__file__).parent / "sources"
_CLANG = ["clang", "--target=x86_64-pc-windows-msvc", "-O1", "-ffunction-sections", "-fms-extensions"]
_CPP = ["-fno-exceptions", "-fno-rtti"]
_CODEVIEW = ["-g", "-gcodeview"]
_DWARF = ["-gdwarf-4"]
_LINK = ["lld-link", "/nologo", "/nodefaultlib"]
_DRIVER = ["/driver", "/subsystem:native", "/entry:DriverEntry", "/opt:icf"]
_PROGRAM = ["/subsystem:native", "/entry:EntryPoint"]
#: Name -> source, what the compiler is told, what the linker is told.
_HOW = {
    "driver": ("driver.c", _CODEVIEW, [*_DRIVER, "/debug"]),
    "shapes": ("shapes.cpp", [*_CPP, *_CODEVIEW], [*_PROGRAM, "/debug"]),
    # As `shapes`, with nothing but the names that the linker knows.
    "public": ("shapes.cpp", _CPP, [*_PROGRAM, "/debug"]),
    # The same code with DWARF, which says on its own what was inlined where.
    "driver-dwarf": ("driver.c", _DWARF, [*_DRIVER, "/debug:dwarf"]),
    "shapes-dwarf": ("shapes.cpp", [*_CPP, *_DWARF], [*_PROGRAM, "/debug:dwarf"]),
    # Lists of members of more than 64 KB, which go on in further records.
    "wide": ("wide.c", _CODEVIEW, [*_PROGRAM, "/debug"]),
}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the PDB of one of the sources; its image lies beside it. Skips the test without clang and lld-link."""
    folder = tmp_path_factory.mktemp("compiled")
    made: Dict[str, Path] = {}

    def make(name: str) -> Path:
        missing = [tool for tool in ("clang", "lld-link") if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{' and '.join(missing)} (Debian: clang, lld) are not installed")
        if name == "wide":
            (folder / "wide.c").write_text(wide_source())
        if name not in made:
            made[name] = compile_pdb(folder, name, *_HOW[name])
        return made[name]

    return make


def compile_pdb(folder: Path, name: str, source: str, options: List[str], link: List[str]) -> Path:
    """Compile and link a source (of the project, or in `folder`) into an image with a PDB of that name."""
    place = SOURCES / source if (SOURCES / source).exists() else folder / source
    made, image, pdb = folder / f"{name}.obj", folder / f"{name}.exe", folder / f"{name}.pdb"
    subprocess.run([*_CLANG, *options, "-c", str(place), "-o", str(made)], check=True, timeout=120)
    subprocess.run([*_LINK, *link, f"/out:{image}", f"/pdb:{pdb}", str(made)], check=True, timeout=120)
    return pdb


def wide_source() -> str:
    """A record and an enumeration of several thousand entries."""
    members = "\n".join(f"    int member_number_{number}; unsigned bits_{number} : 3;" for number in range(2500))
    enumerators = ", ".join(f"EnumeratorNumber{number} = {number * 7919 - 900000}" for number in range(4000))
    return (
        f"struct Wide {{\n{members}\n}} wide;\nenum Many {{ {enumerators} }} many;\n"
        "int EntryPoint(void) { return wide.member_number_3 + many; }\n"
    )


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback interface is reached without this machine's proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[SymbolServerFixture]:
    with SymbolServerFixture() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
