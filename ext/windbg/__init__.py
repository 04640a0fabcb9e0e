"""WinDbg's engine, through pykd, as a Target. Importing this needs pykd: it is what reaches the engine."""

from __future__ import annotations

try:
    import pykd
except ImportError as error:
    _NEEDED = (
        "dumpkit.windbg needs pykd, which is for Windows: pip install dumpkit[windbg] for the Python that !py runs"
    )
    raise ImportError(f"{_NEEDED} ({error})") from None

__all__ = ["pykd"]
