"""What the commands' tests keep away from: files of this machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_tag_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pool tags are described by what stands beside the dump alone."""
    monkeypatch.delenv("DUMPKIT_POOLTAG", raising=False)
