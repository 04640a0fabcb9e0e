"""TestDriver.sys: its tables, strings and lines are printed; its code is no-operations and text."""

from __future__ import annotations

from typing import List, Tuple

from dumpkit.symbols.types import RecordType, Type
from walkthrough_images import KERNEL_IMPORTS, WDFLDR_IMPORTS
from walkthrough_stack import BASES

from tests.forge.assembly import Code
from tests.forge.declarations import INT, LONG, UCHAR, VOID, WCHAR, array, function, pointer, struct
from tests.forge.image import Image
from tests.forge.image_sections import DATA, INIT, PDATA, RDATA, RELOC, TEXT
from tests.forge.image_tables import POGO, CodeView, Import, ImportedModule, pogo
from tests.forge.layout import Layouts
from tests.forge.program import Local
from tests.forge.unwind import Alloc, Push

SOURCE = "C:\\Users\\User\\source\\repos\\TestDriver\\TestDriver\\Driver.c"
_OBJECT = "C:\\Users\\User\\source\\repos\\TestDriver\\TestDriver\\x64\\Release\\Driver.obj"
_PDB = "C:\\Users\\User\\source\\repos\\TestDriver\\x64\\Release\\TestDriver.pdb"
#: The sources tell what it imports by other names than the kernel's symbols have.
_IMPORT_NAMES = {"KzRaiseIrql": "KfRaiseIrql", "vsnwprintf": "_vsnwprintf"}

#: RVA -> text, as `strings` shows them.
_WIDE = {
    0x1FC0: "PASSIVE_LEVEL",
    0x1FE0: "APC_LEVEL",
    0x2000: "DISPATCH_LEVEL",
    0x2020: "UNKNOWN_LEVEL (%u)",
    0x2060: "\\DosDevices\\C:\\Temp\\FileCreationThreadIrql.txt",
    0x20C0: "\\DosDevices\\C:\\Temp\\file_%d.txt",
    0x2100: "\\DosDevices\\C:\\Temp\\FileMoveThreadIrql.txt",
    0x2160: "\\DosDevices\\C:\\Temp2\\NewFile_%d.txt",
    0x3130: "KmdfLibrary",
    0x4080: "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\TestDrv",
}
_INVALID = (
    "invalid driver image, the address of symbol __KMDF_{0}_START 0x%p is greater than the address of symbol"
    " __KMDF_{0}_END 0x%p, status 0x%x"
)
_NARROW = {
    0x2050: "Hello, World!",
    0x3148: "DriverEntry failed 0x%x for driver %wZ",
    0x3180: "FxStubInitTypes: " + _INVALID.format("TYPE_INIT"),
    0x3228: "FxGetNextObjectContextTypeInfo failed",
    0x3250: "FxStubBindClasses: " + _INVALID.format("CLASS_BIND"),
    0x3300: "FxGetNextClassBindInfo failed",
    0x3320: "FxStubBindClasses: ClientBindClass %p, WDF_CLASS_BIND_INFO 0x%p, class %S, returned status 0x%x",
    0x3390: "FxStubBindClasses: VersionBindClass WDF_CLASS_BIND_INFO 0x%p, class %S, returned status 0x%x",
}
_GROUPS = (
    ".text$mn .text$mn$00 .text$mn$21 .text$s .idata$5 .00cfg .gfids .rdata .rdata$zzzdbg .xdata .data"
    " .kmdfclassbind$a .kmdfclassbind$c .kmdfclassbind$d .kmdftypeinit$a .kmdftypeinit$c .bss .pdata INIT"
    " .idata$2 .idata$3 .idata$4 .idata$6"
).split()
#: Pieces of library code: RVA, name, where its printable bytes begin (RVA), those bytes in hexadecimal.
_LIBRARY = [
    ("__security_check_cookie", 0x1600, 0, ""),
    ("FxDriverEntryWorker", 0x17AC, 0x17BB, "48897820 4156 4883ec28"),
    ("FxStubInitTypes", 0x18A0, 0x18C0, "40386830 7426 488bc8"),
    ("FxStubBindClasses", 0x19A0, 0x19C4, "3928 7522 488bc8"),
    ("FxStubUnbindClasses", 0x1BE0, 0x1C05, "3b5075 48 488bc8"),
    ("memcpy", 0x1DB0, 0, ""),
    ("memset", 0x1E50, 0, ""),
]
#: Padding before loops in the two of them: RVA, printable bytes before `0f1f84…` .
_PADDING = [(0x1DD2, "2d"), (0x1DE2, ""), (0x1DF1, ""), (0x1E6A, ""), (0x1E91, "2e"), (0x1EA1, ""), (0x1EB0, "")]


