"""The registry's description of a processor, from the values in a dump's tagged data."""

from __future__ import annotations

from struct import pack

from dumpkit.kernel.processor_key import processor_name, registry_values
from hypothesis import given
from hypothesis import strategies as st


def value(name: str, kind: int, data: bytes) -> bytes:
    text = (name + "\0").encode("utf-16-le")
    return pack("<I", len(text)) + text + pack("<II", kind, len(data)) + data


def text(words: str) -> bytes:
    return (words + "\0").encode("utf-16-le")


KEY = (
    value("~MHz", 4, pack("<I", 3600)) + value("ProcessorNameString", 1, text("A CPU @ 3 GHz  ")) + value("X", 3, b"ab")
)


def test_values_have_the_types_of_the_registry() -> None:
    assert registry_values(KEY) == {"~MHz": 3600, "ProcessorNameString": "A CPU @ 3 GHz  ", "X": b"ab"}


def test_the_processors_name_is_without_its_padding() -> None:
    assert processor_name(KEY) == "A CPU @ 3 GHz"
    assert processor_name(value("~MHz", 4, pack("<I", 1))) is None
    assert processor_name(value("ProcessorNameString", 1, text("   "))) is None


def test_a_cut_end_loses_the_last_value_alone() -> None:
    assert list(registry_values(KEY[:-1])) == ["~MHz", "ProcessorNameString"]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    assert isinstance(registry_values(data), dict)
