"""Inline sites: the program of binary annotations that says which code of a function came from an inlined one.

Layout: BinaryAnnotationOpcode and CVUncompressData of cvinfo.h in github.com/microsoft/microsoft-pdb.
Code offsets count from the start of the function that holds the site.
"""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

(
    _INVALID,
    _CODE_OFFSET,
    _CODE_OFFSET_BASE,
    _CHANGE_CODE_OFFSET,
    _CHANGE_CODE_LENGTH,
    _CHANGE_FILE,
    _CHANGE_LINE_OFFSET,
    _CHANGE_LINE_END_DELTA,
    _CHANGE_RANGE_KIND,
    _CHANGE_COLUMN_START,
    _CHANGE_COLUMN_END_DELTA,
    _CHANGE_CODE_AND_LINE_OFFSET,
    _CHANGE_CODE_LENGTH_AND_OFFSET,
    _CHANGE_COLUMN_END,
) = range(14)


class InlineRow(NamedTuple):
    """Code `[start, end)` of the function, from line `number` of `file` (an offset in the module's table of files)."""

    start: int
    end: int
    file: int
    number: int


def _operands(data: bytes) -> Iterator[int]:
    """The compressed unsigned numbers: one, two or four bytes, as the top bits of the first say."""
    offset = 0
    size = len(data)
    while offset < size:
        first = data[offset]
        if first < 0x80:
            yield first
            offset += 1
        elif first < 0xC0:
            if offset + 2 > size:
                return
            yield (first & 0x3F) << 8 | data[offset + 1]
            offset += 2
        elif first < 0xE0:
            if offset + 4 > size:
                return
            yield (first & 0x1F) << 24 | data[offset + 1] << 16 | data[offset + 2] << 8 | data[offset + 3]
            offset += 4
        else:
            return


def _signed(value: int) -> int:
    """A number whose lowest bit is its sign."""
    return -(value >> 1) if value & 1 else value >> 1


def _instructions(data: bytes) -> Iterator[Tuple[int, int, int]]:
    """(operation, operand, second operand); it ends at the padding and at what is not known."""
    operands = _operands(data)
    for operation in operands:
        if not _INVALID < operation <= _CHANGE_COLUMN_END:
            return
        first = next(operands, None)
        second = next(operands, None) if operation == _CHANGE_CODE_LENGTH_AND_OFFSET else 0
        if first is None or second is None:
            return
        yield operation, first, second


def decode_annotations(data: bytes, file: int, line: int) -> List[InlineRow]:
    """Run an inline site's annotations, from the inlined function's own file and first line on."""
    rows: List[InlineRow] = []
    code = 0
    open_start = -1
    open_file, open_line = file, line

    def close(end: int) -> None:
        if 0 <= open_start < end:
            rows.append(InlineRow(open_start, end, open_file, open_line))

    for operation, first, second in _instructions(data):
        starts = length = -1
        if operation == _CODE_OFFSET:
            code = starts = first
        elif operation == _CODE_OFFSET_BASE:
            # Code moved to another section: offsets from here on do not count from the function's start.
            break
        elif operation == _CHANGE_CODE_OFFSET:
            code = starts = code + first
        elif operation == _CHANGE_CODE_AND_LINE_OFFSET:
            line += _signed(first >> 4)
            code = starts = code + (first & 0xF)
        elif operation == _CHANGE_CODE_LENGTH_AND_OFFSET:
            code = starts = code + second
            length = first
        elif operation == _CHANGE_CODE_LENGTH:
            length = first
        elif operation == _CHANGE_LINE_OFFSET:
            line += _signed(first)
        elif operation == _CHANGE_FILE:
            file = first
        if starts >= 0:
            close(starts)
            open_start, open_file, open_line = starts, file, line
        if length >= 0:
            code += length
            close(code)
            open_start = -1
    return rows