#: Offset in the function (hexadecimal) and line, for each line's first instruction; two of them are printed.
_LINES = {
    "DriverEntry": "0:144 10:145 1d:149 40:151 50:155 60:156 70:160 90:161 a0:165 b8:166 ba:170",
    "FileCreationThread": "0:50 12:54 38:59 40:62 52:64 70:67 80:68 f0:69 100:72 130:76 140:79 150:80 170:83 180:90",
    "FileMoveThread": "0:93 13:99 32:101 50:104 60:105 90:106 c0:117 d0:120 e0:125 fa:128 120:129 124:136",
    "LogCurrentIrql": "0:10 20:12 40:15 70:20 92:21 94:25 a0:28 b0:30 c8:33 e0:36 f8:39 108:44 130:45 133:48",
}


def _lines(function: str) -> List[Tuple[int, int]]:
    pairs = (row.split(":") for row in _LINES[function].split())
    return [(int(offset, 16), int(line)) for offset, line in pairs]


def synchronization(layouts: Layouts) -> RecordType:
    """SYNC_RESOURCES of the source."""
    return struct("_SYNC_RESOURCES", 0x38, [("FileMutex", 0, layouts.record("_FAST_MUTEX"))])


def _imports() -> List[ImportedModule]:
    def bound(table: dict[str, int]) -> List[Import]:
        return [Import(_IMPORT_NAMES.get(name, name), address) for name, address in table.items()]

    return [ImportedModule("WDFLDR.SYS", bound(WDFLDR_IMPORTS)), ImportedModule("ntoskrnl.exe", bound(KERNEL_IMPORTS))]


def test_driver(layouts: Layouts) -> Image:
    """The image; INIT and .reloc are not in memory any more."""
    image = Image("TestDriver.sys", BASES["TestDriver"], 0x656DE4D1)
    image.section(".text", TEXT, size=0x2000)
    image.section(".rdata", RDATA)
    image.section(".data", DATA)
    image.section(".pdata", PDATA)
    image.section("INIT", INIT)
    image.section(".reloc", RELOC | INIT & 0x02000000)
    image.add_imports(_imports(), rva=0x6030, iat_rva=0x3000)
    for rva, text in _WIDE.items():
        image.string(text, rva, wide=True)
    for rva, text in _NARROW.items():
        image.string(text, rva)
    image.function("_guard_check_icall_nop", Code().hex("c20000"), 0x1630)
    image.pointer("_guard_check_icall_nop", 0x30D0)
    image.add_load_config({"GuardCFCheckFunctionPointer": 0x30D0}, 0x3400)
    image.debug_rva = 0x3540
    image.set_codeview(CodeView(_PDB, "F0D6E0000000000000000000000000A6"), 0x3580)
    image.add_debug_data(POGO, pogo([(0x1000 + 8 * n, 8, name) for n, name in enumerate(_GROUPS)]), 0x35DC)
    _add_functions(image, synchronization(layouts))
    _add_library(image)
    image.entry_point = "FxDriverEntryWorker"
    return image


