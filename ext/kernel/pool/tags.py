"""What pool tags stand for.

Microsoft's list is a file of its debuggers (triage\\pooltag.txt, one `tag - binary - description` a line, with `?` and
`*` in tags); a user's copy is looked for beside the dump, at DUMPKIT_POOLTAG, and where the debuggers are installed.
Without one, a few tags are told that public documents name, in dumpkit's own words.
"""

from __future__ import annotations

import os

from dumpkit.kernel.pool.block import tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

FILE_NAME = "pooltag.txt"
#: No such file is nearly as large.
_LARGEST_FILE = 16 << 20

#: tag|binary|description. MmSt, V2lg and Scbf as public transcripts show them, the others in dumpkit's own words.
_KNOWN = """
MmSt|nt!mm|Mm section object prototype ptes
File|nt!io|File objects
Irp |nt!io|I/O request packets
Mdl |nt!io|Memory descriptor lists
Driv|nt!io|Driver objects
Devi|nt!io|Device objects
IoNm|nt!io|Names of I/O parse procedures
Thre|nt!ps|Thread objects
Proc|nt!ps|Process objects
Job |nt!ps|Job objects
Toke|nt!se|Token objects
Even||Event objects
Muta||Mutant objects
Sema||Semaphore objects
Time||Timer objects
Sect|nt!mm|Section objects
Key |nt!cm|Key objects
Dire|nt!ob|Object directories
SymL|nt!ob|Symbolic link objects
ObNm|nt!ob|Object names
ObHd|nt!ob|Object handle count databases
Obtb|nt!ob|Object tables (handles)
CM31|nt!cm|Configuration manager: registry hives
MmCa|nt!mm|Control areas of mapped files
MmLd|nt!mm|Load module entries
Vad |nt!mm|Virtual address descriptors
VadS|nt!mm|Virtual address descriptors, short
VadF|nt!mm|Virtual address descriptors of private memory
EtwB|nt!etw|Event tracing buffers
Ntfx|ntfs.sys|File system structures of NTFS
Ntff|ntfs.sys|File control blocks of NTFS
NtfF|ntfs.sys|File control blocks of NTFS
FMfn|fltmgr.sys|File name information
FMsl|fltmgr.sys|Stream lists
FIPc|fileinfo.sys|Prefetch contexts of FileInfo
Scb?||Mass storage driver tags
"""


class TagDescription(NamedTuple):
    """What a tag stands for; `binary` is empty where nothing says who uses it, `source` the file or "dumpkit"."""

    text: str
    binary: str
    source: str


class PoolTags:
    """Descriptions of tags: from the user's pooltag.txt where there is one, else the few that are built in."""

    def __init__(self, dump: str = "") -> None:
        self._exact: Dict[str, TagDescription] = {}
        self._patterns: List[Tuple[str, TagDescription]] = []
        for path in _places(dump):
            text = _read(path)
            if text is not None:
                self.source = path
                self._take(_lines_of(text), path)
                return
        self.source = "dumpkit"
        self._take(_built_in(), "dumpkit")

    def _take(self, rows: Iterator[Tuple[str, str, str]], source: str) -> None:
        for tag, binary, text in rows:
            described = TagDescription(text, binary, source)
            if "?" in tag or "*" in tag:
                self._patterns.append((tag, described))
            else:
                self._exact.setdefault(tag, described)

    def describe(self, tag: int) -> Optional[TagDescription]:
        """What a tag stands for, or None. Tags are told apart by case; the most exact pattern wins."""
        text = tag_text(tag & ~PROTECTED)
        found = self._exact.get(text)
        if found is None:
            fitting = [(len(pattern.rstrip("?*")), row) for pattern, row in self._patterns if fits(text, pattern)]
            found = max(fitting, key=lambda item: item[0])[1] if fitting else None
        return found


def fits(tag: str, pattern: str) -> bool:
    """Whether a tag of four characters fits a pattern: `?` is one character, `*` any number; case counts."""
    for place, character in enumerate(pattern):
        if character == "*":
            rest = pattern[place + 1 :]
            return not rest or any(fits(tag[at:], rest) for at in range(place, len(tag) + 1))
        if place >= len(tag) or character not in ("?", tag[place]):
            return False
    return len(pattern) == len(tag)


def _built_in() -> Iterator[Tuple[str, str, str]]:
    for line in _KNOWN.strip().splitlines():
        tag, binary, text = line.split("|")
        yield tag, binary, text


def _lines_of(text: str) -> Iterator[Tuple[str, str, str]]:
    """(tag, binary, description) of the lines of a pooltag.txt that have them."""
    for line in text.splitlines():
        # A tag may begin or end with a space, so it is what stands in front of the first " - ".
        tag, dash, rest = line.partition(" - ")
        if not dash or line.lstrip().startswith(("rem", "//", ";")) or not 0 < len(tag.strip()) <= 4:
            continue
        binary, dash, description = rest.partition(" - ")
        if not dash:
            binary, description = "", rest
        binary = binary.strip()
        tag = tag.rstrip() if "*" in tag else tag[:4].ljust(4)
        yield tag, "" if binary.startswith("<unknown") else binary, description.strip()


def _places(dump: str) -> Iterator[str]:
    named = os.environ.get("DUMPKIT_POOLTAG")
    if named:
        yield os.path.join(named, FILE_NAME) if os.path.isdir(named) else named
    if dump:
        yield os.path.join(os.path.dirname(dump), FILE_NAME)
    if os.name == "nt":
        for variable in ("ProgramFiles(x86)", "ProgramFiles", "ProgramW6432"):
            folder = os.environ.get(variable)
            if folder:
                yield os.path.join(folder, "Windows Kits", "10", "Debuggers", "x64", "triage", FILE_NAME)


def _read(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_FILE).decode("latin-1")
    except OSError:
        return None
