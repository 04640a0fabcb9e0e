"""The example examples/fast-mutex-irql as tests use it."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql"


@cache
def built() -> Any:
    """(Crash, PDBs) as the example's build.py makes them."""
    sys.path.insert(0, str(FOLDER))
    try:
        import build  # type: ignore[import-not-found]

        return build.build_crash()
    finally:
        sys.path.remove(str(FOLDER))
