"""A model of `!py` as pykd-ext has it: how it parts its words, finds a script and runs it.

From pykd-ext's source: `.py` is added to a name without a dot, SearchPath looks for the file, sys.argv[0] is its full
path, double quotes group words, an unquoted `;` ends the command, one write keeps 16,383 characters, SystemExit is
swallowed, `__file__` is not defined.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

LONGEST_WRITE = 16_383


class Console:
    """The stream that scripts write to: no buffer, fileno, errors or writelines."""

    encoding = "ascii"

    def __init__(self) -> None:
        self.text = ""
        self.cut = 0

    def write(self, text: str) -> None:
        """Show the text; what is too long for one write is lost."""
        self.text += text[:LONGEST_WRITE]
        self.cut += len(text[LONGEST_WRITE:])

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """It is no terminal."""
        return False


def words_of(line: str) -> Tuple[List[str], str]:
    """The words behind `!py`, and what stands behind the `;` that ends the command."""
    words: List[str] = []
    word, has_word, quoted = "", False, False
    for place, character in enumerate(line):
        if character == '"':
            quoted, has_word = not quoted, True
        elif character == ";" and not quoted:
            return words + [word] * has_word, line[place + 1 :]
        elif character in " \t" and not quoted:
            words += [word] * has_word
            word, has_word = "", False
        else:
            word, has_word = word + character, True
    return words + [word] * has_word, ""


def run(line: str, find: Callable[[str], Optional[str]], console: Optional[Any] = None) -> Any:
    """The console after `!py LINE`. `find` is SearchPath: the file of a name, or None."""
    words, _ = words_of(line)
    console = console if console is not None else Console()
    shown, given, path, before = sys.stdout, sys.argv, sys.path[:], set(sys.modules)
    sys.stdout = console
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            file = find(words[0])
            if file is None:
                console.write(f"script not found: {words[0]}\n")
                return console
            sys.argv = [file, *words[1:]]
            with open(file, encoding="utf-8") as script:
                source = script.read()
            names: Dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
            exec(compile(source, file, "exec"), names)
    except SystemExit:
        pass
    finally:
        sys.stdout, sys.argv, sys.path[:] = shown, given, path
        # A sub-interpreter of its own: nothing that was imported lasts.
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "dumpkit":
                del sys.modules[name]
    return console
