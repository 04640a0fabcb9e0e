"""What an analysis read where, and what it could not know."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict


class Evidence:
    """Notes of an analysis by the statement that they carry; a statement that is unknown has a reason instead."""

    def __init__(self) -> None:
        #: Statement -> what was read where.
        self.found: Dict[str, str] = {}
        #: Statement -> why it cannot be known.
        self.unknown: Dict[str, str] = {}

    def note(self, statement: str, where: str) -> None:
        """What a statement rests on."""
        self.found[statement] = where
        self.unknown.pop(statement, None)

    def lack(self, statement: str, why: object) -> None:
        """Why a statement cannot be made; the first reason counts, and none once the statement was made."""
        if statement not in self.found:
            self.unknown.setdefault(statement, str(why))
