"""DUMP_HEADER64: the first 0x2000 bytes of every 64-bit kernel dump.

Layout: DUMP_HEADER64 of ntiodump.h as public readers of the format (rekall, rizin, kdmp-parser)
document it; offsets are file offsets. The writer fills the header with the word 'PAGE' before it
sets the fields, so a field that still holds 'PAGE' was not written and is None here.
"""

from __future__ import annotations

from mmap import mmap
from struct import Struct

from dumpkit.errors import DumpFormatError
from dumpkit.record import Record
from dumpkit.target import ExceptionRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, NoReturn, Optional, Tuple, Union

    from typing_extensions import TypeAlias

#: What a dump's bytes may lie in. Slices of a `memoryview` are views; of the others, copies.
Buffer: TypeAlias = "Union[bytes, bytearray, memoryview, mmap]"

HEADER_SIZE = 0x2000

FULL = 1
SUMMARY = 2
HEADER_ONLY = 3
TRIAGE = 4
BITMAP_FULL = 5
BITMAP_KERNEL = 6
AUTOMATIC = 7
RDMP_KERNEL = 8
RDMP_KERNEL_AND_USER = 9
RDMP_COMPLETE = 0xA

#: DumpType -> how people call such a dump.
DUMP_TYPES: Dict[int, str] = {
    FULL: "full memory dump",
    SUMMARY: "kernel summary dump",
    HEADER_ONLY: "header-only dump",
    TRIAGE: "triage dump (minidump)",
    BITMAP_FULL: "full memory dump with a page bitmap",
    BITMAP_KERNEL: "kernel memory dump with a page bitmap",
    AUTOMATIC: "automatic memory dump",
    RDMP_KERNEL: "kernel memory dump (RDMP)",
    RDMP_KERNEL_AND_USER: "kernel and user memory dump (RDMP)",
    RDMP_COMPLETE: "complete memory dump (RDMP)",
}

_ABSENT_32 = 0x4547_4150
_ABSENT_64 = 0x4547_4150_4547_4150

_PHYSICAL_MEMORY_BLOCK = (0x88, 700)
_CONTEXT_RECORD = (0x348, 3000)
_COMMENT = (0xFB0, 128)
_VERSION_USER = (0x60, 32)

#: Header field -> (file offset, size in bytes): the plain numbers.
_NUMBERS: Dict[str, Tuple[int, int]] = {
    "major_version": (0x8, 4),
    "minor_version": (0xC, 4),
    "directory_table_base": (0x10, 8),
    "pfn_database": (0x18, 8),
    "ps_loaded_module_list": (0x20, 8),
    "ps_active_process_head": (0x28, 8),
    "machine": (0x30, 4),
    "processors": (0x34, 4),
    "bugcheck_code": (0x38, 4),
    "kd_debugger_data_block": (0x80, 8),
    "dump_type": (0xF98, 4),
    "required_dump_space": (0xFA0, 8),
    "system_time": (0xFA8, 8),
    "system_up_time": (0x1030, 8),
    "mini_dump_fields": (0x1038, 4),
    "secondary_data_state": (0x103C, 4),
    "product_type": (0x1040, 4),
    "suite_mask": (0x1044, 4),
    "writer_status": (0x1048, 4),
    "kd_secondary_version": (0x104D, 1),
    "attributes": (0x1050, 4),
    "boot_id": (0x1054, 4),
}

#: Without these nothing can be said of a dump.
_REQUIRED = ("major_version", "minor_version", "machine", "processors", "bugcheck_code")

_U32 = Struct("<I")
_U64 = Struct("<Q")
_PARAMETERS = Struct("<4Q")
#: EXCEPTION_RECORD64 (winnt.h) at 0xf00.
_EXCEPTION = Struct("<IIQQII15Q")
_EXCEPTION_OFFSET = 0xF00


