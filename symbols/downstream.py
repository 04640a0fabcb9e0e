"""Downstream stores: where what is found further up a symbol path is kept."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress

from dumpkit.errors import SymbolError
from dumpkit.symbols.download import remove
from dumpkit.symbols.identity import Wanted
from dumpkit.symbols.server import MAX_FILE_SIZE, Progress, SymbolServer
from dumpkit.symbols.store import Store, compressed_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence


class Downstream:
    """Stores to keep files in, nearest first. The first that can be written to holds the file that is used."""

    def __init__(self, stores: Sequence[Store], progress: Optional[Progress] = None) -> None:
        self._stores = list(stores)
        self._progress = progress

    def _target(self) -> Store:
        for store in self._stores:
            with suppress(OSError):
                os.makedirs(store.root, exist_ok=True)
                if os.access(store.root, os.W_OK):
                    return store
        tried: List[str] = [store.root for store in self._stores]
        raise SymbolError(f"nowhere to keep it: {', '.join(tried) or 'no store'} cannot be written to")

    def keep(self, source: str, wanted: Wanted) -> str:
        """Copy a checked file into every store that can be written to; the path in the first of them."""
        kept: List[str] = []
        for store in self._stores:
            final = store.path_of(wanted.name, wanted.key)
            try:
                with _temporary(final) as temporary:
                    shutil.copyfile(source, temporary)
                    kept.append(store.insert(temporary, wanted.name, wanted.key))
            except OSError:
                # As symsrv does: a store that cannot be written to is passed over.
                continue
        return kept[0] if kept else source

    def unpack(self, cabinet: str, wanted: Wanted) -> str:
        """Unpack a file out of a cabinet, check it and keep it."""
        from dumpkit.symbols.cabinet import unpack_file

        progress = self._progress
        tell = (lambda done, total: progress(wanted.name, done, total)) if progress is not None else None
        store = self._target()
        try:
            with _temporary(store.path_of(wanted.name, wanted.key)) as temporary:
                unpack_file(cabinet, temporary, wanted.name, MAX_FILE_SIZE, tell)
                _check(wanted, temporary)
                return self._spread(store, store.insert(temporary, wanted.name, wanted.key), wanted)
        except OSError as error:
            raise SymbolError(f"{store.root}: {error.strerror or error}") from error

    def fetch(self, server: SymbolServer, parts: Sequence[str], wanted: Wanted) -> str:
        """Fetch a file or its compressed form (by the name in `parts`) from a server, check it and keep it."""
        store = self._target()
        folder = os.path.dirname(store.path_of(wanted.name, wanted.key))
        temporary = server.fetch(parts, folder, self._progress)
        try:
            if parts[-1] == compressed_name(wanted.name) != wanted.name:
                return self._unpacked(temporary, wanted)
            _check(wanted, temporary)
            return self._spread(store, store.insert(temporary, wanted.name, wanted.key), wanted)
        except OSError as error:
            raise SymbolError(f"{store.root}: {error.strerror or error}") from error
        finally:
            remove(temporary)

    def _unpacked(self, temporary: str, wanted: Wanted) -> str:
        try:
            return self.unpack(temporary, wanted)
        except SymbolError as error:
            raise SymbolError(str(error).replace(f"{temporary}: ", "")) from error

    def _spread(self, holder: Store, path: str, wanted: Wanted) -> str:
        """Copy what `holder` now has into the stores behind it."""
        rest = self._stores[self._stores.index(holder) + 1 :]
        Downstream(rest).keep(path, wanted)
        return path


def _check(wanted: Wanted, temporary: str) -> None:
    """As `wanted.check`; the name that the file has for the moment means nothing to the user."""
    try:
        wanted.check(temporary, True)
    except SymbolError as error:
        raise SymbolError(str(error).replace(f"{temporary}: ", "")) from error


@contextmanager
def _temporary(final: str) -> Iterator[str]:
    """A name beside `final` for a file that is not complete yet; what is left of it at the end is removed."""
    os.makedirs(os.path.dirname(final), exist_ok=True)
    temporary = f"{final}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        yield temporary
    finally:
        remove(temporary)
