"""The real engine as an oracle: what dbgeng prints for code and registers of our choosing.

DUMPKIT_RIG names the folder that `../shared/rig/setup.sh` made. The code stands in data blocks
appended to a temporary copy of a real triage dump.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from struct import calcsize, iter_unpack, pack, pack_into, unpack_from
from typing import Iterable, List, Sequence, Tuple

import pytest

from tests.shared import DUMPS, SYMBOLS

RIG = os.environ.get("DUMPKIT_RIG", "")
needs_engine = pytest.mark.skipif(
    not (RIG and (Path(RIG) / "ready").exists() and DUMPS.is_dir() and SYMBOLS.is_dir()),
    reason="DUMPKIT_RIG does not name a rig made by ../shared/rig/setup.sh",
)

#: File offset of DataBlocksOffset and DataBlocksCount in TRIAGE_DUMP64 (see dumpkit.dump.triage).
_BLOCKS = 0x2078
_BLOCK = "<QII"
_LINE = re.compile(r"^[0-9a-f]{8}`[0-9a-f]{8} ")


class Engine:
    """dbgeng on a copy of a dump that holds the given blocks of virtual memory too."""

    def __init__(self, folder: Path, dump: str, blocks: Sequence[Tuple[int, bytes]]) -> None:
        self.folder = folder
        self.dump = folder / "engine.dmp"
        data = bytearray((DUMPS / f"{dump}.dmp").read_bytes())
        offset, count = unpack_from("<II", data, _BLOCKS)
        descriptors = list(iter_unpack(_BLOCK, bytes(data[offset : offset + calcsize(_BLOCK) * count])))
        for address, content in blocks:
            descriptors.append((address, len(data), len(content)))
            data += content
        pack_into("<II", data, _BLOCKS, len(data), len(descriptors))
        data += b"".join(pack(_BLOCK, *descriptor) for descriptor in sorted(descriptors))
        self.dump.write_bytes(data)

    def run(self, commands: Iterable[str]) -> List[List[str]]:
        """The output lines of each command."""
        script = self.folder / "commands.txt"
        script.write_text("\n".join(commands) + "\n", encoding="ascii")
        empty = self.folder / "symbols"
        empty.mkdir(exist_ok=True)
        arguments = ["-y", _windows(empty), "-f", _windows(script), "-z", _windows(self.dump)]
        done = subprocess.run([str(Path(RIG) / "kd"), *arguments], capture_output=True, check=True)
        outputs: List[List[str]] = []
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            if re.match(r"^\d+: kd> ", line):
                outputs.append([])
            elif outputs and line:
                outputs[-1].append(line)
        return outputs

    def instructions(self, ranges: Iterable[Tuple[int, int]]) -> List[str]:
        """The lines of `u` over ranges of virtual addresses, the last one inclusive."""
        outputs = self.run(f"u {first:x} {last:x}" for first, last in ranges)
        return [line for output in outputs for line in output if _LINE.match(line)]


def _windows(path: Path) -> str:
    return "Z:" + str(path.resolve()).replace("/", "\\")
