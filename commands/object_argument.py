"""The words that object commands take: an address, a path in the namespace, or a name below a usual directory."""

from __future__ import annotations

import re

from dumpkit.errors import CommandError, DumpkitError, ExpressionError, RegisterError, SymbolError
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

#: What is an address beyond doubt: no device is called so.
_ADDRESS = re.compile(r"(?:0x)?[0-9a-f]{1,8}`?[0-9a-f]{8}", re.IGNORECASE)


def object_address(session: Session, word: str, directories: Sequence[str]) -> int:
    """The virtual address that a word stands for.

    A path begins with a back-slash; another word is a name in one of `directories`, else an expression. Raises
    CommandError where it is none of these, saying why the name was not found.
    """
    from dumpkit.kernel.object_directory import find_object

    if _ADDRESS.fullmatch(word):
        return session.evaluate(word)
    if word.startswith("\\"):
        return find_object(session.dump, word).address
    reason = ""
    for directory in directories:
        try:
            return find_object(session.dump, f"{directory}\\{word}").address
        except DumpkitError as error:
            reason = reason or str(error)
    if session.dump.module_called(word) is not None:
        # A driver is often called as its module is, whose address would be no answer.
        raise CommandError(f"{word}: {reason}")
    try:
        return session.evaluate(word)
    except (ExpressionError, RegisterError, SymbolError) as error:
        raise CommandError(f"{word}: {reason}, and no address: {error}" if reason else f"{word}: {error}") from error
