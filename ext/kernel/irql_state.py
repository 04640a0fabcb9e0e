"""What is known at one place of a function of the IRQL, and of the registers and stack slots that hold levels."""

from __future__ import annotations

from dumpkit.kernel.call_names import Routine
from dumpkit.kernel.irql import HIGH_LEVEL
from dumpkit.kernel.irql_effects import Raise, Restore
from dumpkit.kernel.irql_level import ENTRY, UNKNOWN, Change, Level
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import PARTS, VOLATILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple, Union

    from typing_extensions import TypeAlias

#: A register or a part of one -> the whole.
WHOLE: Dict[str, str] = {name: part[0] for name, part in PARTS["x64"].items()}
WHOLE.update((name, name) for name in "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 cr8".split())

#: What variables on the stack are addressed by; and what changes so often that cells by it are not kept.
_STACK = ("rsp", "rbp")
_UNKEPT = ("rax", "rcx")
#: Raises that are in force at once; real code has one or two.
_MOST_HELD = 6


class Held(NamedTuple):
    """A raise that is in force: what it changed, and what it was before."""

    change: Change
    before: Level
    #: What the level before was from; None where it was that of the function's start.
    before_by: Optional[Change]


class Place(NamedTuple):
    """The address of a stack slot or another cell, as the operand that stands for it."""

    text: str

    @property
    def is_variable(self) -> bool:
        """Whether it is that of a variable on the stack."""
        return self.text[:3] in _STACK


class FunctionTable(NamedTuple):
    """The address of the driver framework's function table."""

    framework: str


Value: TypeAlias = "Union[Level, Place, Routine, FunctionTable]"
#: What tells two ways to a place apart.
Key: TypeAlias = "Tuple[Level, Optional[Change], Tuple[Held, ...]]"


