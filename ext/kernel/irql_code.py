"""The code that flows of the IRQL are followed through: its instructions, its jump tables, what its calls name."""

from __future__ import annotations

from dumpkit.kernel.call_names import CallNames
from dumpkit.kernel.irql_steps import Steps
from dumpkit.kernel.unwind import Unwinder
from dumpkit.module_code import ModuleCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Sequence, Tuple

    from dumpkit.disassembly.capstone_library import Decoded, Decoder
    from dumpkit.target import Target

#: Entries of a jump table.
_MOST_CASES = 1024
#: Bytes of the longest x64 instruction (Intel SDM volume 2, 2.3.11), and of what is read at a time.
_LONGEST = 15
_WINDOW = 0x200


class FlowCode:
    """The code of a target's images, as `decode` reads it."""

    def __init__(self, target: Target, decode: Decoder) -> None:
        self.target = target
        self.names = CallNames(target)
        self.unwinder = Unwinder(target)
        #: What instructions that neither call nor jump do.
        self.steps = Steps(self.names)
        self._memory = ModuleCode(target)
        self._decode = decode
        self._window: Tuple[int, bytes] = (0, b"")

    def instruction(self, address: int) -> Optional[Decoded]:
        """The instruction at a virtual address; None where its bytes are missing or are none."""
        start, window = self._window
        offset = address - start
        if not 0 <= offset <= len(window) - _LONGEST:
            start, window = self._window = (address, self._memory.read_prefix(address, _WINDOW))
            offset = 0
        code = window[offset : offset + _LONGEST]
        return self._decode(code, address) if code else None

    def table(self, table: int, base: int, is_inside: Callable[[int], bool]) -> Sequence[int]:
        """The virtual addresses that a jump table leads to, as long as they lead into the function.

        `table` is its virtual address; an entry is the signed distance of its target from `base`.
        """
        targets: Dict[int, None] = {}
        for index in range(_MOST_CASES):
            entry = self._memory.read_optional(table + 4 * index, 4)
            target = base + int.from_bytes(entry, "little", signed=True) if entry is not None else 0
            if not target or not is_inside(target):
                break
            targets[target] = None
        return tuple(targets)
