from __future__ import annotations

import pytest
from dumpkit.errors import CommandError
from dumpkit.typetext.request import DEFAULT_DEPTH, DEPTH_LIMIT, Step, parse, parse_field
from hypothesis import given
from hypothesis import strategies as st


def test_a_name_with_its_module_and_an_address():
    request = parse("nt!_KTHREAD ffff8504`29890ef0")
    assert (request.name, request.module, request.bare_name) == ("nt!_KTHREAD", "nt", "_KTHREAD")
    assert (request.address, request.fields, request.is_pattern) == ("ffff8504`29890ef0", (), False)


def test_fields_and_the_address_come_in_any_order():
    for text in ("_EPROCESS ImageFileName @$proc", "_EPROCESS @$proc ImageFileName"):
        request = parse(text)
        assert request.address == "@$proc"
        assert [path.text for path in request.fields] == ["ImageFileName"]


def test_hexadecimal_digits_are_an_address_and_n_makes_them_a_field():
    assert parse("_X Add").address == "Add"
    assert [path.text for path in parse("_X -n Add").fields] == ["Add"]
    assert parse("_X Added").address == "Added"
    assert [path.text for path in parse("_X Adds").fields] == ["Adds"]


def test_what_is_an_address_can_be_decided_elsewhere():
    request = parse("_X PsInitialSystemProcess Name", lambda word: word.startswith("Ps"))
    assert request.address == "PsInitialSystemProcess"
    assert [path.text for path in request.fields] == ["Name"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("-r _X", {"depth": DEFAULT_DEPTH}),
        ("-r1 _X", {"depth": 1}),
        ("-r999 _X", {"depth": DEPTH_LIMIT}),
        ("-r0 _X", {"depth": 0}),
        ("-b _X", {"block": True}),
        ("-v _X", {"verbose": True}),
        ("-c _X", {"compact": True}),
        ("-io _X", {"flat": True, "without_offsets": True}),
        ("-a _X", {"elements": -1}),
        ("-a5 _X", {"elements": 5}),
        ("-a5r2 _X", {"elements": 5, "depth": 2}),
        ("_X 1000 -l Links.Flink", {"list_field": "Links.Flink", "address": "1000"}),
        ("-e _X", {"types_only": True, "is_pattern": True}),
        ("-s 8 nt!*", {"size": 8, "types_only": True}),
        ("-y _KTH", {"partial": True, "is_pattern": True}),
        ("-p _X 1000", {"physical": True}),
        ("nt!_KT*", {"is_pattern": True}),
    ],
)
def test_options_of_dt_are_read(text, expected):
    request = parse(text)
    assert {name: getattr(request, name) for name in expected} == expected


def test_a_beginning_of_a_field():
    (path,) = parse("_X -y Wait 1000").fields
    assert (path.text, path.partial) == ("Wait", True)


def test_a_field_is_a_path_with_indices_and_patterns():
    path = parse_field("Tcb.Header.")
    assert (path.steps, path.all_members) == ((Step("Tcb"), Step("Header")), True)
    assert parse_field("a->b[3].c[1][0n10]").steps == (Step("a"), Step("b", (3,)), Step("c", (1, 10)))
    assert parse_field("Wait*").steps == (Step("Wait*"),)


@pytest.mark.parametrize("text", ["", "   ", "-r", "-q _X", "_X -l", "-s zz _X", "_X a[", "_X [1]", "_X a[x]", "_X .."])
def test_what_cannot_be_understood_is_refused_in_one_line(text):
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="abrtvyl-._>[]*!0123456789 @KX", max_size=40))
def test_any_words_give_a_request_or_a_command_error(text):
    try:
        assert parse(text).name
    except CommandError as refused:
        assert "\n" not in str(refused)