class Header(Record):
    """DUMP_HEADER64; None where the dump's writer left a field out."""

    #: 0xF for a free build of Windows, 0xC for a checked one.
    major_version: int
    #: The build number of Windows.
    minor_version: int
    #: Physical address of the top page table (CR3) at the crash; its low 12 bits may carry a PCID.
    directory_table_base: Optional[int]
    #: Virtual addresses: MmPfnDatabase, PsLoadedModuleList, PsActiveProcessHead.
    pfn_database: Optional[int]
    ps_loaded_module_list: Optional[int]
    ps_active_process_head: Optional[int]
    #: IMAGE_FILE_MACHINE_*: 0x8664 x64, 0xAA64 ARM64.
    machine: int
    processors: int
    #: A triage dump's writer adds 0x10000000 to some codes.
    bugcheck_code: int
    bugcheck_parameters: Tuple[int, int, int, int]
    #: The text of VersionUser; empty where there is none.
    version_user: str
    #: Virtual address of KdDebuggerDataBlock (KDDEBUGGER_DATA64).
    kd_debugger_data_block: Optional[int]
    #: PHYSICAL_MEMORY_DESCRIPTOR64 in its 700 bytes.
    physical_memory_block: Optional[bytes]
    #: The CONTEXT of the processor that stopped, in its 3,000 bytes.
    context_record: Optional[bytes]
    exception: Optional[ExceptionRecord]
    dump_type: int
    #: Bytes that the complete dump takes.
    required_dump_space: Optional[int]
    #: FILETIME, UTC.
    system_time: Optional[int]
    #: The text of Comment; empty where there is none.
    comment: str
    #: 100 ns units since boot.
    system_up_time: Optional[int]
    #: Bits of a triage dump's MiniDumpFields; see `dumpkit.dump.triage`.
    mini_dump_fields: Optional[int]
    secondary_data_state: Optional[int]
    product_type: Optional[int]
    suite_mask: Optional[int]
    #: NTSTATUS with which the writer ended.
    writer_status: Optional[int]
    kd_secondary_version: Optional[int]
    attributes: Optional[int]
    boot_id: Optional[int]


def parse_header(data: Buffer) -> Header:
    """Decode the header at the start of a dump.

    Raises DumpFormatError, saying what the file is, where it is not a whole header of a 64-bit
    kernel dump of a known type.
    """
    if bytes(data[:8]) != b"PAGEDU64":
        _refuse(data)
    if len(data) < HEADER_SIZE:
        raise DumpFormatError(
            f"Truncated dump: {len(data)} bytes (0x{len(data):x}) of the 0x{HEADER_SIZE:x} bytes of a dump header"
        )
    numbers = {name: _number(data, offset, size) for name, (offset, size) in _NUMBERS.items()}
    dump_type = numbers["dump_type"]
    if dump_type is None:
        raise DumpFormatError("Incomplete dump: the header was never finished (it has no dump type)")
    if dump_type not in DUMP_TYPES:
        raise DumpFormatError(f"Unknown kind of kernel dump: type {dump_type} (0x{dump_type:x})")
    for name in _REQUIRED:
        if numbers[name] is None:
            words = name.replace("_", " ")
            raise DumpFormatError(f"Incomplete dump: the header was never finished (it has no {words})")
    return Header(
        bugcheck_parameters=_PARAMETERS.unpack_from(data, 0x40),
        version_user=_text(data, *_VERSION_USER),
        physical_memory_block=_record(data, *_PHYSICAL_MEMORY_BLOCK),
        context_record=_record(data, *_CONTEXT_RECORD),
        exception=_exception(data),
        comment=_text(data, *_COMMENT),
        **numbers,  # type: ignore[arg-type]
    )


def _number(data: Buffer, offset: int, size: int) -> Optional[int]:
    value: int
    if size == 8:
        value = _U64.unpack_from(data, offset)[0]
        return None if value == _ABSENT_64 else value
    if size == 4:
        value = _U32.unpack_from(data, offset)[0]
        return None if value == _ABSENT_32 else value
    # A writer that sets its neighbours leaves a byte of the fill standing.
    return None if data[offset] == b"PAGE"[offset & 3] else data[offset]


def _record(data: Buffer, offset: int, size: int) -> Optional[bytes]:
    return None if _number(data, offset, 8) is None else bytes(data[offset : offset + size])


