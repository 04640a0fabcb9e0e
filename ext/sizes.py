"""Amounts of memory as mex prints them: `272 B`, `13.6 KB`, `86.52 MB`, `2 TB`."""

from __future__ import annotations

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def short_size(size: int) -> str:
    """Bytes in the largest unit of which there is one, with up to two decimals."""
    unit = 0
    while unit < len(_UNITS) - 1 and size >= 1 << 10 * (unit + 1):
        unit += 1
    text = f"{size / (1 << 10 * unit):.2f}".rstrip("0").rstrip(".")
    return f"{text} {_UNITS[unit]}"
