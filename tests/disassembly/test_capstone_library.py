"""The two ways to capstone."""

from __future__ import annotations

import subprocess
import sys
from typing import Optional, Tuple

import pytest
from dumpkit.disassembly import capstone_library
from dumpkit.disassembly.capstone_library import Decoded, decoder
from dumpkit.errors import DumpkitError
from hypothesis import given, settings
from hypothesis import strategies as st

X64 = (3, 8)
ARM64 = (1, 0)


def test_the_first_instruction_of_the_bytes_is_decoded() -> None:
    assert decoder("x64")(bytes.fromhex("48894c2408c3"), 0x1000) == Decoded(5, "mov", "qword ptr [rsp + 8], rcx")
    assert decoder("ARM64")(bytes.fromhex("60020191"), 0x1000) == Decoded(4, "add", "x0, x19, #0x40")


def test_what_is_no_instruction_gives_nothing() -> None:
    assert decoder("x64")(b"", 0) is None
    assert decoder("x64")(b"\x60", 0) is None
    assert decoder("x64")(bytes.fromhex("488b"), 0) is None


@settings(max_examples=300, deadline=None)
@given(code=st.binary(max_size=16), address=st.integers(0, 2**64 - 1), kind=st.sampled_from([X64, ARM64]))
def test_library_and_package_read_the_same(code: bytes, address: int, kind: Tuple[int, int]) -> None:
    library = capstone_library._load()
    if library is None:
        pytest.skip("capstone's package brings no library of its own here")
    direct = capstone_library._library_decoder(library, *kind)
    assert direct(code, address) == capstone_library._package_decoder(*kind)(code, address)


def test_without_its_library_the_package_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capstone_library, "_load", lambda: None)
    assert decoder("x64")(b"\xc3", 0) == Decoded(1, "ret", "")


def test_without_capstone_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Optional[object] = None
    monkeypatch.setattr(capstone_library, "_load", lambda: None)
    monkeypatch.setitem(sys.modules, "capstone", missing)
    with pytest.raises(DumpkitError, match="needs the package capstone"):
        decoder("x64")


def test_decoding_does_not_import_the_package() -> None:
    if capstone_library._load() is None:
        pytest.skip("capstone's package brings no library of its own here")
    script = (
        "import sys; from dumpkit.disassembly import disassembler; from dumpkit.registers import X64; "
        "disassembler(X64).decode(bytes([0xC3]), 0); print('capstone' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"