def _text(data: Buffer, offset: int, size: int) -> str:
    if _number(data, offset, 4) is None:
        return ""
    text = bytes(data[offset : offset + size]).split(b"\0", 1)[0].decode("latin-1")
    return "".join(c if c.isprintable() else "." for c in text)


def _exception(data: Buffer) -> Optional[ExceptionRecord]:
    code, flags, record, address, count, _, *parameters = _EXCEPTION.unpack_from(data, _EXCEPTION_OFFSET)
    if code == _ABSENT_32:
        return None
    return ExceptionRecord(code, flags, record, address, tuple(parameters[:count]))


#: First bytes of files that are taken for dumps now and then -> what they are.
_OTHER_FILES: Tuple[Tuple[bytes, str], ...] = (
    (b"PAGEDUMP", "a 32-bit kernel dump; dumpkit reads 64-bit ones"),
    (b"MDMP", "a user-mode minidump; dumpkit reads kernel dumps"),
    (b"USERDU", "a user-mode dump; dumpkit reads kernel dumps"),
    (b"PAGE", "damaged: it begins like a kernel dump, but the 'DU64' behind 'PAGE' is missing"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"MSCF", "a cabinet (.cab) archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"ElfFile\0", "a Windows event log"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file (a macOS program or core)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"\x7fELF", "an ELF file (a Linux program or a core dump)"),
    (b"EMiL", "a LiME memory image"),
    (b"KDUMP   ", "a Linux kdump file"),
    (b"HIBR", "a Windows hibernation file"),
    (b"hibr", "a Windows hibernation file"),
    (b"WAKE", "a Windows hibernation file"),
    (b"wake", "a Windows hibernation file"),
    (b"RSTR", "a Windows hibernation file"),
    (b"\xd0\xbe\xd2\xbe", "a VMware suspend or snapshot file"),
    (b"\xd1\xba\xd1\xba", "a VMware suspend or snapshot file"),
    (b"\xd2\xbe\xd2\xbe", "a VMware suspend or snapshot file"),
    (b"\xd3\xbe\xd3\xbe", "a VMware suspend or snapshot file"),
    (b"\x7fVirtualBox SavedState", "a VirtualBox saved state"),
    (b"\x14\x20\x28\x01", "a Hyper-V saved state (.vmrs)"),
    (b"vhdxfile", "a Hyper-V disk image"),
    (b"KDMV", "a VMware disk image"),
    (b"QFI\xfb", "a QEMU disk image"),
    (b"EVF\x09", "an EWF disk image"),
    (b"Microsoft C/C++", "a program database (PDB)"),
    (b"MZ", "a Windows program or driver (PE image)"),
    (b"regf", "a registry hive"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file that it stands for"),
    (b"<", "a web page or XML; was the download complete?"),
)


#: Bytes that tell text from anything else.
_TEXT = 32


def _is_text(start: bytes) -> bool:
    """Whether a file begins with ASCII, or with UTF-16's mark and what it stands for."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "ascii"
    try:
        return "".join(start.decode(encoding).split()).isprintable()
    except UnicodeDecodeError:
        return False


def _refuse(data: Buffer) -> NoReturn:
    """Raise DumpFormatError with what the file, which does not begin as a 64-bit kernel dump, looks like."""
    if not len(data):
        raise DumpFormatError("Not a kernel dump: the file is empty")
    start = bytes(data[:HEADER_SIZE])
    if not any(start):
        raise DumpFormatError(f"Not a kernel dump: the file's first {len(start)} bytes are all zero")
    for magic, words in _OTHER_FILES:
        if start.startswith(magic):
            raise DumpFormatError(f"Not a kernel dump that can be opened: the file is {words}")
    if start[257:262] == b"ustar":
        raise DumpFormatError("Not a kernel dump that can be opened: the file is a tar archive; unpack it first")
    if _is_text(start[:_TEXT]):
        raise DumpFormatError("Not a kernel dump: the file is text")
    shown = start[:8].hex(" ")
    raise DumpFormatError(f"Not a kernel dump: the file begins with {shown}, not with 'PAGEDU64'")
