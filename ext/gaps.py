"""What could not be read, collected while the rest is shown.

gaps = Gaps()
name = gaps.read("its name", lambda: thing.name, "?")
gaps.lines()        "its name: not present at PDE"
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple, TypeVar, Union

    T = TypeVar("T")


#: Lines beyond these are counted, not shown.
_SHOWN = 12


class Gaps:
    """Reasons for what is missing, each once, in the order in which they were met."""

    def __init__(self) -> None:
        self._found: Dict[str, int] = {}

    def read(self, what: str, function: Callable[[], T], default: Any = None) -> Union[T, Any]:
        """What a function gives, or `default` where it raises a DumpkitError, whose reason is kept."""
        try:
            return function()
        except DumpkitError as error:
            self.add(what, error)
            return default

    def add(self, what: str, reason: Optional[Union[str, DumpkitError]]) -> None:
        """Keep a reason; None is none."""
        if reason is None:
            return
        if isinstance(reason, MemoryReadError):
            # The page says enough: an array of records misses each of its words alike.
            reason = f"{reason.address & ~0xFFF:016x}: {reason.reason}"
        line = f"{what}: {reason}"
        self._found[line] = self._found.get(line, 0) + 1

    def lines(self) -> Tuple[str, ...]:
        """The reasons, as many as a person would read."""
        lines = [line if count == 1 else f"{line} ({count} times)" for line, count in self._found.items()]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"… and {len(lines) - _SHOWN} more that could not be read"]
        return tuple(lines)

    def __bool__(self) -> bool:
        return bool(self._found)
