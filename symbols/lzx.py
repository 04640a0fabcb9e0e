"""LZX as cabinets use it: a decoder in pure Python.

Source: Microsoft's "LZX Data Compression Format" (Cabinet SDK) and [MS-PATCH], whose description of
the trees and of the E8 translation holds for cabinets too. The stream is made of 16-bit words, the
most significant bit first; output comes in frames of 32 KiB, at whose ends the stream is aligned to a
word. Damaged data raises SymbolError; a frame never yields more than it was asked for.
"""

from __future__ import annotations

from struct import unpack, unpack_from

from dumpkit.errors import SymbolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, NoReturn, Optional, Sequence, Tuple

    from typing_extensions import TypeAlias

FRAME_SIZE = 0x8000
#: The sizes a window may have, as powers of two.
WINDOW_BITS = range(15, 22)

_VERBATIM, _ALIGNED, _UNCOMPRESSED = 1, 2, 3
_LENGTH_SYMBOLS = 249
_PRE_SYMBOLS = 20
# Position slots by window size: as many as it takes for every offset in the window.
_SLOTS = {15: 30, 16: 32, 17: 34, 18: 36, 19: 38, 20: 42, 21: 50}
# Only the first 2**15 frames are translated.
_E8_LIMIT = FRAME_SIZE << 15

#: (bits of a code at most, a list by that many bits of (symbol << 5 | length)); no list for an empty tree.
_Tree: TypeAlias = "Tuple[int, List[int]]"


