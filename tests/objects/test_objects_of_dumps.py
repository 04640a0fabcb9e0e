"""Typed views and `dt` over real dumps, with ISF tables for symbols."""

from __future__ import annotations

from typing import Optional

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import SymbolError
from dumpkit.module import Module
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.types import Type
from dumpkit.target import Target
from dumpkit.target_symbols import SymbolLocation, Symbols
from dumpkit.typetext.dump import TypeDump
from dumpkit.typetext.request import parse
from dumpkit.typetext.values import Value, reader_of

from tests.shared import SYMBOLS, dump, needs_shared

pytestmark = needs_shared

TABLES = {
    "triage_x64": "5278AFF86C341677D7D7835C85B7B844-1.json.xz",
    "100623-6156-01": "89284D0CA6ACC8274B9A44BD5AF9290B-1.json.xz",
}


class TableSymbols(Symbols):
    """The kernel's names from one table; no other module has any."""

    def __init__(self, target: Target, file: IsfFile) -> None:
        self.target = target
        self.file = file

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        module = self.target.module_at(address)
        if module is None or module.name != "nt":
            return None if module is None else SymbolLocation(module, None, address - module.base)
        found = self.file.nearest(address - module.base)
        return SymbolLocation(module, found.name, address - module.base - found.rva) if found else None

    def address_of(self, name: str) -> int:
        found = self.file.find(name.rpartition("!")[2])
        if found is None:
            raise SymbolError(f"no {name}")
        return self.kernel.base + found.rva

    @property
    def kernel(self) -> Module:
        found = self.target.module_named("nt")
        assert found is not None
        return found

    def type(self, name: str, module: Optional[str] = None) -> Type:
        found = self.file.type(name)
        if found is None:
            raise SymbolError(f"no type {name}")
        return found


@pytest.fixture(params=TABLES)
def target(request, tmp_path) -> Target:
    opened = open_dump(dump(request.param))
    opened.symbols = TableSymbols(opened, IsfFile(str(SYMBOLS / "isf" / TABLES[request.param]), cache=tmp_path))
    return opened


def dt(target: Target, text: str, address: int) -> list:
    request = parse(text)
    return list(TypeDump(request, Value(reader_of(target), target.type(request.name).type, address)).lines())


def test_the_current_process_has_a_name(target):
    process = target.type("nt!_EPROCESS").at(target.process_address(target.current_processor))
    name = process.ImageFileName.text()
    assert name == ("System" if target.name.endswith("triage_x64.dmp") else name)
    assert name.isprintable()
    assert name
    line = next(line for line in dt(target, "nt!_EPROCESS", process.address) if " ImageFileName " in line)
    assert line == f'   +0x5a8 ImageFileName    : [15]  "{name}"'
    assert process.UniqueProcessId == process.member("UniqueProcessId")
    assert process.Pcb.Header.Type.name == "ProcessObject"


def test_the_current_thread_belongs_to_the_current_process(target):
    thread = target.type("_KTHREAD").at(target.thread_address(target.current_processor))
    assert thread.ApcState.Process.address == target.process_address(target.current_processor)
    assert thread.Header.Type.name == "ThreadObject"
    assert thread.State.name == "Running"
    assert thread.StackBase > thread.KernelStack > thread.StackLimit
    assert thread.member("ApcState.Process.Header.Type").name == "ProcessObject"


def test_a_list_that_leaves_the_dump_ends_with_the_reason(target):
    process = target.type("_EPROCESS").at(target.process_address(target.current_processor))
    walk = process.ThreadListHead.iterate("_ETHREAD", "ThreadListEntry")
    threads = list(walk)
    assert walk.ended is not None
    assert walk.complete or "cannot be read" in walk.ended
    assert all(thread.Tcb.get("Header.Type") in (6, None) for thread in threads)


def test_function_pointers_are_named_by_the_symbols(target):
    kernel = target.module_named("nt")
    place = kernel.base + target.symbols.file.find("KeBugCheckEx").rva
    assert reader_of(target).place(place) == "nt!KeBugCheckEx+0"
    assert reader_of(target).place(place + 4) == "nt!KeBugCheckEx+4"
    assert reader_of(target).place(0x1000) == "+1000"
