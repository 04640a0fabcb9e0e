"""NamedTuple as typing has it, defined cheaply."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar, Optional

import pytest
from dumpkit.named_tuple import NamedTuple


class Place(NamedTuple):
    """A place with a default and a method."""

    address: int
    name: Optional[str] = None
    KIND: ClassVar[str] = "place"

    @property
    def label(self) -> str:
        return f"{self.name}@{self.address:x}"

    def __str__(self) -> str:
        return self.label


class Empty(NamedTuple):
    """Without fields."""


def test_it_is_a_tuple_with_names() -> None:
    place = Place(0x10, "nt")
    assert place == (0x10, "nt")
    assert isinstance(place, tuple)
    address, name = place
    assert (address, name) == (place.address, place.name)
    assert place.label == str(place) == "nt@10"
    assert hash(place) == hash((0x10, "nt"))
    assert Place.KIND == "place"
    assert Empty() == ()


def test_it_is_made_by_position_and_by_name() -> None:
    assert Place(1) == Place(address=1) == Place(address=1, name=None)
    assert Place(name="x", address=2) == (2, "x")
    with pytest.raises(TypeError):
        Place()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Place(1, "a", 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Place(1, other=2)  # type: ignore[call-arg]


def test_it_has_what_named_tuples_have() -> None:
    place = Place(1, "a")
    assert Place._fields == ("address", "name")
    assert Place._field_defaults == {"name": None}
    assert place._replace(name="b") == (1, "b")
    assert place._asdict() == {"address": 1, "name": "a"}
    assert Place._make([3, "c"]) == (3, "c")
    assert repr(place) == "Place(address=1, name='a')"
    with pytest.raises(ValueError, match="other"):
        place._replace(other=1)  # type: ignore[call-arg]


def test_it_cannot_be_changed_and_holds_nothing_else() -> None:
    place = Place(1)
    with pytest.raises(AttributeError):
        place.address = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        place.other = 2  # type: ignore[attr-defined]
    assert not hasattr(place, "__dict__")


def test_it_survives_pickling_and_copying() -> None:
    place = Place(1, "a")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(place, protocol))
        assert again == place
        assert type(again) is Place
    assert copy.copy(place) == copy.deepcopy(place) == place


def test_a_subclass_has_its_fields() -> None:
    class Named(Place):
        """More methods, no more fields."""

        def shout(self) -> str:
            return self.label.upper()

    named = Named(0xA, "nt")
    assert named.shout() == "NT@A"
    assert type(named._replace(address=1)) is Named
