"""Code of a target as instructions, named by its symbols."""

from __future__ import annotations

from dumpkit.disassembly import disassembler
from dumpkit.disassembly.effective_address import effective_address_note
from dumpkit.disassembly.instruction import Instruction
from dumpkit.module_code import ModuleCode
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

#: The privilege level in a selector's low bits that user mode has.
_USER_MODE = 3

#: The longest instruction in bytes: x64's limit, and ARM64's only size.
LONGEST = {"x64": 15, "ARM64": 4}


def name_of(target: Target, address: int) -> Optional[str]:
    """The name of a virtual address as it stands in an operand, or None outside every module.

    In an image that was unloaded it is `<Unloaded_NAME>+0x10`.
    """
    place = target.symbols.nearest(address)
    if place is not None:
        return str(place)
    for gone in target.unloaded_modules:
        if gone.base <= address < gone.end:
            displacement = address - gone.base
            return f"<Unloaded_{gone.name}>" + (f"+0x{displacement:x}" if displacement else "")
    return None


def label_of(target: Target, address: int, lines: bool = False) -> Optional[str]:
    """The heading of the code at a virtual address, or None outside every module.

    It is the name; with `lines`, the source line behind it. Code of a function that was inlined is named by that, and
    by where it was inlined behind it: `driver!InitializeEvent+0x7 [inlined in driver!Start+0x77]`.
    """
    name = name_of(target, address)
    if name is None:
        return None
    line = target.symbols.source_line(address) if lines else None
    source = f" [{line.file} @ {line.line}]" if line is not None else ""
    innermost = next(iter(target.symbols.inlined(address)), None)
    if innermost is None:
        return name + source
    displacement = address - innermost.address
    inlined = f"{innermost.module.name}!{innermost.name}" + (f"+0x{displacement:x}" if displacement else "")
    return f"{inlined}{source} [inlined in {name}{source}]"


def instruction_at(target: Target, address: int) -> Instruction:
    """The instruction at a virtual address; an invalid one where neither memory nor the module's image has it."""
    code = ModuleCode(target).read_prefix(address, LONGEST[target.architecture.name])
    return disassembler(target.architecture).decode(code, address, lambda place: name_of(target, place))


def instructions(target: Target, address: int, count: int, end: Optional[int] = None) -> List[Instruction]:
    """Up to `count` instructions from a virtual address on, or those that start below `end`.

    Ends behind the first one that cannot be read.
    """
    found: List[Instruction] = []
    while len(found) < count and (end is None or address < end):
        instruction = instruction_at(target, address)
        found.append(instruction)
        if not instruction.raw:
            break
        address = instruction.next_address
    return found


def instructions_before(
    target: Target, address: int, count: int, function_start: Optional[int] = None
) -> List[Instruction]:
    """Up to `count` instructions that end at a virtual address, lowest first; none where their bytes are missing."""
    from dumpkit.disassembly.previous import previous_instructions

    return previous_instructions(
        disassembler(target.architecture),
        ModuleCode(target),
        address,
        count,
        function_start,
        lambda place: name_of(target, place),
    )


def current_line(target: Target, context: Context) -> str:
    """The instruction of a context as `r` prints it, with what it is about to read or write behind it."""
    instruction = instruction_at(target, context.instruction_pointer)
    note = effective_address_note(instruction, context, target.memory, lambda place: name_of(target, place))
    # Code of user mode is shown with its selector.
    selector = context.shown("cs") or 0
    prefix = f"{selector:04x}:" if selector & _USER_MODE == _USER_MODE and not instruction.address >> 47 else ""
    return prefix + instruction.line() + note
