"""One decoded instruction: its text as the debugger prints it, and what it does to control flow and memory."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Tuple

    from dumpkit.registers import Context
    from typing_extensions import TypeAlias

#: Gives the name of a virtual address as it stands in an operand ("nt!KeBugCheckEx", "nt+0x1234"), or None.
SymbolNames: TypeAlias = "Callable[[int], Optional[str]]"

_U64 = 0xFFFF_FFFF_FFFF_FFFF


class MemoryOperand(NamedTuple):
    """A memory operand: the parts that its effective address is computed from.

    Register names are lower case, "" where there is none. `displacement` is signed; a displacement
    from the instruction pointer is already resolved into the absolute virtual address.
    """

    #: Segment prefix of the instruction ("gs"), "" where the default one applies.
    segment: str
    base: str
    index_register: str
    #: What the index is multiplied by: 1, 2, 4 or 8 (ARM64: any power of two up to 16).
    scale: int
    displacement: int
    #: Bytes read or written; 0 where the instruction only names the address (lea, prefetch).
    size: int
    #: Bits of the address: 64, or 32 under an address-size prefix.
    width: int = 64
    #: How ARM64 extends the index before scaling: "", "uxtw", "sxtw" or "sxtx".
    extend: str = ""

    def address(self, context: Context) -> int:
        """The effective virtual address, segment base not added.

        Raises RegisterError where the context lacks one of its registers.
        """
        value = self.displacement
        if self.base:
            value += context[self.base]
        if self.index_register:
            index = context[self.index_register]
            if self.extend == "uxtw":
                index &= 0xFFFFFFFF
            elif self.extend == "sxtw":
                index = (index & 0xFFFFFFFF) - ((index & 0x80000000) << 1)
            value += index * self.scale
        return value & ((1 << self.width) - 1)


class Instruction(NamedTuple):
    """One instruction at a virtual address."""

    address: int
    #: Its bytes; empty where the memory could not be read.
    raw: bytes
    #: As the engine spells it, prefixes included ("lock cmpxchg"); "???" where the bytes are no instruction.
    mnemonic: str
    #: Operands as the engine prints them; "" where there are none.
    operands: str
    #: Bytes, mnemonic and operands in the engine's columns: the line without its address.
    text: str
    #: "call", "jump", "conditional", "return", or "" where execution goes on behind the instruction.
    flow: str = ""
    #: The virtual address that a direct call or branch goes to, or None.
    target: Optional[int] = None
    #: The memory operands in the order they are printed.
    memory: Tuple[MemoryOperand, ...] = ()
    #: The register that an indirect call or branch goes to (`call rax`, `blr x8`), or "".
    target_register: str = ""

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.raw)

    @property
    def next_address(self) -> int:
        """The virtual address behind the instruction."""
        return (self.address + len(self.raw)) & _U64

    @property
    def is_valid(self) -> bool:
        """Whether the bytes were readable and are an instruction."""
        return self.mnemonic != "???"

    @property
    def is_call(self) -> bool:
        return self.flow == "call"

    @property
    def is_return(self) -> bool:
        return self.flow == "return"

    @property
    def is_branch(self) -> bool:
        """A jump, conditional or not."""
        return self.flow in ("jump", "conditional")

    @property
    def is_conditional(self) -> bool:
        return self.flow == "conditional"

    def line(self) -> str:
        """The line of `u`: address, bytes, mnemonic, operands."""
        return f"{quoted(self.address)} {self.text}"
