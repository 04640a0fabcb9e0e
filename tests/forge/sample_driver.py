"""A driver for the tests of the forge, laid out as a real one was: TestDriver, by what debuggers print of it.

Code stands where return addresses and lines are known; what lies between is no-operations.
"""

from __future__ import annotations

from dumpkit.symbols.types import RecordType

from tests.forge.assembly import Code
from tests.forge.declarations import (
    CHAR,
    INT,
    LONG,
    LONGLONG,
    ULONG,
    VOID,
    WCHAR,
    array,
    bits,
    enum,
    function,
    pointer,
    struct,
    union,
)
from tests.forge.image import Image
from tests.forge.image_resources import Version
from tests.forge.image_sections import DATA, INIT, PDATA, RDATA, RELOC, RSRC, TEXT
from tests.forge.image_tables import CodeView, Import, ImportedModule
from tests.forge.program import InlineSite, Local, Variable
from tests.forge.unwind import Alloc, Push, Save

BASE = 0xFFFFF80225DA0000
GUID = "112233445566778899AABBCCDDEEFF00"
SOURCE = r"C:\Users\User\source\repos\TestDriver\TestDriver\Driver.c"
HEADER = r"C:\Program Files (x86)\Windows Kits\10\Include\wdm.h"
OBJECT = r"C:\Users\User\source\repos\TestDriver\TestDriver\x64\Release\Driver.obj"
PDB_NAME = r"C:\Users\User\source\repos\TestDriver\x64\Release\TestDriver.pdb"
IMPORTS = [
    ImportedModule(
        "WDFLDR.SYS",
        [
            Import("WdfVersionUnbind", 0xFFFFF80207940420),
            Import("WdfLdrQueryInterface", 0xFFFFF80207938BF0),
            Import("WdfVersionBind", 0xFFFFF8020793FDD0),
        ],
    ),
    ImportedModule(
        "ntoskrnl.exe", [Import("IoCreateDevice", 0xFFFFF80204728670), Import("ZwCreateFile", 0xFFFFF80204413730)]
    ),
]

MODE = enum("_SYNC_MODE", [("SyncNone", 0), ("SyncShared", 1), ("SyncLast", 0x12345), ("SyncInvalid", -1)])
EVENT = struct("_KEVENT", 0x18, [("Signal", 0, LONG), ("Waiters", 8, pointer(VOID)), ("Name", 16, array(CHAR, 8))])
FAST_MUTEX = struct(
    "_FAST_MUTEX",
    0x38,
    [("Count", 0, LONG), ("Owner", 8, pointer(VOID)), ("Contention", 16, ULONG), ("Event", 0x18, EVENT)],
)
RESOURCES: RecordType = struct(
    "_SYNC_RESOURCES",
    0x60,
    [
        ("FileMutex", 0, FAST_MUTEX),
        ("Next", 0x38, pointer(lambda: RESOURCES)),
        ("Busy", 0x40, bits(ULONG, 0, 1)),
        ("Depth", 0x40, bits(ULONG, 1, 31)),
        ("Mode", 0x44, MODE),
        ("u", 0x48, union("", 8, [("Low", 0, LONG), ("Whole", 0, LONGLONG)])),
        ("Callback", 0x50, pointer(function(LONG, pointer(lambda: RESOURCES), INT))),
        ("Driver", 0x58, pointer(struct("_DRIVER_OBJECT", 0))),
    ],
)


def driver(timestamp: int = 0x656DE8A1) -> Image:
    """The image."""
    image = Image("TestDriver.sys", BASE, timestamp)
    image.section(".text", TEXT, size=0x2000)
    image.section(".rdata", RDATA)
    image.section(".data", DATA)
    image.section(".pdata", PDATA)
    image.section("INIT", INIT)
    image.section(".rsrc", RSRC)
    image.section(".reloc", RELOC)
    image.add_imports(IMPORTS, rva=0x6030, iat_rva=0x3000)
    image.function("_guard_check_icall_nop", Code().ret(), 0x1630)
    image.pointer("_guard_check_icall_nop", 0x30D0)
    image.add_load_config({"GuardCFCheckFunctionPointer": 0x30D0})
    _add_functions(image)
    image.add_variable(Variable("Resources", RESOURCES, data=b"\1"))
    image.add_variable(Variable("FileCount", INT, data=b"\7", is_global=False, compiland=OBJECT))
    for rva, text in ((0x1FC0, "PASSIVE_LEVEL"), (0x1FE0, "APC_LEVEL"), (0x2000, "DISPATCH_LEVEL")):
        image.string(text, rva, wide=True)
    image.string("Hello, World!\r\n", 0x2050)
    image.set_codeview(CodeView(PDB_NAME, GUID), 0x3580)
    image.version = Version((1, 2, 3, 4), {"FileDescription": "A forged driver", "OriginalFilename": "TestDriver.sys"})
    image.entry_point = "FileCreationThread"
    return image


def _add_functions(image: Image) -> None:
    thread = Code().store("rbx", "rsp", 8).prologue(Push("rdi"), Alloc(0x210))
    thread.call_returning_at(0x52, "LogCurrentIrql").nop_to(0x180)
    image.function(
        "FileCreationThread",
        thread.load("rbx", "rsp", 0x220).epilogue(),
        0x10F0,
        compiland=OBJECT,
        type=function(LONG, pointer(VOID)),
        source=SOURCE,
        lines=[(0, 50), (0x2B, 60), (0x46, 63), (0x52, 64), (0x60, 66), (0xB0, 70)],
        locals=[Local("Context", pointer(VOID), 0x220), Local("SyncRes", pointer(RESOURCES), 0x40)],
        inlines=[
            InlineSite(
                "ExInitializeFastMutex",
                HEADER,
                26000,
                [(0x60, 0x10, 26002), (0x70, 8, 26005), (0x90, 0x10, 26001)],
                function(VOID, pointer(FAST_MUTEX)),
                [InlineSite("KeInitializeEvent", HEADER, 300, [(0x70, 8, 301)])],
            )
        ],
    )
    log = Code().prologue(Push("rbp"), Alloc(0x100), Save("rsi", 0x118))
    log.call_through_returning_at(0x92, "__imp_ZwCreateFile").hex("85c0").load_address("rcx", 0x1FC0)
    image.function(
        "LogCurrentIrql",
        log.epilogue(),
        0x1420,
        compiland=OBJECT,
        type=function(LONG, pointer(WCHAR)),
        source=SOURCE,
        lines=[(0, 9), (0x40, 15), (0x80, 20), (0x92, 21)],
        locals=[Local("logFilePath", pointer(WCHAR), 0x110)],
    )
    image.function(
        "CountFiles",
        Code().hex("33c0").ret(),
        0x1500,
        compiland=OBJECT,
        type=function(INT),
        source=SOURCE,
        lines=[(0, 80)],
        is_global=False,
    )
