"""Writes cabinets: stored, MSZIP and LZX (every kind of block), sound unless a test damages them."""

from __future__ import annotations

import heapq
import zlib
from struct import pack, unpack_from
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

FRAME = 0x8000
STORED, MSZIP = 0, 1
VERBATIM, ALIGNED, UNCOMPRESSED = 1, 2, 3
_SLOTS = {15: 30, 16: 32, 17: 34, 18: 36, 19: 38, 20: 42, 21: 50}


def lzx(window_bits: int) -> int:
    """The compression type of LZX with that window."""
    return 3 | window_bits << 8


def cabinet(
    files: Sequence[Tuple[str, bytes]],
    compression: int = MSZIP,
    reserve: Tuple[int, int, int] = (0, 0, 0),
    blocks: Optional[Sequence[Tuple[int, int]]] = None,
    e8_size: int = 0,
) -> bytes:
    """A cabinet of one folder. `blocks` are (type, size) of LZX blocks, used round and round."""
    data = b"".join(content for _, content in files)
    if compression & 15 == 3:
        frames = list(lzx_frames(data, compression >> 8, blocks or [(VERBATIM, 1 << 16)], e8_size))
    else:
        frames = [(pack_frame(data, at, compression), min(FRAME, len(data) - at)) for at in range(0, len(data), FRAME)]
    flags = 4 if any(reserve) else 0
    reserved = pack("<HBB", *reserve) + bytes(reserve[0]) if flags else b""
    entries, at = b"", 0
    for name, content in files:
        entries += pack("<IIHHHH", len(content), at, 0, 0x5821, 0x6000, 0x20) + name.encode() + b"\0"
        at += len(content)
    files_at = 36 + len(reserved) + 8 + reserve[1]
    body = b"".join(_block(frame, size, reserve[2]) for frame, size in frames)
    total = files_at + len(entries) + len(body)
    head = pack("<4sIIIIIBBHHHHH", b"MSCF", 0, total, 0, files_at, 0, 3, 1, 1, len(files), flags, 1, 0)
    folder = pack("<IHH", files_at + len(entries), len(frames), compression) + bytes(reserve[1])
    return head + reserved + folder + entries + body


def _block(data: bytes, size: int, reserve: int) -> bytes:
    head = pack("<HH", len(data), size) + bytes(reserve)
    return pack("<I", _checksum(data, _checksum(head, 0))) + head + data


def _checksum(data: bytes, seed: int) -> int:
    """As the Cabinet SDK states it, byte by byte."""
    whole = len(data) // 4
    for index in range(whole):
        seed ^= int(unpack_from("<I", data, index * 4)[0])
    rest = 0
    for byte in data[whole * 4 :]:
        rest = rest << 8 | byte
    return seed ^ rest


def pack_frame(data: bytes, at: int, compression: int) -> bytes:
    """A stored or MSZIP block."""
    piece = data[at : at + FRAME]
    if compression == STORED:
        return piece
    previous = data[max(at - FRAME, 0) : at]
    packer = (
        zlib.compressobj(9, zlib.DEFLATED, -15, zdict=previous) if previous else zlib.compressobj(9, zlib.DEFLATED, -15)
    )
    return b"CK" + packer.compress(piece) + packer.flush()


# LZX


