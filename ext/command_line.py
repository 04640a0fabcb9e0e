"""A line of commands: where one ends and the next begins, blocks in braces included."""

from __future__ import annotations

from dumpkit.errors import ExpressionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

#: Commands that have blocks of commands in braces, in which a `;` does not end them.
BLOCK_COMMANDS = (".block", ".catch", ".do", ".else", ".elsif", ".for", ".foreach", ".if", ".while")
#: Commands that a whole line belongs to, whatever is in it.
_WHOLE_LINE = ("as", "j")
_SCRIPTS = ("$$><", "$$>a<", "$$<")


def first_word(text: str) -> str:
    """The name that a command begins with: letters behind a dot."""
    start = 1 if text.startswith(".") else 0
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[:end]


def split_commands(line: str) -> List[str]:
    """The commands of a line: `;` parts them outside double quotes, `*` makes the rest a comment, `$$` up to a `;`.

    It does not part a block in braces, nor the characters of a constant that `?` evaluates: ? 'a;b'. `as` and `j`
    have the rest of the line.
    """
    return [text for text, _ in parted_commands(line)]


def parted_commands(line: str) -> List[Tuple[str, str]]:
    """The commands of a line as `split_commands` has them, each with what follows it in the line."""
    commands: List[Tuple[str, str]] = []
    position = 0
    while position < len(line):
        start = _behind_space(line, position)
        if line[start : start + 1] == "*":
            break
        position = _command_end(line, start)
        text = line[start:position].strip()
        if text and not (text.startswith("$$") and not text.startswith(_SCRIPTS)):
            commands.append((text, line[start + len(text) :]))
        position += 1
    return commands


def _command_end(line: str, start: int) -> int:
    """The place of the `;` that ends the command at `start`, or of the line's end."""
    word = first_word(line[start : start + 10])
    if word in _WHOLE_LINE and line[start + len(word) : start + len(word) + 1] in (" ", "\t", "", "("):
        return len(line)
    has_blocks = word.lower() in BLOCK_COMMANDS
    has_constants = line[start : start + 1] == "?"
    depth = braces = 0
    position = start
    while position < len(line):
        character = line[position]
        if character == '"':
            position = _closing(line, position, '"')
        elif braces and character in "()":
            # In a block, what opens and closes is for its commands to read.
            pass
        elif character == "'" and has_constants and "'" in line[position + 1 :]:
            position = line.index("'", position + 1)
        elif has_blocks and character in "({":
            depth += 1
            braces += character == "{"
        elif has_blocks and character in ")}":
            depth -= 1
            braces -= character == "}"
        elif character == ";" and depth <= 0:
            return position
        position += 1
    return position


def _behind_space(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


def _closing(line: str, position: int, quote: str) -> int:
    """The place of the quote that closes the one at `position`, or of the line's last character."""
    found = line.find(quote, position + 1)
    return found if found >= 0 else len(line) - 1


def read_block(text: str, position: int) -> Tuple[str, int]:
    """What stands in the braces at a place in a text, and the place behind them. Raises ExpressionError."""
    start = _behind_space(text, position)
    if text[start : start + 1] != "{":
        raise ExpressionError("Syntax error", start, text, caret=True)
    end = _closing_brace(text, start)
    if end is None:
        raise ExpressionError("Syntax error", start + 1, text, caret=True)
    return text[start + 1 : end], end + 1


def _closing_brace(text: str, position: int) -> Optional[int]:
    depth = 0
    while position < len(text):
        character = text[position]
        if character == '"':
            position = _closing(text, position, '"')
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None
