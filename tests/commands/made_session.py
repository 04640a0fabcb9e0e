"""Sessions on a made dump with symbols, for the tests of commands that show names and types."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from dumpkit.dump import open_dump
from dumpkit.session import Session

from tests.running import session_on
from tests.symbol_lab import write_dump, write_kernel_table, write_store

__all__ = ["in_memory", "own_places", "session"]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No symbol path and no caches of whoever runs the tests."""
    for name in ("_NT_SYMBOL_PATH", "_NT_ALT_SYMBOL_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUMPKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


def _session(folder: Path, in_memory: bool) -> Iterator[Session]:
    store = write_store(folder / "store")
    write_kernel_table(store)
    target = open_dump(write_dump(folder / "dump", in_memory), symbol_path=str(store))
    yield session_on(target)
    target.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Nothing of the driver's image is in the dump."""
    yield from _session(tmp_path, False)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Session]:
    """The driver's image is in the dump."""
    yield from _session(tmp_path, True)
