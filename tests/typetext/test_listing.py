from __future__ import annotations

from dumpkit.symbols.isf import IsfFile
from dumpkit.typetext.listing import ListedName, TypeListing, matching_types
from dumpkit.typetext.request import parse

from tests.symbols import isf_tables as tables


def listed(folder, text: str) -> TypeListing:
    file = IsfFile(str(tables.write(folder)), cache=False)
    request = parse(text)
    return TypeListing(request, "party", matching_types(file, request))


def test_a_pattern_lists_the_types_that_it_matches(tmp_path):
    assert list(listed(tmp_path, "nt!_gu*").lines()) == ["          party!_GUEST", "          party!_GUEST_STATE"]
    assert [found.name for found in listed(tmp_path, "nt!*ENTRY").names] == ["_LIST_ENTRY"]
    assert [found.name for found in listed(tmp_path, "nt!_R??M").names] == ["_ROOM"]
    assert listed(tmp_path, "nt!Zz*").names == []


def test_a_beginning_and_a_size_select_too(tmp_path):
    assert [found.name for found in listed(tmp_path, "-y _L").names] == ["_LARGE_INTEGER", "_LIST_ENTRY"]
    assert [found.name for found in listed(tmp_path, "-s 10 nt!*").names] == ["_LIST_ENTRY", "_UNICODE_STRING"]


def test_sizes_and_addresses_are_shown_where_asked_for(tmp_path):
    listing = listed(tmp_path, "-v nt!_LI*")
    assert list(listing.lines()) == [
        "Enumerating symbols matching nt!_LI*",
        "Address   Size Symbol",
        "           010 party!_LIST_ENTRY",
    ]
    variable = listing._replace(names=[ListedName("gHead", 16, 0xFFFFF8048B58C0B8)])
    assert list(variable.lines())[2] == "fffff8048b58c0b8   010 party!gHead"
    plain = variable._replace(request=parse("nt!gH*"))
    assert list(plain.lines()) == ["fffff8048b58c0b8  party!gHead"]
