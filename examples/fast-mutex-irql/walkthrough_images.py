"""The kernel and the drivers on the stack: code where it or a return address is printed, no-operations between."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from walkthrough_stack import BASES, OnStack, Row, functions_of

from tests.forge.assembly import Code
from tests.forge.image import Image
from tests.forge.image_sections import DATA, PAGE, PDATA, RDATA, RELOC, TEXT
from tests.forge.image_tables import CodeView, Export
from tests.forge.kernel_variables import label_variables
from tests.forge.unwind import Alloc, MachineFrame, Push, SetFrame

PATHS = {
    "nt": "\\SystemRoot\\system32\\ntoskrnl.exe",
    "FLTMGR": "\\SystemRoot\\System32\\drivers\\FLTMGR.SYS",
    "WDFLDR": "\\SystemRoot\\system32\\drivers\\WDFLDR.SYS",
    "fileinfo": "\\SystemRoot\\System32\\drivers\\fileinfo.sys",
    "Ntfs": "\\SystemRoot\\System32\\Drivers\\Ntfs.sys",
    "TestDriver": "\\??\\C:\\Users\\User\\source\\repos\\TestDriver\\x64\\Release\\TestDriver.sys",
}
#: (SizeOfImage, [(section, characteristics, RVA, size)]); chosen so that everything printed has its place.
_SHAPES: Dict[str, Tuple[int, List[Tuple[str, int, int, int]]]] = {
    "nt": (
        0x1047000,
        [
            (".rdata", RDATA, 0x1000, 0x10000),
            (".pdata", PDATA, 0x101000, 0x10000),
            (".text", TEXT, 0x200000, 0x300000),
            ("PAGE", PAGE, 0x680000, 0x100000),
            (".data", DATA, 0xC00000, 0x110000),
            (".reloc", RELOC, 0x1040000, 0x1000),
        ],
    ),
    "FLTMGR": (
        0x80000,
        [
            (".text", TEXT, 0x1000, 0x2F000),
            (".rdata", RDATA, 0x30000, 0x2000),
            (".pdata", PDATA, 0x34000, 0x2000),
            ("PAGE", PAGE, 0x40000, 0x20000),
        ],
    ),
    "WDFLDR": (
        0x14000,
        [(".text", TEXT, 0x1000, 0x10000), (".rdata", RDATA, 0x11000, 0x1000), (".pdata", PDATA, 0x12000, 0x1000)],
    ),
    "fileinfo": (
        0x1A000,
        [
            (".text", TEXT, 0x1000, 0x6000),
            (".rdata", RDATA, 0x8000, 0x2000),
            (".pdata", PDATA, 0xB000, 0x1000),
            ("PAGE", PAGE, 0xD000, 0xB000),
        ],
    ),
    "Ntfs": (
        0x2DF000,
        [
            (".text", TEXT, 0x1000, 0x6000),
            (".rdata", RDATA, 0x7000, 0x4000),
            (".pdata", PDATA, 0xB000, 0x4000),
            ("PAGE", PAGE, 0x10000, 0x90000),
        ],
    ),
}
_IDENTITIES = {
    "nt": ("ntoskrnl.exe", "ntkrnlmp.pdb", "F0D6E0000000000000000000000000A1", 0xA4B1C2D3),
    "FLTMGR": ("FLTMGR.SYS", "fltMgr.pdb", "F0D6E0000000000000000000000000A2", 0x5B1C2D31),
    "WDFLDR": ("WDFLDR.SYS", "wdfldr.pdb", "F0D6E0000000000000000000000000A3", 0x5B1C2D32),
    "fileinfo": ("fileinfo.sys", "fileinfo.pdb", "F0D6E0000000000000000000000000A4", 0x5B1C2D33),
    "Ntfs": ("Ntfs.sys", "ntfs.pdb", "F0D6E0000000000000000000000000A5", 0x5B1C2D34),
}

#: The kernel's functions that TestDriver imports: public name -> virtual address.
KERNEL_IMPORTS = {
    "IoCreateDevice": 0xFFFFF80204728670,
    "IoDeleteDevice": 0xFFFFF80204207D10,
    "ZwCreateFile": 0xFFFFF80204413730,
    "ZwOpenFile": 0xFFFFF802044132F0,
    "PsCreateSystemThread": 0xFFFFF802047220A0,
    "ExAcquireFastMutex": 0xFFFFF802042ED710,
    "ZwClose": 0xFFFFF80204412E70,
    "swprintf_s": 0xFFFFF802043D9F00,
    "vsnwprintf": 0xFFFFF802043D44F0,
    "KeInitializeEvent": 0xFFFFF80204282100,
    "ZwSetInformationFile": 0xFFFFF80204413170,
    "ExReleaseFastMutex": 0xFFFFF802042ED850,
    "RtlCopyUnicodeString": 0xFFFFF80204281860,
    "DbgPrintEx": 0xFFFFF8020431AF70,
    "KzRaiseIrql": 0xFFFFF80204279A80,
    "KeGetCurrentIrql": 0xFFFFF80204279AB0,
    "RtlInitUnicodeString": 0xFFFFF802042E9D40,
    "ZwWriteFile": 0xFFFFF80204412D90,
    "wcscpy_s": 0xFFFFF802043DB8D0,
}
#: Exported under another name than the public one.
_EXPORT_NAMES = {"KzRaiseIrql": "KfRaiseIrql", "vsnwprintf": "_vsnwprintf"}
WDFLDR_IMPORTS = {
    "WdfVersionUnbind": 0xFFFFF80207940420,
    "WdfLdrQueryInterface": 0xFFFFF80207938BF0,
    "WdfVersionBind": 0xFFFFF8020793FDD0,
    "WdfVersionUnbindClass": 0xFFFFF80207938D50,
    "WdfVersionBindClass": 0xFFFFF802079315C0,
}
#: Chosen: functions of idle processors and of waiting threads -> (RVA, frame in bytes, return offset, whom it called).
IDLE = [
    ("HalProcessorIdle", 0x0042A100, 0x28, 0xF, ""),
    ("PpmIdleDefaultExecute", 0x003A1B20, 0x28, 0x1F, "HalProcessorIdle"),
    ("PpmIdleExecuteTransition", 0x002A4000, 0x298, 0x10D4, "PpmIdleDefaultExecute"),
    ("PoIdle", 0x002A3800, 0xF8, 0x391, "PpmIdleExecuteTransition"),
    ("KiIdleLoop", 0x00421A00, 0x28, 0x54, "PoIdle"),
]
WAITING = [
    ("KiSwapContext", 0x00420C80, 0x138, 0x76, ""),
    ("KiSwapThread", 0x002B8900, 0xA8, 0xAA7, "KiSwapContext"),
    ("KiCommitThreadWait", 0x002BB2A0, 0xA8, 0x137, "KiSwapThread"),
    ("KeWaitForSingleObject", 0x002BD300, 0xF8, 0x256, "KiCommitThreadWait"),
    ("ExpWorkerThread", 0x002F0C00, 0x108, 0x105, "KeWaitForSingleObject"),
]
#: Where the kernel's variables lie (RVA): the first is printed.
VARIABLE_PLACES = {"PsLoadedModuleList": 0xC134A0, "KdDebuggerDataBlock": 0xC00B20}
KE_BUG_CHECK_EX = 0x4168D0
KI_SERVICE_INTERNAL = 0x42B280


def frame_function(function: OnStack, home: int = 0) -> Code:
    """A function with this frame whose calls return where the stack says; calls out of the image are indirect."""
    code = Code()
    for register, place in list(zip(("rcx", "rdx", "r8", "r9"), (8, 16, 24, 32)))[:home]:
        code.store(register, "rsp", place)
    code.prologue(Alloc(function.frame))
    for offset, target in function.returns:
        if target:
            code.call_returning_at(offset, target)
        else:
            code.nop_to(offset - 2).hex("ffd0")
    return code.nop(16).epilogue()


def new_image(name: str) -> Image:
    """An image with its sections and no code."""
    file, pdb, guid, timestamp = _IDENTITIES[name]
    size, sections = _SHAPES[name]
    image = Image(file, BASES[name], timestamp, size=size)
    for section, characteristics, rva, length in sections:
        image.section(section, characteristics, rva, length)
    image.set_codeview(CodeView(pdb, guid))
    return image


def small_function(image: Image, name: str, rva: int) -> None:
    """A function of which only the address is known."""
    image.function(name, Code().prologue(Alloc(0x28)).nop(9).epilogue(), rva, section=image.section_at(rva).name)


def add_stack_functions(image: Image, functions: Dict[str, OnStack], without: Sequence[str] = ()) -> None:
    for name, function in functions.items():
        if name not in without:
            image.function(name, frame_function(function), function.rva, section=image.section_at(function.rva).name)


def kernel(rows: List[Row]) -> Image:
    """ntoskrnl.exe."""
    image = new_image("nt")
    functions = functions_of("nt", rows)
    special = ("KiPageFault", "KiSystemServiceCopyEnd", "KiServiceLinkage", "KiStartSystemThread")
    image.function("KeBugCheckEx", frame_function(OnStack(0, 0x28, []), home=4), KE_BUG_CHECK_EX)
    add_stack_functions(image, functions, special)
    trap = Code().prologue(MachineFrame(True), Push("rbp"), Alloc(0x158), SetFrame("rbp", 0x80))
    offset, target = functions["KiPageFault"].returns[0]
    image.function("KiPageFault", trap.call_returning_at(offset, target).nop(2), functions["KiPageFault"].rva)
    _add_system_service(image, functions)
    image.function("KiServiceLinkage", Code().ret(), functions["KiServiceLinkage"].rva)
    start = functions["KiStartSystemThread"]
    image.function("KiStartSystemThread", frame_function(start), start.rva)
    for name, rva, frame, at, callee in [*IDLE, *WAITING]:
        image.function(name, frame_function(OnStack(rva, frame, [(at, callee)])), rva)
    for name, address in KERNEL_IMPORTS.items():
        small_function(image, name, address - image.base)
    label_variables(image, VARIABLE_PLACES, 0xC40000)
    image.set_exports([Export(_EXPORT_NAMES.get(name, name), name) for name in [*KERNEL_IMPORTS, "KeBugCheckEx"]])
    image.entry_point = "KiStartSystemThread"
    return image


def _add_system_service(image: Image, functions: Dict[str, OnStack]) -> None:
    """KiServiceInternal, in whose middle KiSystemServiceCopyEnd is only a label: a machine frame made by hand."""
    inner = functions["KiSystemServiceCopyEnd"]
    offset, _ = inner.returns[0]
    code = Code().prologue(MachineFrame(True), Push("rbp"), Alloc(0x1C8))
    code.nop_to(inner.rva - KI_SERVICE_INTERNAL + offset - 2).hex("ffd0").nop(8)
    image.function("KiServiceInternal", code, KI_SERVICE_INTERNAL)
    image.label("KiSystemServiceStart", KI_SERVICE_INTERNAL + 0xA0)
    image.label("KiSystemServiceCopyEnd", inner.rva)


def file_system(rows: List[Row]) -> Image:
    """Ntfs.sys, with the instructions before the fault as `ub` shows them."""
    image = new_image("Ntfs")
    functions = functions_of("Ntfs", rows)
    add_stack_functions(image, functions, ("NtfsChangeAttributeValue",))
    small_function(image, "NtfsWriteLog", 0xFFFFF802084D6B20 - image.base)
    function = functions["NtfsChangeAttributeValue"]
    code = Code().prologue(Alloc(function.frame)).nop_to(0x363)
    code.hex("48897c2420 41b907000000 4c8b8424e8000000 4d8b00 488b5130 488b8c24d0000000")
    code.call("NtfsWriteLog").hex("4c8bbc24a8000000 49894708").nop(20)
    image.function("NtfsChangeAttributeValue", code.epilogue(), function.rva, section="PAGE")
    return image


def filter_image(name: str, rows: List[Row]) -> Image:
    """FLTMGR.SYS or fileinfo.sys."""
    image = new_image(name)
    add_stack_functions(image, functions_of(name, rows))
    return image


def framework_loader() -> Image:
    """WDFLDR.SYS."""
    image = new_image("WDFLDR")
    for name, address in WDFLDR_IMPORTS.items():
        small_function(image, name, address - image.base)
    image.set_exports([Export(name, name) for name in WDFLDR_IMPORTS])
    return image
