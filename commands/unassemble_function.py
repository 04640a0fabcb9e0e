"""`uf`: a function's code, block by block."""

from __future__ import annotations

from dumpkit.code import label_of, name_of
from dumpkit.commands.unassemble import CodeLine, code_line
from dumpkit.disassembly.instruction import Instruction
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.kernel.function_code import Block, FunctionCode, function_code
from dumpkit.memory import U64_MASK
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple


class CodeBlock(Record):
    """Instructions that run one behind the other."""

    label: str
    lines: Tuple[CodeLine, ...]


class CalledFrom(Record):
    """A call of a function; addresses are virtual."""

    address: Hex
    #: Where it is called: `nt!Name+0x10 (fffff802`04200010)`, its source line behind it where that is known.
    location: str
    #: What is called, likewise; None where that is not known.
    called: Optional[str]
    target: Optional[Hex]


class Function(Record):
    """A function: its blocks by address."""

    name: str
    begin: Hex
    blocks: Tuple[CodeBlock, ...]
    calls: Tuple[CalledFrom, ...]
    instructions: int
    #: Whether all of the code that execution can be followed to was there.
    is_complete: bool
    _options: str = ""
    _starts: Tuple[int, ...] = ()
    _place: str = ""


_INCOMPLETE = "Flow analysis was incomplete, some code may be missing"
_OPTIONS = "cdDimoO"
_USAGE = "uf [/c] [/i] [/m] ADDRESS"


def _options(text: str) -> Tuple[str, int]:
    """The letters behind slashes at the start of a text, and where the rest begins."""
    given, at = "", 0
    while text.startswith("/", at):
        at += 1
        while at < len(text) and not text[at].isspace():
            if text[at] not in _OPTIONS:
                raise ExpressionError("Unknown uf option", at + 1, text, caret=True)
            given += text[at]
            at += 1
        while at < len(text) and text[at].isspace():
            at += 1
    return given, at


def _merged(code: FunctionCode) -> List[Block]:
    """The blocks with those that nothing but the block before them leads to made part of it."""
    goals = {
        line.target
        for block in code.blocks
        for line in block.instructions
        if line.is_branch and line.target is not None
    }
    merged: List[Block] = []
    for block in code.blocks:
        last = merged[-1].instructions[-1] if merged else None
        if last is not None and block.address not in goals and last.next_address == block.address:
            merged[-1] = Block((*merged[-1].instructions, *block.instructions))
        else:
            merged.append(block)
    return merged


def _calls(target: Target, code: FunctionCode, lines: bool) -> Iterator[CalledFrom]:
    for block in code.blocks:
        for instruction in block.instructions:
            if instruction.is_call:
                goal = _goal(target, instruction)
                yield CalledFrom(
                    Hex(instruction.address),
                    _place(target, instruction.address, lines),
                    _place(target, goal, lines) if goal is not None else None,
                    Hex(goal) if goal is not None else None,
                )


def _goal(target: Target, instruction: Instruction) -> Optional[int]:
    """What a call calls: its target, or what lies in the cell that it names (an import's); None for a register."""
    if instruction.target is not None or not instruction.memory:
        return instruction.target
    cell = instruction.memory[0]
    if cell.base or cell.index_register or cell.segment:
        return None
    return target.memory.u64_optional(cell.displacement & U64_MASK)


def _place(target: Target, address: int, lines: bool) -> str:
    """`nt!Name+0x10 (fffff802`04200010) [file @ line]`."""
    name = name_of(target, address)
    line = target.symbols.source_line(address) if lines else None
    source = f" [{line.file} @ {line.line}]" if line is not None else ""
    return (f"{name} ({quoted(address)})" if name else quoted(address)) + source


def _block_lines(result: Function) -> Iterator[Line]:
    starts = set(result._starts)
    for number, block in enumerate(result.blocks):
        if number:
            yield ""
        yield (Span(f"{block.label}:", "symbol"),)
        # The debugger takes a return that is a block of its own for a jump, too.
        returns = number > 0 and len(block.lines) == 1 and block.lines[0].mnemonic == "ret"
        for line in block.lines:
            source = f"{line.source:5d} " if line.source is not None else ""
            # Where the debugger makes a link of a jump to another block, text copied from it has this word.
            branch = ("  Branch",) if returns or line.goal in starts else ()
            yield (source, Span(quoted(line.address), "address"), f" {line._text}", *branch)


def function_lines(result: Function) -> Iterator[Line]:
    if not result.is_complete:
        yield (Span(_INCOMPLETE, "warning"),)
    if "i" in result._options:
        yield f"{result.instructions} instructions scanned"
        yield ""
    if "c" not in result._options:
        yield from _block_lines(result)
        return
    yield result._place
    for call in result.calls:
        yield f"  {call.location}:"
        if call.called is not None:
            yield f"    call to {call.called}"
        else:
            yield "    unresolvable call: call"


@command(
    "uf",
    category="Code",
    summary="The code of a function",
    arguments=(Text("query", "options as below, then an address in the function", required=True),),
    render=function_lines,
)
def uf(session: Session, query: str) -> Function:
    """Shows the code of the function that an address is in: every block that execution can reach from its start.

    /c  the calls only     /i  how many instructions there are     /m  blocks that follow on each other as one

    A jump to a block that is shown has Branch behind it. Code that the dump lacks is taken from the module's image,
    where the symbol path leads to it. Where a jump goes through a table, what it leads to is missing.
    """
    options, at = _options(query)
    if not query[at:].strip():
        raise ExpressionError("Address expression missing from", at, query)
    address, rest = session.evaluate_prefix(query[at:])
    session.refuse_surplus(query, len(query) - len(rest))
    target = session.dump
    code = function_code(target, address)
    if not code.blocks:
        raise CommandError("No code found, aborting")
    blocks = []
    for block in _merged(code) if "m" in options else code.blocks:
        label = label_of(target, block.address, session.lines) or quoted(block.address)
        blocks.append(
            CodeBlock(label, tuple(code_line(target, line, None, session.lines) for line in block.instructions))
        )
    return Function(
        name_of(target, code.begin) or quoted(code.begin),
        Hex(code.begin),
        tuple(blocks),
        tuple(_calls(target, code, session.lines)),
        sum(len(block.instructions) for block in code.blocks),
        code.is_complete,
        options,
        tuple(code.starts),
        _place(target, code.begin, session.lines),
    )
