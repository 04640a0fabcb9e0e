"""A pykd where there is none, for the tests that need no engine."""

from __future__ import annotations

import sys
from typing import Iterator

import pytest

from tests.windbg.fake_pykd import FakePykd


@pytest.fixture
def pykd(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePykd]:
    """The fake, imported by `dumpkit.windbg`, which is imported anew."""
    fake = FakePykd()
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("dumpkit.windbg.")}
    kept.update({name: sys.modules.pop(name) for name in ("dumpkit.windbg",) if name in sys.modules})
    monkeypatch.setitem(sys.modules, "pykd", fake)
    yield fake
    for name in [name for name in sys.modules if name == "dumpkit.windbg" or name.startswith("dumpkit.windbg.")]:
        del sys.modules[name]
    sys.modules.update(kept)
