"""Frames as people read them: named by symbols, with the functions inlined in each, and their source lines."""

from __future__ import annotations

from dumpkit.kernel.stack import Frame
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Optional


class NamedFrame(NamedTuple):
    """A row of a stack: a frame, or a function inlined in the next one that is none.

    `symbol` is `nt!KeBugCheckEx+0x12`, None outside every module; `source` is `file @ line`.
    """

    frame: Frame
    symbol: Optional[str]
    module: Optional[str]
    source: Optional[str]
    is_inline: bool = False

    @property
    def name(self) -> str:
        """The symbol, or the bare address of the instruction."""
        return self.symbol or f"0x{self.frame.instruction_pointer:x}"

    @property
    def function(self) -> str:
        """The name without the distance into the function."""
        return self.name.rpartition("+0x")[0] or self.name


def named_frames(target: Target, frames: Iterable[Frame], lines: bool = True) -> Iterator[NamedFrame]:
    """The rows of a stack, innermost first; inlined functions come before the frame that they are in.

    `lines` says whether source lines are looked for.
    """
    symbols = target.symbols
    for frame in frames:
        address = frame.instruction_pointer
        for inlined in symbols.inlined(frame.code_address):
            distance = address - inlined.address
            name = f"{inlined.module.name}!{inlined.name}" + (f"+0x{distance:x}" if distance > 0 else "")
            source = f"{inlined.file} @ {inlined.line}" if lines and inlined.file is not None else None
            yield NamedFrame(frame, name, inlined.module.name, source, True)
        place = symbols.nearest(address)
        line = symbols.source_line(address) if lines else None
        yield NamedFrame(
            frame,
            str(place) if place is not None else _name_outside(target, address),
            place.module.name if place is not None else None,
            f"{line.file} @ {line.line}" if line is not None else None,
        )


def _name_outside(target: Target, address: int) -> Optional[str]:
    """The name of an address outside every loaded module: that of an unloaded one, or None."""
    from dumpkit.code import name_of

    return name_of(target, address)
