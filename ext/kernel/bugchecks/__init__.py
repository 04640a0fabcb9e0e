"""Bugchecks: their names, what their arguments mean, and where the failing context of each is to be found.

The knowledge is text: `names.tsv` has every code's name, `descriptions.txt` a section for each code that is known
better, in a form that its head explains. A code is looked up in the text; nothing is parsed that is not asked for.
"""

from __future__ import annotations

import os

from dumpkit.functions import cache
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple

#: What a triage dump's code carries beside the code (DUMP_TYPE_TRIAGE dumps of Windows before 10, and of exceptions).
TRIAGE_FLAG = 0x1000_0000


class Bugcheck(Record):
    """A bugcheck with four arguments, described."""

    #: Without the triage flag.
    code: int
    #: "DRIVER_IRQL_NOT_LESS_OR_EQUAL"; None for a code that is not known.
    name: Optional[str]
    #: What happened, as lines; empty where nothing is known but the name.
    text: Tuple[str, ...]
    #: What each argument means: None where nothing stands there, "" where WinDbg shows an empty text.
    labels: Tuple[Optional[str], ...]
    #: The other keys of the section: "context", "fault" and so on.
    rules: Dict[str, str]

    def rule(self, name: str) -> List[List[str]]:
        """A rule's alternatives in their order, each as words; empty where the code has no such rule."""
        return [words.split() for words in self.rules.get(name, "").split(",") if words.strip()]


def bare_code(code: int) -> int:
    """A stop code without the flag of triage dumps."""
    return code & ~TRIAGE_FLAG if code & TRIAGE_FLAG and code >> 28 == 1 else code


@cache
def _file(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def bugcheck_name(code: int) -> Optional[str]:
    """The name of a code. That of a triage dump has _M behind it where Windows gives it a name of its own."""
    names = _file("names.tsv")
    for number in (code, bare_code(code)):
        start = names.find(f"\n{number:x}\t")
        if start >= 0:
            name = names[names.index("\t", start) + 1 : names.index("\n", start + 1)]
            return name if number == code else f"{name}_M"
    return None


def described_codes() -> Iterator[int]:
    """The codes that have a description, ascending as in the file."""
    titles = (line[1:-1] for line in _file("descriptions.txt").splitlines() if line.startswith("["))
    return (int(title, 16) for title in titles if ":" not in title)


def _section(title: str) -> Dict[str, str]:
    """The keys of a section, their lines joined; empty where there is no such section."""
    text = _file("descriptions.txt")
    start = text.find(f"\n[{title}]\n") + 1
    end = text.find("\n[", start)
    keys: Dict[str, str] = {}
    key = ""
    for line in text[start : end if end >= 0 else None].splitlines()[1:] if start else ():
        if line[:1] == " ":
            keys[key] += "\n" + line[8:]
        elif line:
            key, _, value = line.partition(" ")
            keys[key] = value.strip()
    return keys


def _subtype(code: int, value: int) -> Dict[str, str]:
    """The keys of a code's section for a value: its own, or that of a range that the value lies in."""
    found = _section(f"{code:x}:{value:x}")
    if found:
        return found
    prefix = f"\n[{code:x}:"
    text = _file("descriptions.txt")
    start = text.find(prefix)
    while start >= 0:
        title = text[start + 2 : text.index("]", start)]
        first, _, last = title.partition(":")[2].partition("-")
        if last and int(first, 16) <= value <= int(last, 16):
            return _section(title)
        start = text.find(prefix, start + 1)
    return {}


def describe(code: int, parameters: Sequence[int]) -> Bugcheck:
    """What is known of a bugcheck with these four arguments; `code` may carry the triage flag."""
    bare = bare_code(code)
    keys = _section(f"{bare:x}")
    text = keys.pop("text", "")
    chooser = keys.pop("subtype", None)
    if chooser is not None:
        special = _subtype(bare, parameters[int(chooser) - 1] & 0xFFFF_FFFF)
        text += "\n" + special.pop("text") if "text" in special else ""
        keys.update(special)
    labels = [keys.pop(str(number), None) for number in range(1, 5)]
    return Bugcheck(bare, bugcheck_name(code), tuple(text.splitlines()), tuple(labels), keys)