class State:
    """One way to a place. Registers and cells that hold neither a level nor what leads to one are left out."""

    __slots__ = ("believed", "by", "cells", "compared", "held", "irql", "is_assumed", "registers")

    def __init__(self, irql: Level = ENTRY) -> None:
        self.irql = irql
        #: What the level is from; None where it is that of the start.
        self.by: Optional[Change] = None
        self.held: Tuple[Held, ...] = ()
        self.registers: Dict[str, Value] = {}
        self.cells: Dict[str, Value] = {}
        #: What the last comparison compared with what number.
        self.compared: Optional[Tuple[Level, int]] = None
        #: Whether a release whose argument is not known was taken to restore what the last raise found.
        self.is_assumed = False
        #: The last call that could not be followed, by its virtual address; 0 where there was none.
        self.believed = 0

    @property
    def key(self) -> Key:
        return self.irql, self.by, self.held

    def copy(self) -> State:
        other = State.__new__(State)
        other.irql, other.by, other.held = self.irql, self.by, self.held
        other.registers, other.cells = self.registers.copy(), self.cells.copy()
        other.compared, other.is_assumed, other.believed = self.compared, self.is_assumed, self.believed
        return other

    def merge(self, other: State) -> bool:
        """Keep only what another state of the same key knows too; whether anything was lost."""
        was = self.is_assumed, self.believed, self.compared
        self.is_assumed = self.is_assumed or other.is_assumed
        self.believed = self.believed or other.believed
        if self.compared != other.compared:
            self.compared = None
        changed = was != (self.is_assumed, self.believed, self.compared)
        if self.registers != other.registers:
            shared = {name: value for name, value in self.registers.items() if other.registers.get(name) == value}
            changed = changed or len(shared) != len(self.registers)
            self.registers = shared
        if self.cells != other.cells:
            kept = {text: value for text, value in self.cells.items() if other.cells.get(text) == value}
            changed = changed or len(kept) != len(self.cells)
            self.cells = kept
        return changed

    # Registers and cells

    def set(self, register: str, value: Optional[Value]) -> None:
        """A register's new value; None where nothing is known of it."""
        if value is None:
            self.registers.pop(register, None)
        else:
            self.registers[register] = value
        if register in _STACK or (self.cells and register not in _UNKEPT):
            self.forget_cells(register)

    def forget_cells(self, register: str) -> None:
        """Cells by an address that a register was part of are others now."""
        stale = [text for text in self.cells if register in text]
        for text in stale:
            del self.cells[text]
        if register in _STACK:
            moved = [
                name for name, value in self.registers.items() if isinstance(value, Place) and register in value.text
            ]
            for name in moved:
                del self.registers[name]

    def level_in(self, register: str) -> Optional[Level]:
        """The level that a register holds, or None; other numbers are none."""
        value = self.registers.get(register)
        return value if isinstance(value, Level) and value.low <= HIGH_LEVEL else None

    def value_at(self, place: str) -> Optional[Value]:
        """What a register or a cell holds, where that is known."""
        return self.registers.get(place) if place in WHOLE else self.cells.get(place)

    def number_at(self, place: str) -> Optional[int]:
        """The number in a register or a cell, where it is known."""
        value = self.value_at(place)
        return value.low if isinstance(value, Level) and value.is_exact else None

    def number_behind(self, place: str) -> Optional[int]:
        """The number in the variable whose address a register or a cell holds, where both are known."""
        value = self.value_at(place)
        return self.number_at(value.text) if isinstance(value, Place) and value.is_variable else None

    def keep(self, cell: str, value: Optional[Value]) -> None:
        """What is stored in a cell; None where nothing is known of it."""
        if value is None or any(register in cell for register in _UNKEPT):
            self.cells.pop(cell, None)
        else:
            self.cells[cell] = value

    def return_from_call(self) -> None:
        """A callee may have changed what it may change: registers, and cells whose address it was given."""
        if self.cells:
            for name in ("rcx", "rdx", "r8", "r9"):
                value = self.registers.get(name)
                if isinstance(value, Place):
                    self.cells.pop(value.text, None)
        for name in VOLATILE:
            self.registers.pop(name, None)
        self.compared = None

    # The IRQL

    def raise_to(self, level: Level, change: Change) -> None:
        """The level goes up to `level`, by this instruction; where it is that high already it stays."""
        self.held = (*self.held, Held(change, self.irql, self.by))[-_MOST_HELD:]
        if self.irql.is_relative or level.is_relative or self.irql.low < level.high:
            self.irql, self.by = level, change

    def set_to(self, level: Optional[Level], change: Change) -> None:
        """cr8 is written: a raise, or the way back to a level that was saved."""
        for index in range(len(self.held) - 1, -1, -1):
            if level is not None and self.held[index].before == level:
                self._undo(index)
                return
        if level is None and self.held:
            # An unknown number after a raise is what was saved before it, far more often than not.
            self._undo(len(self.held) - 1)
            self.is_assumed = True
        elif level == self.irql:
            return
        elif level is None:
            self.raise_to(UNKNOWN, change)
        else:
            self.raise_to(level, change)

    def restore(self, level: Optional[Level], change: Change) -> None:
        """A level is restored: that one, or where it is not known, what the last raise found."""
        if level is not None:
            for index in range(len(self.held) - 1, -1, -1):
                if self.held[index].before == level:
                    self._undo(index)
                    return
            self.irql, self.by, self.held = level, None if level == ENTRY else change, ()
        else:
            self.pop(1, change)
            self.is_assumed = True

    def pop(self, count: int, change: Change) -> None:
        """Undo the last raises; those that are not this function's are its callers'."""
        for _ in range(count):
            if self.held:
                self._undo(len(self.held) - 1)
            elif self.irql.is_relative:
                self.irql = self.irql._replace(pops=self.irql.pops + 1)
            else:
                self.irql, self.by = Level(0, self.irql.high), change

    def _undo(self, index: int) -> None:
        held = self.held[index]
        self.irql, self.by, self.held = held.before, held.before_by, self.held[:index]

    # Routines

    def call_raise(self, effect: Raise, change: Change) -> None:
        """A routine that raises is called."""
        old = self.irql
        level = effect.level
        if level is None:
            level = self.level_in(effect.argument)
        saved = self.registers.get(effect.saved_at)
        self.return_from_call()
        self.raise_to(level if level is not None else Level(0 if old.is_relative else old.low, 15), change)
        if isinstance(saved, Place):
            self.keep(saved.text, old)
        if effect.returns_old:
            self.registers["rax"] = old

    def call_restore(self, effect: Restore, change: Change) -> None:
        """A routine that lowers to what was saved is called."""
        level = self.level_in(effect.argument) if effect.argument else None
        self.return_from_call()
        if effect.argument:
            self.restore(level, change)
        else:
            self.pop(1, change)
