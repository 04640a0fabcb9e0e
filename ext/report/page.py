"""The HTML of a self-contained page: elements, style, skeleton. Nothing is fetched from anywhere, and nothing runs."""

from __future__ import annotations

from html import escape

from dumpkit.output import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Optional, Sequence, Union

    from typing_extensions import TypeAlias


class Markup(str):
    """Text that is HTML already; any other string is text, which is escaped."""

    __slots__ = ()


Content: TypeAlias = "Union[str, Markup, Iterable[Union[str, Markup, None]], None]"


def element(tag: str, *content: Content, **attributes: Optional[str]) -> Markup:
    """An element. An attribute's name may end in `_` (`class_`); one that is None is left out."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{named}>{joined(content)}</{tag}>")


def joined(content: Union[Content, Iterable[Content]]) -> Markup:
    """Contents one behind the other, what is no markup escaped."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(escape(printable(content)))
    return Markup("".join(joined(each) for each in content))


def table(heads: Sequence[str], rows: Iterable[Sequence[Content]], class_: Optional[str] = None) -> Markup:
    """A table that a narrow screen can scroll; the rows' cells may be markup. Columns without any cell are left out."""
    filled = [[joined(cell) for cell in row] for row in rows]
    columns = [column for column in range(len(heads)) if not filled or any(row[column] for row in filled)]
    head = element("tr", [element("th", heads[column], scope="col") for column in columns])
    body = [element("tr", [element("td", row[column]) for column in columns]) for row in filled]
    inner = element("table", element("thead", head), element("tbody", body), class_=class_)
    return element("div", inner, class_="wide")


def section(title: str, *content: Content) -> Markup:
    """A part of the page with its heading, by which it can be linked to."""
    anchor = "".join(each if each.isalnum() else "-" for each in title.lower())
    return element("section", element("h2", title), *content, id=anchor)


def page(title: str, *content: Content) -> str:
    """A whole page."""
    body = element("body", element("main", *content))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing may be fetched, whatever a dump's strings hold.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f"{element('title', title)}<style>{_STYLE}</style></head>{body}</html>\n"
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--paper:#fff;--line:#d8dee4;--fill:#f3f5f7;--bad:#b3261e;
--badfill:#fdecea;--good:#1a7f37;--mark:#0b5cad;--held:#0b5cad}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--paper:#14171a;--line:#343b43;--fill:#1d2227;
--bad:#ff8a80;--badfill:#3a1b19;--good:#5fd07d;--mark:#7ab8ff;--held:#4c93d9}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:76rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
p{margin:.5rem 0;max-width:60rem;overflow-wrap:anywhere}
.lead{font-size:1.1rem}.soft{color:var(--soft)}.bad{color:var(--bad)}.good{color:var(--good)}.mark{font-weight:600}
code,pre,td.code,.mono{font:13px/1.45 ui-monospace,SFMono-Regular,Consolas,"DejaVu Sans Mono",monospace}
pre{background:var(--fill);padding:.75rem;overflow-x:auto;border-radius:6px}
.card{border:1px solid var(--line);border-left:4px solid var(--bad);background:var(--fill);border-radius:6px;
padding:.75rem 1rem;margin:1rem 0}
.card.cause{background:var(--badfill)}
.wide{overflow-x:auto}.together{white-space:nowrap}.words{min-width:16rem}.picture svg{min-width:40rem}
table{border-collapse:collapse;font-size:.875rem;min-width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td{font-variant-numeric:tabular-nums}
tr.hot td{background:var(--badfill)}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.15rem 1rem;margin:.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block}svg .held{fill:var(--held)}svg .none{fill:var(--fill)}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .box{fill:var(--fill);stroke:var(--line)}
svg .hot{stroke:var(--bad);stroke-width:2}svg .arrow{stroke:var(--soft);fill:none}
details{margin:.5rem 0}summary{cursor:pointer;color:var(--mark)}
nav a{margin-right:1rem;white-space:nowrap}a{color:var(--mark)}
footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){main{padding:.6rem}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
@media print{:root{--paper:#fff;--ink:#000;--fill:#f6f6f6}main{max-width:none;padding:0}.wide{overflow:visible}
table{font-size:8pt}code,pre,.mono{font-size:8pt}pre{white-space:pre-wrap}section{break-inside:auto}
h2{break-after:avoid}tr{break-inside:avoid}nav{display:none}details>*{display:block}}
"""
