"""The disassembly in the engine's reference output, line by line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.registers import ARM64, X64

from tests.shared import REFERENCE, needs_shared

_MODULE = re.compile(r"^([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8})   (\S+)")
_LINE = re.compile(r"^([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{2,30}) +\S")


def references() -> List[Path]:
    """The outputs of the engine that hold disassembly; it refuses two of the files."""
    if not REFERENCE.is_dir():
        return []
    return [path for path in sorted(REFERENCE.glob("*.kd.txt")) if "kd> u @$ip" in path.read_text(encoding="utf-8")]


def block(lines: List[str], command: str) -> List[str]:
    """The output of a command."""
    found: List[str] = []
    inside = False
    for line in lines:
        if re.match(r"^\d+: kd> ", line):
            inside = line.split("> ", 1)[1] == command
        elif inside:
            found.append(line)
    return found


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


def module_names(lines: List[str]) -> Callable[[int], Optional[str]]:
    modules: List[Tuple[int, int, str]] = []
    for line in block(lines, "lm"):
        match = _MODULE.match(line)
        if match:
            modules.append((number(match.group(1)), number(match.group(2)), match.group(3)))

    def name(address: int) -> Optional[str]:
        for base, end, module in modules:
            if base <= address < end:
                return f"{module}+0x{address - base:x}" if address > base else module
        return None

    return name


@needs_shared
@pytest.mark.parametrize("path", references(), ids=lambda path: path.name.split(".")[0])
def test_every_instruction_of_the_reference_is_printed_alike(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    shown = [line for line in block(lines, "u @$ip L8") if _LINE.match(line)]
    assert len(shown) == 8
    names = module_names(lines)
    for line in shown:
        match = _LINE.match(line)
        assert match is not None
        raw = bytes.fromhex(match.group(2))
        machine = ARM64 if "arm64" in path.name else X64
        if machine is ARM64:
            raw = raw[::-1]
        assert disassembler(machine).decode(raw, number(match.group(1)), names).line() == line