def _add_functions(image: Image, resources: Type) -> None:
    facts = {"compiland": _OBJECT, "source": SOURCE}
    context = Local("Context", pointer(VOID), 0x220)
    routine = function(LONG, pointer(VOID))
    entry = Code().prologue(Push("rdi"), Alloc(0x60)).nop_to(0x1D).hex("4889442450 4533c9")
    entry.call_through_returning_at(0x40, "__imp_IoCreateDevice").nop_to(0x70)
    entry.call_through_returning_at(0x90, "__imp_PsCreateSystemThread")
    entry.call_through_returning_at(0xB8, "__imp_PsCreateSystemThread").nop(2)
    image.function(
        "DriverEntry",
        entry.epilogue(),
        0x1000,
        lines=_lines("DriverEntry"),
        type=function(LONG, pointer(VOID), pointer(VOID)),
        **facts,
    )

    create = Code().store("rbx", "rsp", 8).prologue(Push("rdi"), Alloc(0x210)).load("rbx", "rsp", 0x220)
    # mov cl,2: DISPATCH_LEVEL
    create.nop_to(0x38).hex("b102").call_through_returning_at(0x40, "__imp_KfRaiseIrql")
    create.nop(2).load_address("rcx", 0x2060)
    create.call_returning_at(0x52, "LogCurrentIrql").move("rcx", "rbx")
    create.call_through_returning_at(0x70, "__imp_ExAcquireFastMutex").nop_to(0x10B).hex("488d4c2460 4533c0")
    create.call_through_returning_at(0x140, "__imp_ZwCreateFile").nop_to(0x150)
    create.call_through_returning_at(0x170, "__imp_ZwWriteFile").load_address("rdx", 0x2050)
    create.load("rbx", "rsp", 0x220)
    locals_ = [
        context,
        Local("SyncRes", pointer(resources), 0x40),
        Local("filePathBuffer", array(WCHAR, 150), 0xD0),
        Local("oldIrql", UCHAR, 0x30),
    ]
    image.function(
        "FileCreationThread",
        create.epilogue(),
        0x10F0,
        lines=_lines("FileCreationThread"),
        locals=locals_,
        type=routine,
        **facts,
    )

    move = Code().store("rbx", "rsp", 8).prologue(Push("rdi"), Alloc(0x210)).load_address("rcx", 0x2100)
    move.call_returning_at(0x32, "LogCurrentIrql").call_through_returning_at(0x50, "__imp_ExAcquireFastMutex")
    move.nop_to(0xF4).hex("66393441 75fa")
    move.call_through_returning_at(0x120, "__imp_ZwSetInformationFile").nop(4)
    image.function(
        "FileMoveThread",
        move.epilogue(),
        0x12A0,
        lines=_lines("FileMoveThread"),
        locals=[context],
        type=routine,
        **facts,
    )

    log = Code().prologue(Push("rbp"), Alloc(0x100)).call_through_returning_at(0x40, "__imp_RtlInitUnicodeString")
    log.call_through_returning_at(0x92, "__imp_ZwCreateFile").hex("85c0")
    log.call_through_returning_at(0xA0, "__imp_KeGetCurrentIrql").nop_to(0x108)
    log.hex("48895c2440 4533c9 48895c2438 4533c0").call_through_returning_at(0x130, "__imp_ZwWriteFile").nop(3)
    locals_ = [
        Local("logFilePath", pointer(WCHAR), 0x110),
        Local("irqlName", array(WCHAR, 30), 0xB0),
        Local("status", LONG, 0x98),
    ]
    image.function(
        "LogCurrentIrql",
        log.epilogue(),
        0x1420,
        lines=_lines("LogCurrentIrql"),
        locals=locals_,
        type=function(LONG, pointer(WCHAR)),
        **facts,
    )

    unload = Code().prologue(Alloc(0x28)).call_through("__imp_IoDeleteDevice")
    image.function(
        "UnloadDriver",
        unload.epilogue(),
        0x1560,
        lines=[(0, 139), (4, 140), (10, 141)],
        type=function(VOID, pointer(VOID)),
        **facts,
    )
    image.function(
        "RtlStringCchPrintfW", _print_function(), 0x1580, type=function(LONG, pointer(WCHAR), INT), compiland=_OBJECT
    )


def _print_function() -> Code:
    """Its register homes and pushes, and its pops, read as text."""
    code = Code().hex("4c89442418 4c894c2420").prologue(Push("rbx"), Push("rsi"), Push("rdi"), Push("r14"), Alloc(0x28))
    return code.nop_to(0x61).epilogue()


def _add_library(image: Image) -> None:
    for name, rva, at, text in _LIBRARY:
        code = Code() if name in ("memcpy", "memset", "FxDriverEntryWorker") else Code().prologue(Alloc(0x28))
        if name == "FxDriverEntryWorker":
            code.hex("488bc4 48895808 48896810 48897018")
        if at:
            code.nop_to(at - rva).hex(text)
        for place, before in _PADDING:
            if name in ("memcpy", "memset") and rva <= place < rva + 0xA0:
                code.nop_to(place - rva).hex(before + "66666666666666 0f1f840000000000")
        image.function(name, code.nop(3).ret() if not code.operations else code.nop(3).epilogue(), rva)


__all__: Tuple[str, ...] = ("SOURCE", "synchronization", "test_driver")
