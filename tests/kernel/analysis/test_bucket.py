"""The hash of failure buckets, on the pairs that WinDbg's public transcripts print."""

from __future__ import annotations

import pytest
from dumpkit.kernel.analysis.bucket import failure_hash


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("AV_fileinfo!FIPfFileFSOpPostCreate", "{b4048e5d-9388-9a34-9958-ec36d87bbe12}"),
        ("0x139_1d_INVALID_BALANCED_TREE_Driver!unknown_function", "{8ebd2998-ea64-b96c-aae8-2108d8c92247}"),
        ("AV_EvilDriver!unknown_function", "{0a02cf11-80e3-568b-892e-59d7b590ecbf}"),
        ("AV_W_(null)_Driver!unknown_function", "{2f4cb3f6-118f-01c9-d978-7b6c7a9a1257}"),
        ("0x13a_12_Driver!CreateRandomFile", "{ea91b8db-b8d2-b485-3fb8-7116e18cbc08}"),
        ("0xE3_TestDriver!FileCreationThread", "{b41d0cd9-1763-8d45-8d0a-0e6a6af02301}"),
    ],
)
def test_the_hash_is_the_transcripts(bucket: str, expected: str) -> None:
    assert failure_hash(bucket) == expected
