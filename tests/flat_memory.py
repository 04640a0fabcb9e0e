"""An address space made of byte runs, for tests of what reads memory."""

from __future__ import annotations

from typing import Dict

from dumpkit.memory import AddressSpace


class FlatMemory(AddressSpace):
    """Bytes at virtual addresses; everything else is a hole."""

    def __init__(self, runs: Dict[int, bytes]) -> None:
        self.runs = {address: bytearray(data) for address, data in runs.items()}
        self.reads = 0

    def read_prefix(self, address: int, size: int) -> bytes:
        self.reads += 1
        for start, data in self.runs.items():
            if start <= address < start + len(data):
                return bytes(data[address - start : address - start + size])
        return b""

    def explain(self, address: int) -> str:
        return "readable" if self.read_prefix(address, 1) else "not in the test's memory"

    def put(self, address: int, data: bytes) -> None:
        """Write bytes inside a run."""
        for start, run in self.runs.items():
            if start <= address and address + len(data) <= start + len(run):
                run[address - start : address - start + len(data)] = data
                return
        raise AssertionError(f"no run holds {address:x}")
