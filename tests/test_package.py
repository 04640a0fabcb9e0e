"""What pyproject.toml packs is what the folders hold."""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent


def setuptools_table() -> Dict[str, Any]:
    table: Dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return table


def package_folders() -> Iterator[Path]:
    for top in ("ext", "commands", "symbols"):
        for start in (ROOT / top).rglob("__init__.py"):
            yield start.parent


def test_every_folder_with_modules_is_a_package_of_the_wheel() -> None:
    table = setuptools_table()
    packed = {str(Path(folder)) for folder in table["package-dir"].values()}
    assert packed == {str(folder.relative_to(ROOT)) for folder in package_folders()}
    assert set(table["packages"]) == set(table["package-dir"])


def test_every_table_beside_the_modules_is_packed_with_them() -> None:
    table = setuptools_table()
    names = {str(Path(folder)): package for package, folder in table["package-dir"].items()}
    for folder in package_folders():
        patterns = table["package-data"].get(names[str(folder.relative_to(ROOT))], [])
        for file in folder.iterdir():
            if file.is_file() and file.suffix != ".py":
                assert any(fnmatch(file.name, pattern) for pattern in patterns), f"{file} is not packed"


def test_every_pattern_of_packed_data_fits_a_file() -> None:
    table = setuptools_table()
    for package, patterns in table["package-data"].items():
        folder = ROOT / table["package-dir"][package]
        for pattern in patterns:
            assert any(folder.glob(pattern)), f"nothing fits {pattern} in {package}"
