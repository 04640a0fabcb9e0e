"""DUMP_HEADER64 as a dump's writer lays it out: filled with 'PAGE', then set field by field.

Source: ntiodump.h's DUMP_HEADER64 as rekall, rizin and kdmp-parser document it.
"""

from __future__ import annotations

from struct import pack_into
from typing import Optional, Sequence, Tuple

HEADER_SIZE = 0x2000

X64 = 0x8664
ARM64 = 0xAA64

FULL = 1
SUMMARY = 2
TRIAGE = 4
BITMAP_FULL = 5
BITMAP_KERNEL = 6
RDMP_KERNEL = 8
RDMP_KERNEL_AND_USER = 9
RDMP_COMPLETE = 0xA

#: Field -> (file offset, struct format); what is left out stays 'PAGE'.
_FIELDS = {
    "major_version": (0x8, "<I"),
    "minor_version": (0xC, "<I"),
    "directory_table_base": (0x10, "<Q"),
    "pfn_database": (0x18, "<Q"),
    "ps_loaded_module_list": (0x20, "<Q"),
    "ps_active_process_head": (0x28, "<Q"),
    "machine": (0x30, "<I"),
    "processors": (0x34, "<I"),
    "bugcheck_code": (0x38, "<I"),
    "kd_debugger_data_block": (0x80, "<Q"),
    "dump_type": (0xF98, "<I"),
    "required_dump_space": (0xFA0, "<Q"),
    "system_time": (0xFA8, "<Q"),
    "system_up_time": (0x1030, "<Q"),
    "mini_dump_fields": (0x1038, "<I"),
    "secondary_data_state": (0x103C, "<I"),
    "product_type": (0x1040, "<I"),
    "suite_mask": (0x1044, "<I"),
    "writer_status": (0x1048, "<I"),
    "kd_secondary_version": (0x104D, "<B"),
    "attributes": (0x1050, "<I"),
    "boot_id": (0x1054, "<I"),
}

_DEFAULTS = {
    "major_version": 0xF,
    "minor_version": 19041,
    "pfn_database": 0,
    "ps_loaded_module_list": 0,
    "ps_active_process_head": 0,
    "machine": X64,
    "processors": 1,
    "bugcheck_code": 0xE2,
    "kd_debugger_data_block": 0,
    "required_dump_space": 0,
    "system_time": 0x1DA_2600_0000_0000,
    "system_up_time": 4509110000,
    "product_type": 1,
    "suite_mask": 0x110,
    "writer_status": 0,
}


def build_header(
    dump_type: int,
    directory_table_base: int,
    runs: Optional[Sequence[Tuple[int, int]]] = None,
    bugcheck_parameters: Sequence[int] = (0, 0, 0, 0),
    context: bytes = b"",
    exception_code: Optional[int] = None,
    exception_address: int = 0,
    comment: bytes = b"",
    **fields: int,
) -> bytearray:
    """The 0x2000 bytes of a header.

    `runs` become the PHYSICAL_MEMORY_DESCRIPTOR64 (at most 42 fit); `context` is a CONTEXT record;
    `fields` are header fields by the names of `_FIELDS`.
    """
    header = bytearray(b"PAGE" * (HEADER_SIZE // 4))
    header[4:8] = b"DU64"
    values = {**_DEFAULTS, "dump_type": dump_type, "directory_table_base": directory_table_base, **fields}
    for name, value in values.items():
        offset, layout = _FIELDS[name]
        pack_into(layout, header, offset, value)
    pack_into("<4Q", header, 0x40, *bugcheck_parameters)
    if runs is not None:
        _put_memory_descriptor(header, runs)
    if context:
        header[0x348 : 0x348 + 3000] = context.ljust(3000, b"\0")
    if exception_code is not None:
        pack_into("<IIQQII15Q", header, 0xF00, exception_code, 0, 0, exception_address, 0, 0, *([0] * 15))
    if comment:
        header[0xFB0 : 0xFB0 + 128] = comment.ljust(128, b"\0")
    return header


def _put_memory_descriptor(header: bytearray, runs: Sequence[Tuple[int, int]]) -> None:
    header[0x88 : 0x88 + 700] = bytes(700)
    pack_into("<IIQ", header, 0x88, len(runs), 0, sum(count for _, count in runs))
    for i, (pfn, count) in enumerate(runs):
        pack_into("<QQ", header, 0x98 + 16 * i, pfn, count)