def _position_slots(count: int) -> Tuple[List[int], List[int]]:
    """(extra bits, first match offset) by position slot; the formatted offset is the match offset + 2."""
    extra, first, position = [], [], 0
    for slot in range(count):
        bits = 0 if slot < 4 else min(slot // 2 - 1, 17)
        extra.append(bits)
        first.append(position - 2)
        position += 1 << bits
    return extra, first


def _damaged(what: str) -> NoReturn:
    raise SymbolError(f"damaged LZX data: {what}")


def _tree(lengths: Sequence[int], may_be_empty: bool = False) -> _Tree:
    """The decoding table of a canonical Huffman code with these code lengths."""
    longest = max(lengths)
    if not longest:
        if may_be_empty:
            return 1, []
        _damaged("a tree without codes")
    table: List[int] = []
    for length in range(1, longest + 1):
        width = 1 << (longest - length)
        for symbol, own in enumerate(lengths):
            if own == length:
                table += [symbol << 5 | length] * width
        if len(table) > 1 << longest:
            break
    if len(table) != 1 << longest:
        _damaged("a tree whose code lengths do not fit")
    return longest, table


class LzxDecoder:
    """One LZX stream; give it the bytes of its frames in order."""

    def __init__(self, window_bits: int) -> None:
        """`window_bits` is the binary logarithm of the window's size in bytes, 15 to 21."""
        if window_bits not in WINDOW_BITS:
            raise SymbolError(f"LZX with a window of 2**{window_bits} bytes is not allowed in a cabinet")
        self._window_size = 1 << window_bits
        self._extra, self._first = _position_slots(_SLOTS[window_bits])
        self._main_lengths = [0] * (256 + 8 * _SLOTS[window_bits])
        self._length_lengths = [0] * _LENGTH_SYMBOLS
        self._main: _Tree = (1, [])
        self._length: _Tree = (1, [])
        self._aligned: Optional[_Tree] = None
        self._recent = (1, 1, 1)
        self._block_type = 0
        self._block_size = self._block_left = 0
        self._window = bytearray()
        self._produced = 0
        #: File size for the E8 translation; 0 for none, None before the stream's header is read.
        self._e8_size: Optional[int] = None
        # The frame being read: its bytes, at each word's index that word and the next, and the bit position.
        self._data = b""
        self._pairs: List[int] = []
        self._at = 0

    def frame(self, data: bytes, size: int) -> bytes:
        """The next `size` bytes (32 KiB but for the last frame) out of a frame's compressed bytes."""
        if not 0 < size <= FRAME_SIZE:
            _damaged(f"a frame of {size} bytes")
        # Bytes that the frame before left over belong to the stream (a padding byte may).
        self._load(self._data[self._at >> 3 :] + data)
        window = self._window
        if len(window) > self._window_size + (1 << 20):
            del window[: len(window) - self._window_size]
        start = len(window)
        goal = start + size
        try:
            if self._e8_size is None:
                self._e8_size = self._bits(16) << 16 | self._bits(16) if self._bits(1) else 0
            while len(window) < goal:
                self._run(goal)
        except IndexError:
            _damaged("it ends too early")
        if self._at > len(self._data) * 8:
            _damaged("it ends too early")
        if self._block_type != _UNCOMPRESSED:
            self._at = (self._at + 15) & ~15
        output = bytes(window[start:])
        self._produced += size
        return self._translated(output) if self._e8_size and self._produced <= _E8_LIMIT else output

    def _load(self, data: bytes) -> None:
        self._data = data
        padded = data + bytes(6 + (len(data) & 1))
        words = unpack(f"<{len(padded) // 2}H", padded)
        self._pairs = [first << 16 | second for first, second in zip(words, words[1:])]
        self._at = 0

    def _bits(self, count: int) -> int:
        """The next `count` bits, at most 17."""
        at = self._at
        self._at = at + count
        return (self._pairs[at >> 4] >> (32 - count - (at & 15))) & ((1 << count) - 1)

    def _symbol(self, tree: _Tree) -> int:
        longest, table = tree
        at = self._at
        entry = table[(self._pairs[at >> 4] >> (32 - longest - (at & 15))) & ((1 << longest) - 1)]
        self._at = at + (entry & 31)
        return entry >> 5

    # Blocks

    def _run(self, goal: int) -> None:
        """Decode up to the end of the block or of the frame (`goal`, a length of the window)."""
        if not self._block_left:
            self._block_header()
        before = len(self._window)
        stop = min(goal, before + self._block_left)
        if self._block_type == _UNCOMPRESSED:
            self._copy(stop - before)
        else:
            self._decode(stop)
        if len(self._window) > stop:
            _damaged("a match runs over the end of its block or frame")
        self._block_left -= len(self._window) - before

    def _block_header(self) -> None:
        if self._block_type == _UNCOMPRESSED:
            # Behind its bytes, with one to pad an odd number of them, words begin anew.
            self._load(self._data[(self._at >> 3) + (self._block_size & 1) :])
        self._block_type = self._bits(3)
        self._block_size = self._block_left = self._bits(8) << 16 | self._bits(16)
        if not self._block_left:
            _damaged("an empty block")
        if self._block_type == _UNCOMPRESSED:
            start = ((self._at | 15) + 1) >> 3
            if start + 12 > len(self._data):
                _damaged("it ends too early")
            first, second, third = unpack_from("<3I", self._data, start)
            self._recent = (first, second, third)
            self._at = (start + 12) * 8
        elif self._block_type in (_VERBATIM, _ALIGNED):
            self._aligned = None
            if self._block_type == _ALIGNED:
                self._aligned = _tree([self._bits(3) for _ in range(8)])
            self._read_lengths(self._main_lengths, 0, 256)
            self._read_lengths(self._main_lengths, 256, len(self._main_lengths))
            self._main = _tree(self._main_lengths)
            self._read_lengths(self._length_lengths, 0, _LENGTH_SYMBOLS)
            self._length = _tree(self._length_lengths, may_be_empty=True)
        else:
            _damaged(f"a block of type {self._block_type}")

    def _read_lengths(self, lengths: List[int], index: int, end: int) -> None:
        """Code lengths, given as differences to those of the block before, through a tree of their own."""
        tree = _tree([self._bits(4) for _ in range(_PRE_SYMBOLS)])
        while index < end:
            code = self._symbol(tree)
            count, value = 1, 0
            if code == 17:
                count = self._bits(4) + 4
            elif code == 18:
                count = self._bits(5) + 20
            else:
                if code == 19:
                    count = self._bits(1) + 4
                    code = self._symbol(tree)
                    if code > 16:
                        _damaged("a code length out of range")
                value = (lengths[index] - code) % 17
            if index + count > end:
                _damaged("too many code lengths")
            lengths[index : index + count] = [value] * count
            index += count

    def _copy(self, size: int) -> None:
        """Bytes of an uncompressed block."""
        start = self._at >> 3
        piece = self._data[start : start + size]
        if len(piece) < size:
            _damaged("it ends too early")
        self._window += piece
        self._at += size * 8

    def _decode(self, stop: int) -> None:
        """Literals and matches until the window holds `stop` bytes. The hot loop: everything in locals."""
        window, pairs, at = self._window, self._pairs, self._at
        append = window.append
        longest, main = self._main
        main_shift, main_mask = 32 - longest, (1 << longest) - 1
        extra_bits, first_offset, window_size = self._extra, self._first, self._window_size
        recent0, recent1, recent2 = self._recent
        while len(window) < stop:
            entry = main[(pairs[at >> 4] >> (main_shift - (at & 15))) & main_mask]
            at += entry & 31
            symbol = entry >> 5
            if symbol < 256:
                append(symbol)
                continue
            length = symbol & 7
            slot = (symbol - 256) >> 3
            if length == 7:
                self._at = at
                length += self._symbol(self._length)
                at = self._at
            length += 2
            if slot > 2:
                self._at = at
                offset = first_offset[slot] + self._offset_bits(extra_bits[slot])
                at = self._at
                recent0, recent1, recent2 = offset, recent0, recent1
            elif slot == 0:
                offset = recent0
            elif slot == 1:
                offset = recent1
                recent0, recent1 = offset, recent0
            else:
                offset = recent2
                recent0, recent2 = offset, recent0
            source = len(window) - offset
            if source < 0 or not 0 < offset <= window_size:
                _damaged("a match from before the beginning")
            if offset >= length:
                window += window[source : source + length]
            else:
                window += (window[source:] * (length // offset + 1))[:length]
        self._at = at
        self._recent = (recent0, recent1, recent2)

    def _offset_bits(self, extra: int) -> int:
        """The part of a match offset that its slot does not give: the last three bits have a tree in aligned blocks."""
        if self._aligned is not None and extra >= 3:
            high = self._bits(extra - 3) << 3 if extra > 3 else 0
            return high + self._symbol(self._aligned)
        return self._bits(extra) if extra else 0

    # E8 translation

    def _translated(self, frame: bytes) -> bytes:
        """Absolute targets of x86 calls made relative again."""
        size = len(frame)
        found = frame.find(b"\xe8")
        if size <= 10 or found < 0:
            return frame
        output = bytearray(frame)
        base = self._produced - size
        file_size = self._e8_size or 0
        while 0 <= found < size - 10:
            position = base + found
            target = int.from_bytes(frame[found + 1 : found + 5], "little", signed=True)
            if -position <= target < file_size:
                relative = target - position if target >= 0 else target + file_size
                output[found + 1 : found + 5] = (relative & 0xFFFFFFFF).to_bytes(4, "little")
            found = frame.find(b"\xe8", found + 5)
        return bytes(output)
