"""Symbol paths in WinDbg's syntax."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.symbols.path import (
    MICROSOFT_SERVER,
    Cache,
    Chain,
    Folder,
    default_store,
    parse_symbol_path,
    shown,
)
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def home(monkeypatch):
    """One default store, whatever machine this is."""
    monkeypatch.setenv("DBGHELP_HOMEDIR", "/dbg")


DEFAULT = str(Path("/dbg/sym"))


@pytest.mark.parametrize(
    ("text", "element"),
    [
        ("/symbols", Folder("/symbols")),
        ("  /my symbols  ", Folder("/my symbols")),
        ('"/my symbols"', Folder("/my symbols")),
        ("relative", Folder("relative")),
        ("cache*", Cache(DEFAULT)),
        ("cache*/cache", Cache("/cache")),
        ("CACHE*/cache", Cache("/cache")),
        ("srv*", Chain((), MICROSOFT_SERVER)),
        ("SRV*", Chain((), MICROSOFT_SERVER)),
        ("srv**", Chain((DEFAULT,), None)),
        ("srv*https://host/sym", Chain((), "https://host/sym")),
        ("srv*https://host/sym/", Chain((), "https://host/sym")),
        ("srv**https://host/sym", Chain((DEFAULT,), "https://host/sym")),
        ("srv*/cache*https://host/sym", Chain(("/cache",), "https://host/sym")),
        ("srv*/cache*/middle*http://host/sym", Chain(("/cache", "/middle"), "http://host/sym")),
        ("srv*/cache*/store", Chain(("/cache", "/store"), None)),
        ("srv*/cache**/cache*http://h", Chain(("/cache", DEFAULT), "http://h")),
        ("symsrv*symsrv.dll*/cache*http://h/s", Chain(("/cache",), "http://h/s")),
        ("SymSrv*SYMSRV.DLL**http://h/s", Chain((DEFAULT,), "http://h/s")),
        ("symsrv*symsrv*/store", Chain(("/store",), None)),
        ("/cache*/store", Chain(("/cache", "/store"), None)),
        ("http://host/sym", Chain((), "http://host/sym")),
    ],
)
def test_an_element_is_understood_as_windbg_does(text, element):
    path = parse_symbol_path(text, platform="linux")
    assert (path.elements, path.problems) == ((element,), ())


@pytest.mark.parametrize(
    ("text", "element"),
    [
        ("c:\\sym", Folder("c:\\sym")),
        ("\\\\server\\share", Folder("\\\\server\\share")),
        ("srv*c:\\cache*\\\\server\\share*https://h/s", Chain(("c:\\cache", "\\\\server\\share"), "https://h/s")),
        ("cache*d:\\c", Cache("d:\\c")),
    ],
)
def test_drive_letters_and_shares_are_folders_on_windows(text, element):
    path = parse_symbol_path(text, platform="win32")
    assert (path.elements, path.problems) == ((element,), ())


def test_elements_stay_in_order_and_empty_ones_are_left_out():
    path = parse_symbol_path(";/a;;cache*/b; ;srv*/c*http://h;", platform="linux")
    assert path.elements == (Folder("/a"), Cache("/b"), Chain(("/c",), "http://h"))
    assert path.problems == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("symsrv*other.dll*/cache", "symbol server other.dll is not supported, only symsrv.dll"),
        ("symsrv*symsrv.dll", "no store behind symsrv.dll"),
        ("srv*http://a/b*/cache", "a web address must be the last store of its chain"),
        ("srv*http://a*http://b", "a web address must be the last store of its chain"),
        ("cache*/a*/b", "a cache is one folder"),
        ("cache*http://a", "a cache is one folder"),
        ("ftp://host/sym", "only http and https are supported"),
        ("srv*/cache*file:///sym", "only http and https are supported"),
        ("/a\0b", "contains a NUL character"),
    ],
)
def test_an_element_that_cannot_be_used_is_told_and_costs_no_other(text, problem):
    path = parse_symbol_path(f"/before;{text};/behind", platform="linux")
    assert path.elements == (Folder("/before"), Folder("/behind"))
    assert len(path.problems) == 1
    assert path.problems[0].endswith(problem)


def test_windows_paths_elsewhere_are_told_and_the_server_behind_them_still_serves():
    path = parse_symbol_path("srv*c:\\symbols*https://h/s;d:\\sym;srv*\\\\a\\b", platform="linux")
    assert path.elements == (Chain((), "https://h/s"),)
    assert [problem.split(":", 1)[0] for problem in path.problems] == ["c", "d", "\\\\a\\b"]


def test_a_password_in_an_address_is_never_shown():
    path = parse_symbol_path("srv*http://me:secret@host/x*/cache")
    assert "secret" not in path.problems[0]
    assert shown("srv*https://me:secret@host/x") == "srv*https://host/x"


def test_a_bare_srv_is_written_out_as_the_engine_does():
    path = parse_symbol_path("cache*/c;srv*;srv*/x*http://a/b")
    assert path.expanded == f"cache*/c;SRV*{MICROSOFT_SERVER};srv*/x*http://a/b"


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert parse_symbol_path("~/sym;srv*~/c*http://h").elements == (
        Folder("/home/me/sym"),
        Chain(("/home/me/c",), "http://h"),
    )


def test_no_server_is_asked_unless_the_path_names_one():
    assert parse_symbol_path("").elements == ()


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"ProgramData": "D:\\Data"}, "win32", "D:\\Data\\dbg\\sym"),
        ({}, "win32", "C:\\ProgramData\\dbg\\sym"),
        ({"XDG_CACHE_HOME": "/var/me"}, "linux", "/var/me/dumpkit/sym"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", str(Path.home() / ".cache/dumpkit/sym")),
        ({}, "linux", str(Path.home() / ".cache/dumpkit/sym")),
        ({}, "darwin", str(Path.home() / "Library/Caches/dumpkit/sym")),
        ({"DBGHELP_HOMEDIR": "/dbg"}, "linux", DEFAULT),
    ],
)
def test_the_default_store_is_windbgs_on_windows_and_a_cache_folder_elsewhere(environ, platform, folder):
    assert default_store(environ, platform) == folder


def test_a_path_without_end_is_cut_off_and_said_so():
    assert "cut off after 65536 characters" in parse_symbol_path("a" * 100_000).problems[0]
    path = parse_symbol_path("a;" * 2000)
    assert len(path.elements) == 1024
    assert "cut off after 1024 elements" in path.problems[0]


PIECES = st.sampled_from(
    ["srv", "cache", "symsrv", "*", ";", "**", "symsrv.dll", "http://h/s", "c:\\x", "/x", "~", '"', " ", "\\\\s\\h"]
)


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join)))
def test_no_text_whatever_makes_parsing_fail(text: str):
    for platform in ("linux", "win32"):
        path = parse_symbol_path(text, platform)
        assert len(path.elements) <= text.count(";") + 1
        assert all(problem.isprintable() for problem in path.problems)
        for element in path.elements:
            if isinstance(element, Chain):
                assert element.stores or element.url
                assert element.url is None or element.url.lower().startswith(("http://", "https://"))
            else:
                assert element.path
