"""`~Ns`: another processor becomes current."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.registry import Text, command
from dumpkit.session import Session


@command(
    "~",
    category="Session",
    summary="~Ns makes processor N current",
    arguments=(Text("processor", "a processor number and the letter s: ~3s", holds="nothing"),),
    raw=True,
)
def tilde(session: Session, processor: str = "") -> None:
    """~3s makes processor 3 current: its registers, its stack. Its number is decimal, as in the prompt."""
    digits = processor.strip()
    digits = digits[:-1] if digits[-1:] in ("s", "S") else digits
    if not (digits.isascii() and digits.isdigit()):
        raise CommandError("~ needs a processor number: ~3s makes processor 3 current", "~Ns")
    session.select_processor(int(digits))
