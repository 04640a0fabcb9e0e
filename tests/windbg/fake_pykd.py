"""A pykd for tests without the rig: it answers from what a test gives it, and raises what pykd raises."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple


class DbgException(Exception):
    """As pykd's."""


class MemoryException(DbgException):
    """As pykd's."""


class TypeException(DbgException):
    """As pykd's."""


class SymbolException(DbgException):
    """As pykd's."""


class FakePykd(ModuleType):
    """`memory` and `physical` are bytes by address; `commands` what each command prints."""

    DbgException = DbgException
    MemoryException = MemoryException
    TypeException = TypeException
    SymbolException = SymbolException
    dumpType = SimpleNamespace(KernelSmall="KernelSmall")

    def __init__(self) -> None:
        super().__init__("pykd")
        self.memory: Dict[int, int] = {}
        self.physical: Dict[int, int] = {}
        self.registers: Dict[str, int] = {}
        self.commands: Dict[str, str] = {}
        self.expressions: Dict[str, int] = {}
        self.modules: List[Any] = []
        self.is_kernel = True
        self.is_dump = True
        self.dump_type = "KernelSmall"
        self.in_windbg = True
        self.written: List[Tuple[str, bool]] = []
        self.asked: List[str] = []
        self.bugcheck: Optional[Tuple[int, int, int, int, int]] = None

    def put(self, address: int, data: bytes, physical: bool = False) -> None:
        """Give memory its bytes."""
        memory = self.physical if physical else self.memory
        memory.update((address + index, byte) for index, byte in enumerate(data))

    def loadBytes(self, address: int, size: int, physical: bool = False) -> List[int]:
        memory = self.physical if physical else self.memory
        try:
            return [memory[address + index] for index in range(size)]
        except KeyError:
            raise MemoryException(f"Memory exception at {address:#x}") from None

    def loadQWords(self, address: int, count: int, physical: bool = False) -> List[int]:
        data = bytes(self.loadBytes(address, 8 * count, physical))
        return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]

    def reg(self, name: str) -> int:
        if name not in self.registers:
            raise DbgException(f"invalid register name {name}")
        return self.registers[name]

    def expr(self, text: str) -> int:
        if text not in self.expressions:
            raise DbgException("Call IDebugControl::Evaluate failed")
        return self.expressions[text]

    def dbgCommand(self, text: str) -> Optional[str]:
        self.asked.append(text)
        if text not in self.commands:
            raise DbgException("Call IDebugControl::ExecuteWide failed\nHRESULT 0x80040205")
        return self.commands[text] or None

    def isKernelDebugging(self) -> bool:
        return self.is_kernel

    def isDumpAnalyzing(self) -> bool:
        return self.is_dump

    def isWindbgExt(self) -> bool:
        return self.in_windbg

    def getDumpType(self) -> str:
        return self.dump_type

    def getCurrentThreadId(self) -> int:
        return 0

    def getImplicitThread(self) -> int:
        raise DbgException("no thread")

    def getImplicitProcess(self) -> int:
        raise DbgException("no process")

    def getModulesList(self) -> List[Any]:
        return self.modules

    def getSymbolPath(self) -> str:
        return "C:\\symbols"

    def bugCheckData(self) -> Tuple[int, int, int, int, int]:
        if self.bugcheck is None:
            raise DbgException("no bugcheck")
        return self.bugcheck

    def loadTaggedBuffer(self, guid: str) -> List[int]:
        raise DbgException("no such data")

    def dprint(self, text: str, dml: bool = False) -> None:
        self.written.append((text, dml))
