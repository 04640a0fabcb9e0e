"""Records are dataclasses to everyone who asks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from dumpkit.output import Hex, data
from dumpkit.record import Record


class Place(Record):
    address: Hex
    name: str = "nowhere"
    _shown: bool = True


class Named(Place):
    size: int = 0


def test_fields_are_given_by_place_or_by_name_and_have_defaults() -> None:
    assert Place(Hex(1)) == Place(address=Hex(1), name="nowhere", _shown=True)
    assert Place(Hex(1), "here") != Place(Hex(1))
    assert Named(Hex(1), size=3)._fields == ("address", "name", "_shown", "size")


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((Hex(1),), {"other": 2}), ((Hex(1),), {"address": Hex(1)}), ((1, 2, 3, 4), {})]
)
def test_missing_unknown_doubled_and_surplus_fields_are_refused(values: tuple, named: dict) -> None:
    with pytest.raises(TypeError, match="Place"):
        Place(*values, **named)


def test_a_record_is_frozen_and_hashable() -> None:
    place = Place(Hex(1))
    with pytest.raises(AttributeError, match="frozen"):
        place.name = "there"  # type: ignore[misc]
    assert len({place, Place(Hex(1))}) == 1
    assert repr(place) == "Place(address=0x1, name='nowhere', _shown=True)"


def test_dataclasses_functions_work_on_it() -> None:
    place = Place(Hex(1), "here")
    assert dataclasses.is_dataclass(place)
    assert [field.name for field in dataclasses.fields(place)] == ["address", "name", "_shown"]
    assert dataclasses.asdict(place)["name"] == "here"


def test_json_leaves_out_what_is_for_rendering() -> None:
    assert data(Place(Hex(16))) == {"address": "0x10", "name": "nowhere"}


def test_importing_the_commands_does_not_import_dataclasses() -> None:
    code = "import sys, dumpkit.commands.di, dumpkit.commands.stack; sys.exit('dataclasses' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
