"""The material beside the project (`../shared`): where it is, and marks that skip what needs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: DUMPKIT_SHARED names another place.
SHARED = Path(os.environ.get("DUMPKIT_SHARED", str(Path(__file__).resolve().parents[2] / "shared")))
DUMPS = SHARED / "dumps"
REFERENCE = SHARED / "reference"
SYMBOLS = SHARED / "symbols"

needs_shared = pytest.mark.skipif(not DUMPS.is_dir(), reason="../shared with its real dumps is not here")
needs_symbols = pytest.mark.skipif(not SYMBOLS.is_dir(), reason="../shared with its symbols is not here")


def dump(name: str) -> str:
    """The path of a real dump, by the name without its ending."""
    return str(DUMPS / f"{name}.dmp")
