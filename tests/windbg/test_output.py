"""What is written to WinDbg's window: pieces that fit, links where they are taken."""

from __future__ import annotations

import io
from typing import Any, List

from dumpkit.launchers import windbg_command
from dumpkit.output import Span
from hypothesis import given
from hypothesis import strategies as st

from tests.windbg.fake_pykd import FakePykd


def output(takes_dml: bool) -> Any:
    from dumpkit.windbg.output import WindbgOutput

    return WindbgOutput(io.StringIO(), takes_dml, windbg_command)


def test_pieces_fit_one_write_and_nothing_is_lost(pykd: FakePykd) -> None:
    from dumpkit.windbg.output import writes

    @given(st.lists(st.text(max_size=30)), st.integers(1, 20))
    def holds(texts: List[str], longest: int) -> None:
        pieces = list(writes(texts, longest))
        assert "".join(pieces) == "".join(texts)
        assert all(0 < len(piece) <= longest for piece in pieces)

    holds()


def test_without_dml_lines_are_plain(pykd: FakePykd) -> None:
    shown = output(False)
    shown.line(("thread ", Span("ffff<1>", "address", "t ffff")))
    assert shown.stream.getvalue() == "thread ffff<1>\n"
    assert pykd.written == []


def test_with_dml_a_command_is_a_link_that_py_runs(pykd: FakePykd) -> None:
    output(True).line(("a < b ", Span("ffffb507729e3040", "address", "t ffffb507729e3040")))
    assert pykd.written == [('a &lt; b <link cmd="!py dumpkit.t ffffb507729e3040">ffffb507729e3040</link>\n', True)]


def test_a_link_with_quotes_is_escaped(pykd: FakePykd) -> None:
    output(True).line((Span("nt", "symbol", "lmvm nt"),))
    assert pykd.written[0][0] == '<link cmd="!py dumpkit &quot;lmvm nt&quot;">nt</link>\n'


def test_a_line_that_is_longer_than_a_write_is_parted(pykd: FakePykd) -> None:
    output(True).line("<" * 40_000)
    assert "".join(text for text, _ in pykd.written) == "&lt;" * 40_000 + "\n"
    assert max(len(text) for text, _ in pykd.written) <= 16_383


def test_links_are_never_parted(pykd: FakePykd) -> None:
    lines = [(Span(f"{number:x}", "address", f"t {number:x}"), " thread") for number in range(2000)]
    output(True).lines(lines)
    assert len(pykd.written) > 1
    assert all(text.count("<link") == text.count("</link>") for text, _ in pykd.written)


def test_links_are_for_windbg_and_not_for_programs_that_drive_the_engine(pykd: FakePykd) -> None:
    from dumpkit.windbg.output import takes_dml

    assert takes_dml()
    pykd.in_windbg = False
    assert not takes_dml()
