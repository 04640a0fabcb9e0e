"""What a session knows of the network, so that servers that do not answer cost little."""

from __future__ import annotations

from dumpkit.symbols.connection import Address, Connection, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Tuple

_SHORTEST_WAIT = 0.05


class Network:
    """What a session knows of the network: time lost so far, hosts given up, connections that lie idle."""

    def __init__(self, lost_at_most: float) -> None:
        #: Seconds that may yet be lost on servers that fail, all together.
        self.left = lost_at_most
        #: Why a host is not asked any more, by its origin ("https://host").
        self.dead: Dict[str, str] = {}
        self._errors: Dict[str, int] = {}
        self._idle: Dict[str, Connection] = {}

    @property
    def patience(self) -> float:
        """Seconds that the next wait may take: half of what is left, so that the next host has a chance, too."""
        return self.left / 2

    def check(self, origin: str) -> None:
        """Raises Failure where a host must not be asked."""
        if origin in self.dead:
            raise Failure(f"not asked again: {self.dead[origin]}")
        if self.patience < _SHORTEST_WAIT:
            raise Failure("not asked: too much time was lost on other servers in this session")

    def give_up(self, origin: str, reason: str, seconds: float) -> None:
        """A host failed after `seconds` of waiting."""
        self.lose(seconds)
        self.dead[origin] = reason

    def lose(self, seconds: float) -> None:
        """Count time that brought nothing."""
        self.left = max(self.left - seconds, 0.0)

    def count_error(self, origin: str, reason: str) -> None:
        """A host answered with an error of its own; the second one in a row is the last."""
        self._errors[origin] = self._errors.get(origin, 0) + 1
        if self._errors[origin] > 1:
            self.dead[origin] = reason

    def count_answer(self, origin: str) -> None:
        """A host answered as it should."""
        self._errors.pop(origin, None)

    def connect(self, address: Address, deadline: float) -> Tuple[Connection, bool]:
        """(a connection, whether it was used before). Raises Failure."""
        known = self._idle.pop(address.origin, None)
        return (known, True) if known is not None else (Connection(address, deadline), False)

    def keep(self, address: Address, connection: Connection) -> None:
        """Put a connection by for the next request."""
        old = self._idle.pop(address.origin, None)
        if old is not None:
            old.close()
        self._idle[address.origin] = connection

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()
