"""Everything that is read from PDBs against llvm-pdbutil and llvm-symbolizer, which read them on their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.types import EnumType, RecordType

from tests.shared import SYMBOLS

pytestmark = pytest.mark.skipif(shutil.which("llvm-pdbutil") is None, reason="llvm-pdbutil (Debian: llvm) is missing")

REAL = [
    SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb",
    SYMBOLS / "pdb" / "user32.pdb",
    SYMBOLS / "store" / "amdppm.pdb" / "1C19FDDB27BB3399D9B45973EFEAFCF31" / "amdppm.pdb",
]
NAMES = [path.stem for path in REAL] + ["driver", "shapes", "public", "wide"]


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest) -> Path:
    real = {known.stem: known for known in REAL}.get(request.param)
    if real is None:
        made: Path = request.getfixturevalue("compiled")(request.param)
        return made
    if not real.exists():
        pytest.skip("../shared with its symbols is not here")
    return real


def dump(path: Path, *options: str) -> str:
    done = subprocess.run(["llvm-pdbutil", "dump", *options, str(path)], capture_output=True, check=True, timeout=120)
    return done.stdout.decode("utf-8", "replace")


def report(what: str, count: int, differences: object) -> None:
    print(f"{what}: {count} compared, {differences} differences")  # noqa: T201 - the figures are what is asked for


def count_differences(ours: List[object], theirs: List[object]) -> int:
    left, right = Counter(ours), Counter(theirs)
    return sum(((left - right) + (right - left)).values())


def test_identity_and_sections_are_llvms(path):
    text = dump(path, "-summary", "-section-headers")
    pdb = PdbFile(str(path))
    guid = re.search(r"GUID: \{(.*)\}", text)
    assert guid is not None and pdb.guid == guid[1].replace("-", "")
    shown = re.findall(r"SECTION HEADER #\d+\n *(\S*) name\n *(\w+) virtual size\n *(\w+) virtual address", text)
    theirs = [(name, int(rva, 16), int(size, 16)) for name, size, rva in shown]
    ours = [(section.name, section.rva, section.size) for section in pdb.sections.sections]
    # A rearranged image has two tables: llvm-pdbutil shows the one of the image first, then the linker's.
    assert ours in (theirs, theirs[: len(ours)], theirs[len(ours) :])


def test_every_public_symbol_is_llvms(path):
    found = re.findall(r"\| S_PUB32 \[size = \d+\] `(.*)`\n *flags = (.*), addr = (\d+):(\d+)", dump(path, "-publics"))
    theirs = [(name, int(section), int(offset), "function" in flags) for name, flags, section, offset in found]
    ours = [
        (public.name.decode(), public.section, public.offset, public.function) for public in PdbFile(str(path)).publics
    ]
    differences = count_differences(ours, theirs)
    report(f"{path.name} publics", len(theirs), differences)
    assert differences == 0 and len(ours) == len(theirs)


def test_every_function_and_variable_is_llvms(path):
    functions = re.findall(
        r"\| S_[GL]PROC32(?:_ID)? \[size = \d+\] `(.*)`\n.*addr = (\d+):(\d+), code size = (\d+)",
        dump(path, "-symbols"),
    )
    variables = re.findall(r"\| S_[GL]DATA32 \[size = \d+\] `(.*)`\n.*addr = (\d+):(\d+)", dump(path, "-globals"))
    pdb = PdbFile(str(path))
    privates = list(pdb._privates or ())
    ours = {(each.name.decode(), each.section, each.offset, each.size) for each in privates if each.is_function}
    theirs = {(name, int(section), int(offset), int(size)) for name, section, offset, size in functions}
    report(f"{path.name} functions", len(theirs), len(ours ^ theirs))
    assert ours == theirs
    known = {(each.name.decode(), each.section, each.offset) for each in privates if not each.is_function}
    wanted = {(name, int(section), int(offset)) for name, section, offset in variables}
    report(f"{path.name} variables", len(wanted), len(wanted - known))
    assert wanted <= known


Entry = Tuple[str, str, int, int]


class LlvmTypes:
    """The records that `llvm-pdbutil dump -types` shows."""

    HEAD = re.compile(r"^ *(0x[0-9A-F]+) \| (LF_\w+) \[size = \d+\](?: `(.*)`)?$")
    FIELDS = (
        ("member", re.compile(r"LF_MEMBER \[name = `(.*)`, Type = (0x\w+).*, offset = (\d+), attrs")),
        ("static", re.compile(r"LF_STMEMBER \[name = `(.*)`, type = (0x\w+).*, attrs")),
        ("enumerator", re.compile(r"LF_ENUMERATE \[(.*) = (-?\d+)\]")),
        ("base", re.compile(r"LF_BCLASS\s+type = (0x\w+).*?, offset = (\d+)")),
        ("vbase", re.compile(r"LF_VBCLASS\s+base = (0x\w+).*?, vbptr = .*?, vbptr offset = (\d+)")),
        ("vfptr", re.compile(r"LF_VFUNCTAB\s+type = (0x\w+)")),
        ("index", re.compile(r"LF_INDEX\s+continuation = (0x\w+)")),
    )

    def __init__(self, text: str) -> None:
        self.records: Dict[int, Tuple[str, str, List[str]]] = {}
        body: List[str] = []
        for line in text.splitlines():
            head = self.HEAD.match(line)
            if head:
                body = []
                self.records[int(head[1], 16)] = (head[2], head[3] or "", body)
            elif body or line.startswith("      "):
                body.append(line)

    def entries(self, index: int) -> Iterator[Entry]:
        """(kind, name, offset or value, type) of each entry of a field list."""
        while index:
            text = "\n".join(self.records[index][2])
            index = 0
            for piece in re.split(r"^ *- (?=LF_)", text, flags=re.M):
                for kind, pattern in self.FIELDS:
                    found = pattern.match(piece)
                    if found is None:
                        continue
                    if kind == "index":
                        index = int(found[1], 16)
                    elif kind in ("member", "static"):
                        yield kind, found[1], int(found[3]) if kind == "member" else 0, int(found[2], 16)
                    elif kind == "enumerator":
                        yield kind, found[1], int(found[2]), 0
                    else:
                        yield kind, "", int(found[2]) if kind != "vfptr" else 0, int(found[1], 16)


def test_every_type_with_every_member_is_llvms(path):
    types = LlvmTypes(dump(path, "-types"))
    pdb = PdbFile(str(path))
    counts: Counter = Counter()
    differences = []
    for index, (leaf, name, body) in types.records.items():
        head = "\n".join(body)
        if f"{leaf}" not in ("LF_STRUCTURE", "LF_CLASS", "LF_UNION", "LF_ENUM", "LF_INTERFACE"):
            continue
        ours = pdb.types.at(index)
        forward = re.search(r"forward ref \(-> (0x\w+)\)", head)
        if forward:
            counts["forward references"] += 1
            if ours is not pdb.types.at(int(forward[1], 16)):
                differences.append((hex(index), name))
            continue
        if "forward ref" in head:
            continue
        fields = re.search(r"field list: (0x\w+)", head)
        theirs = list(types.entries(int(fields[1], 16))) if fields else []
        size = re.search(r"sizeof (\d+)", head)
        if isinstance(ours, EnumType):
            counts["enumerations"] += 1
            # Clang writes negative values as unsigned numbers; they are read as what they stand for.
            limit = 1 << 8 * ours.size
            equal = [(entry[1], entry[2] % limit) for entry in theirs] == [
                (name, value % limit) for name, value in ours.enumerators
            ]
        else:
            counts["records"] += 1
            assert isinstance(ours, RecordType)
            equal = size is not None and ours.size == int(size[1]) and len(ours.members) == len(theirs)
            for member, (kind, member_name, offset, type_index) in zip(ours.members, theirs):
                equal &= (member.kind, member.offset) == (kind, offset) and member.type is pdb.types.at(type_index)
                equal &= member.name == member_name or kind in ("base", "vbase", "vfptr")
        counts["entries"] += len(theirs)
        if not equal or ours.name != name:
            differences.append((hex(index), name))
    names = {
        record[1]
        for record in types.records.values()
        if record[0] in ("LF_STRUCTURE", "LF_CLASS", "LF_UNION", "LF_ENUM")
    }
    assert names == set(pdb.type_names())
    report(f"{path.name} types {dict(counts)}", sum(counts.values()), differences[:5] or 0)
    assert differences == []


def llvm_lines(text: str) -> Iterator[Tuple[str, int, int, int]]:
    """(file, section, offset, line) of each entry that `llvm-pdbutil dump -l` shows."""
    file, section = "", 0
    for line in text.splitlines():
        block = re.match(r"^  (\d{4}):[0-9A-F]{8}-[0-9A-F]{8}, line/addr entries = \d+$", line)
        if block:
            section = int(block[1])
        elif re.match(r"^ *\d+ [0-9A-F]{8} ", line):
            for number, offset in re.findall(r"(\d+) ([0-9A-F]{8}) [! ]", line):
                yield file, section, int(offset, 16), int(number)
        elif line and not line.startswith(("Mod ", " ", "=")):
            file = re.sub(r" \((?:MD5|SHA-\d+|no checksum).*$", "", line)


def test_every_line_is_llvms(path):
    theirs = list(llvm_lines(dump(path, "-l")))
    pdb = PdbFile(str(path))
    ours = [
        (module.lines.file_name(entry.file), entry.section, entry.offset, entry.number)
        for index in range(len(pdb._dbi.modules))
        for module in [pdb._privates.module(index) if pdb._privates is not None else None]
        if module is not None
        for block in module.lines.blocks
        for entry in block.entries
    ]
    differences = count_differences(ours, theirs)
    report(f"{path.name} lines", len(theirs), differences)
    assert differences == 0


def inline_stacks(image: Path, addresses: List[int]) -> List[List[Tuple[str, str]]]:
    """(function, line) of each function inlined at an address, innermost first, as llvm-symbolizer has it of DWARF."""
    done = subprocess.run(
        ["llvm-symbolizer", f"--obj={image}", "--functions", "--inlines", "--relative-address"],
        input="".join(f"0x{rva:x}\n" for rva in addresses),
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    stacks = []
    for answer in done.stdout.split("\n\n")[: len(addresses)]:
        rows = answer.strip().splitlines()
        stacks.append([(rows[at], rows[at + 1].rsplit(":", 2)[1]) for at in range(0, len(rows) - 2, 2)])
    return stacks


def plain(function: str) -> str:
    """A C++ function's name without its result, arguments and template arguments, which only DWARF tells."""
    before = function.split("(")[0]
    while "<" in before:
        before = re.sub(r"<[^<>]*>", "", before)
    return before.split(" ")[-1]


@pytest.mark.parametrize("name", ["driver", "shapes"])
def test_every_byte_of_code_has_the_inline_stack_that_dwarf_gives_it(compiled, name):
    if shutil.which("llvm-symbolizer") is None:
        pytest.skip("llvm-symbolizer (Debian: llvm) is missing")
    pdb = PdbFile(str(compiled(name)))
    image = compiled(f"{name}-dwarf").with_suffix(".exe")
    code = [
        rva for each in pdb.symbols() if each.is_function and each.size for rva in range(each.rva, each.rva + each.size)
    ]
    theirs = inline_stacks(image, code)
    ours = [[(inline.name, str(inline.number)) for inline in pdb.inlines(rva)] for rva in code]
    if name == "shapes":
        theirs = [[(plain(function), line) for function, line in stack] for stack in theirs]
        ours = [[(plain(function), line) for function, line in stack] for stack in ours]
    differences = sum(left != right for left, right in zip(ours, theirs))
    report(f"{name} inline stacks", len(code), differences)
    assert differences == 0 and sum(map(bool, theirs)) > 50