class _Bits:
    """16-bit words, the most significant bit first."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._value = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        self._value = self._value << count | value
        self._count += count
        while self._count >= 16:
            self._count -= 16
            self.data += pack("<H", self._value >> self._count & 0xFFFF)
        self._value &= (1 << self._count) - 1

    def align(self) -> None:
        if self._count:
            self.put(0, 16 - self._count)

    def align_for_bytes(self) -> None:
        """1 to 16 bits, never none."""
        self.put(0, 16 - self._count)


class _Token(NamedTuple):
    main: int
    length: Optional[int] = None
    extra: int = 0
    value: int = 0


def _slots(bits: int) -> List[Tuple[int, int]]:
    slots, position = [], 0
    for slot in range(_SLOTS[bits]):
        extra = 0 if slot < 4 else min(slot // 2 - 1, 17)
        slots.append((position, extra))
        position += 1 << extra
    return slots


class _Encoder:
    def __init__(self, data: bytes, window_bits: int, e8_size: int) -> None:
        self.original = data
        self.e8_size = e8_size
        self.data = _to_absolute(data, e8_size) if e8_size else data
        self.window = 1 << window_bits
        self.slots = _slots(window_bits)
        self.recent = [1, 1, 1]
        self.main_lengths = [0] * (256 + 8 * len(self.slots))
        self.length_lengths = [0] * 249
        self.seen: Dict[bytes, int] = {}
        self.bits = _Bits()
        self.frames: List[Tuple[bytes, int]] = []

    def run(self, blocks: Sequence[Tuple[int, int]]) -> List[Tuple[bytes, int]]:
        self.bits.put(1 if self.e8_size else 0, 1)
        if self.e8_size:
            self.bits.put(self.e8_size >> 16, 16)
            self.bits.put(self.e8_size & 0xFFFF, 16)
        at = index = 0
        while at < len(self.data):
            kind, size = blocks[index % len(blocks)]
            end = min(at + size, len(self.data))
            self.bits.put(kind, 3)
            self.bits.put(end - at, 24)
            (self._raw if kind == UNCOMPRESSED else self._coded)(kind, at, end)
            at, index = end, index + 1
        self._frame_end(at, at)
        return self.frames

    def _frame_end(self, before: int, at: int, align: bool = True) -> None:
        """Close the frame where one is full at `at` (always at the end of the data)."""
        start = len(self.frames) * FRAME
        if at - start == FRAME or (at == len(self.data) and at > start and before == at):
            if align:
                self.bits.align()
            self.frames.append((bytes(self.bits.data), at - start))
            self.bits.data.clear()

    def _raw(self, kind: int, at: int, end: int) -> None:
        size = end - at
        self.bits.align_for_bytes()
        self.bits.data += pack("<3I", *self.recent)
        while at < end:
            stop = min(end, (at // FRAME + 1) * FRAME)
            self.bits.data += self.data[at:stop]
            at = stop
            if at == end and size & 1:
                self.bits.data.append(0)
            self._frame_end(0, at, align=False)

    def _coded(self, kind: int, at: int, end: int) -> None:
        tokens = list(self._tokens(at, end))
        aligned = [0] * 8
        main, length = [0] * len(self.main_lengths), [0] * 249
        for _, token in tokens:
            main[token.main] += 1
            if token.length is not None:
                length[token.length] += 1
            if token.extra >= 3:
                aligned[token.value & 7] += 1
        aligned_lengths = _code_lengths(aligned, 7) if kind == ALIGNED else []
        for item in aligned_lengths:
            self.bits.put(item, 3)
        lengths = _code_lengths(main, 16)
        self._put_lengths(self.main_lengths[:256], lengths[:256])
        self._put_lengths(self.main_lengths[256:], lengths[256:])
        self.main_lengths = lengths
        lengths = _code_lengths(length, 16) if any(length) else [0] * 249
        self._put_lengths(self.length_lengths, lengths)
        self.length_lengths = lengths
        codes = _codes(self.main_lengths), _codes(self.length_lengths), _codes(aligned_lengths)
        for position, token in tokens:
            self._put_token(token, kind, *codes)
            self._frame_end(0, position)

    def _put_token(self, token: _Token, kind: int, *codes: Dict[int, Tuple[int, int]]) -> None:
        main, length, aligned = codes
        self.bits.put(*main[token.main])
        if token.length is not None:
            self.bits.put(*length[token.length])
        if kind == ALIGNED and token.extra >= 3:
            self.bits.put(token.value >> 3, token.extra - 3)
            self.bits.put(*aligned[token.value & 7])
        elif token.extra:
            self.bits.put(token.value, token.extra)

    def _tokens(self, at: int, end: int) -> Iterator[Tuple[int, _Token]]:
        """(position behind it, token); greedy, with the last place of each three bytes."""
        data = self.data
        while at < end:
            stop = min(end, (at // FRAME + 1) * FRAME, at + 257)
            offset, size = 0, 0
            for candidate in (*self.recent, at - self.seen.get(data[at : at + 3], at)):
                if 0 < candidate <= min(at, self.window - 3):
                    run = 0
                    while at + run < stop and data[at + run] == data[at + run - candidate]:
                        run += 1
                    if run > size:
                        offset, size = candidate, run
            if size < 2 or (size == 2 and offset not in self.recent):
                size = 1
                token = _Token(data[at])
            else:
                token = self._match(offset, size)
            for place in range(at, at + size):
                self.seen[data[place : place + 3]] = place
            at += size
            yield at, token

    def _match(self, offset: int, size: int) -> _Token:
        extra = value = 0
        if offset in self.recent:
            slot = self.recent.index(offset)
            self.recent[0], self.recent[slot] = self.recent[slot], self.recent[0]
        else:
            slot = next(n for n in reversed(range(len(self.slots))) if self.slots[n][0] <= offset + 2)
            first, extra = self.slots[slot]
            value = offset + 2 - first
            self.recent = [offset, self.recent[0], self.recent[1]]
        head = min(size - 2, 7)
        return _Token(256 + slot * 8 + head, size - 9 if head == 7 else None, extra, value)

    def _put_lengths(self, old: Sequence[int], new: Sequence[int]) -> None:
        items: List[Tuple[int, int, int, Optional[int]]] = []
        at = 0
        while at < len(new):
            run = 1
            while at + run < len(new) and new[at + run] == new[at]:
                run += 1
            delta = (old[at] - new[at]) % 17
            if new[at] == 0 and run >= 20:
                run = min(run, 51)
                items.append((18, run - 20, 5, None))
            elif new[at] == 0 and run >= 4:
                run = min(run, 19)
                items.append((17, run - 4, 4, None))
            elif run >= 4:
                run = min(run, 5)
                items.append((19, run - 4, 1, delta))
            else:
                run = 1
                items.append((delta, 0, 0, None))
            at += run
        counts = [0] * 20
        for code, _, _, follow in items:
            counts[code] += 1
            if follow is not None:
                counts[follow] += 1
        lengths = _code_lengths(counts, 15)
        codes = _codes(lengths)
        for length in lengths:
            self.bits.put(length, 4)
        for code, value, width, follow in items:
            self.bits.put(*codes[code])
            self.bits.put(value, width)
            if follow is not None:
                self.bits.put(*codes[follow])


def _code_lengths(counts: Sequence[int], limit: int) -> List[int]:
    """Huffman code lengths of at most `limit`; a lone symbol gets a companion, so that the code is complete."""
    counts = list(counts)
    while sum(1 for count in counts if count) < 2:
        counts[counts.index(0)] = 1
    while True:
        heap = [(count, symbol, (symbol,)) for symbol, count in enumerate(counts) if count]
        heapq.heapify(heap)
        lengths = [0] * len(counts)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            for symbol in first[2] + second[2]:
                lengths[symbol] += 1
            heapq.heappush(heap, (first[0] + second[0], first[1], first[2] + second[2]))
        if max(lengths) <= limit:
            return lengths
        counts = [(count + 1) // 2 for count in counts]


def _codes(lengths: Sequence[int]) -> Dict[int, Tuple[int, int]]:
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - last
        codes[symbol] = (code, length)
        code, last = code + 1, length
    return codes


def _to_absolute(data: bytes, file_size: int) -> bytes:
    """The encoder's half of the E8 translation."""
    output = bytearray(data)
    for start in range(0, len(data), FRAME):
        end = min(start + FRAME, len(data))
        at = start
        while at < end - 10 and end - start > 10:
            if output[at] != 0xE8:
                at += 1
                continue
            target = int.from_bytes(data[at + 1 : at + 5], "little", signed=True)
            if -at <= target < file_size:
                target = target + at if target < file_size - at else target - file_size
                output[at + 1 : at + 5] = (target & 0xFFFFFFFF).to_bytes(4, "little")
            at += 5
    return bytes(output)


def lzx_frames(
    data: bytes, window_bits: int, blocks: Sequence[Tuple[int, int]], e8_size: int = 0
) -> Iterator[Tuple[bytes, int]]:
    """(compressed bytes, size) of each frame."""
    return iter(_Encoder(data, window_bits, e8_size).run(blocks))
