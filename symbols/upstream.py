"""Upstream: the symbol server at the end of a chain, looked through for a file and all its forms."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.symbols.connection import Failure
from dumpkit.symbols.downstream import Downstream
from dumpkit.symbols.identity import Wanted
from dumpkit.symbols.network import Network
from dumpkit.symbols.path import shown
from dumpkit.symbols.server import NotFound, SymbolServer
from dumpkit.symbols.store import POINTER_NAME, compressed_name, parse_pointer, relative_path
from dumpkit.symbols.trail import Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


class Upstream:
    """A server, or why there is none behind its URL."""

    def __init__(self, url: str, network: Network, trail: Trail) -> None:
        self._root = shown(url)
        self._trail = trail
        self._server: Optional[SymbolServer] = None
        try:
            self._server = SymbolServer(url, network)
        except SymbolError as error:
            self._problem = str(error)

    def find(self, wanted: Wanted, downstream: Downstream) -> Optional[str]:
        """The path of the file, kept downstream; None, with the reasons in the trail, where it cannot be had."""
        server = self._server
        if server is None:
            self._trail.note(self._root, self._root, self._problem)
            return None
        try:
            if not server.is_three_tier:
                found = self._find_in_tiers(server, wanted, downstream, False)
                if found is not None or not server.has_three_tiers():
                    return found
            return self._find_in_tiers(server, wanted, downstream, True)
        except Failure:
            # The server cannot be talked to: it is in the trail already.
            return None

    def _find_in_tiers(
        self, server: SymbolServer, wanted: Wanted, downstream: Downstream, three_tier: bool
    ) -> Optional[str]:
        """The file, its compressed form or its pointer. Raises Failure where the server cannot be talked to."""
        for leaf in (wanted.name, compressed_name(wanted.name), POINTER_NAME):
            parts = relative_path(wanted.name, wanted.key, leaf, three_tier)
            place = server.address_of(parts).url
            try:
                if leaf == POINTER_NAME:
                    target = parse_pointer(server.read_small(parts), place)
                    raise SymbolError(f"points to {target}, which is not followed for a web address")
                path = downstream.fetch(server, parts, wanted)
            except NotFound as error:
                self._trail.note(self._root, place, str(error), nothing=True)
            except Failure as error:
                self._trail.note(self._root, place, str(error))
                raise
            except SymbolError as error:
                self._trail.note(self._root, place, str(error))
            else:
                self._trail.note(self._root, place, "OK")
                return path
        return None
