"""Rows that earlier runs computed: a small file for each, so that no dump is analysed twice.

A row is known by the dump's path, size and time of change, by dumpkit's version, and by what the symbol path leads to.
Nothing here fails a run: a file that cannot be read is not there, one that cannot be written is not written.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

from dumpkit import __version__
from dumpkit.symbols.isf_cache import default_folder
from dumpkit.triage.row import FIELDS, SCHEMA, Row
from dumpkit.triage.sources import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Optional, Tuple

#: The folder keeps so many rows; the longest unused go first.
ROWS_KEPT = 50_000


class KnownRows:
    """The rows in a folder, for one symbol path."""

    def __init__(self, symbols: Optional[str], folder: Optional[Path] = None) -> None:
        self._folder = folder if folder is not None else Path(default_folder()) / "triage"
        self._symbols = symbols or ""

    def has(self, source: Source) -> bool:
        """Whether there is a row of a source as it is now."""
        path = self._path(source)
        return path is not None and path.exists()

    def get(self, source: Source) -> Optional[Row]:
        """The row of a source as it is now, or None."""
        path = self._path(source)
        if path is None:
            return None
        try:
            row = json.loads(path.read_text("utf-8"))
            os.utime(path)
        except (OSError, ValueError):
            return None
        # Fields may have been added since it was kept.
        return row if isinstance(row, dict) and row.get("schema") == SCHEMA and list(row) == list(FIELDS) else None

    def put(self, source: Source, row: Row) -> None:
        """Keep a row. It is there whole or not at all, whenever the run is ended."""
        path = self._path(source)
        if path is None:
            return
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(row), "utf-8")
            partial.replace(path)
        except OSError:
            return

    def prune(self) -> None:
        """Delete the rows that were not used for longest, beyond `ROWS_KEPT`."""
        aged = []
        for path in self._folder.glob("*/*.json"):
            try:
                aged.append((path.stat().st_mtime_ns, path))
            except OSError:
                continue
        aged.sort()
        for _, path in aged[: max(len(aged) - ROWS_KEPT, 0)]:
            path.unlink(missing_ok=True)

    def _path(self, source: Source) -> Optional[Path]:
        try:
            status = os.stat(source.path)
        except OSError:
            return None
        facts: Dict[str, Any] = {
            "path": os.path.realpath(source.path),
            "member": source.member,
            "stamp": (status.st_size, status.st_mtime_ns),
            "version": __version__,
            "schema": SCHEMA,
            "symbols": (self._symbols, list(self._stamps(source))),
        }
        name = sha256(json.dumps(facts).encode()).hexdigest()
        return self._folder / name[:2] / f"{name[2:34]}.json"

    def _stamps(self, source: Source) -> Iterator[Tuple[str, int]]:
        """The folders that symbols may come from, each with the time of its last change."""
        beside = os.path.join(os.path.dirname(os.path.realpath(source.path)), "symbols")
        words = f"{self._symbols};{os.environ.get('_NT_SYMBOL_PATH', '')}".replace("*", ";").split(";")
        for folder in [beside, *words]:
            try:
                yield folder, os.stat(os.path.expanduser(folder)).st_mtime_ns
            except OSError:
                continue
