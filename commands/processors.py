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
    """~3s makes processor 3 current: its registers, its stack. Numbers are hexadecimal, as everywhere."""
    digits = processor[:-1] if processor[-1:] in ("s", "S") else processor
    try:
        number = int(digits.strip(), 16)
    except ValueError:
        raise CommandError("~ needs a processor number: ~3s makes processor 3 current", "~Ns") from None
    session.select_processor(number)
