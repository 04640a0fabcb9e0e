"""Finding symbol files and images: along a symbol path, in folders, stores and on servers.

The order is WinDbg's, with one place before it: a folder `symbols` beside the dump. The elements of
the path are looked through from left to right, and a file counts only when it is by its own identity
the wanted one. What was looked at is told in the trail, and by every error.
"""

from __future__ import annotations

import os

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.identity import IdentifyPdb, Wanted, pdb_identity, pdb_names, wanted_image, wanted_pdb
from dumpkit.symbols.path import (
    Cache,
    Chain,
    Element,
    Folder,
    SymbolPath,
    default_store,
    is_share,
    is_windows_path,
    parse_symbol_path,
    shown,
)
from dumpkit.symbols.store import Lookup, Store, pdb_key, read_pointer
from dumpkit.symbols.trail import Attempt, Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple, Union

    from dumpkit.symbols.downstream import Downstream
    from dumpkit.symbols.network import Network
    from dumpkit.symbols.server import Progress
    from dumpkit.symbols.upstream import Upstream

#: How ISF tables are named behind their key.
_ISF_ENDINGS = (".json.xz", ".json")
# Where volatility's users keep ISF tables, relative to a folder of the path.
_ISF_FOLDERS = ((), ("isf",), ("windows",), ("symbols", "windows"))


class Candidate(NamedTuple):
    """A symbol file that may be a module's: "pdb" or "isf" (`kind`)."""

    path: str
    kind: str


class SymbolFinder:
    """Finds files along a symbol path. Results, misses too, are kept until `forget`."""

    def __init__(
        self,
        path: Union[str, SymbolPath] = "",
        beside: Optional[str] = None,
        offline: bool = False,
        patience: float = 3.0,
        progress: Optional[Progress] = None,
        identify_pdb: IdentifyPdb = pdb_identity,
    ) -> None:
        """`beside` is a folder that comes with the dump: looked in first, its pointers not followed.

        `offline` keeps it from asking any web address; `patience` is how many seconds may be lost in the
        session, all together, on servers that fail. `progress` is called while a file is fetched or
        unpacked. `identify_pdb` tells a PDB's (GUID, DBI age).
        """
        self.path = parse_symbol_path(path) if isinstance(path, str) else path
        self.beside = beside
        self.offline = offline
        self._patience = patience
        self._progress = progress
        self._identify_pdb = identify_pdb
        self._trail = Trail()
        self._stores: Dict[str, Store] = {}
        self._upstreams: Dict[str, Upstream] = {}
        self._network: Optional[Network] = None
        self._results: Dict[str, Union[str, SymbolError]] = {}

    @property
    def trail(self) -> Sequence[Attempt]:
        """The places that were looked at in this session and the result for each, the last 5,000 of them."""
        return self._trail.attempts

    def listen(self, listener: Optional[Callable[[Attempt], None]]) -> None:
        """Have each attempt told as it is made (`!sym noisy`), or no more (None)."""
        self._trail.listener = listener

    def forget(self) -> None:
        """Look anew for what was not found, and ask hosts again that were given up (`.reload`)."""
        self._results = {key: found for key, found in self._results.items() if isinstance(found, str)}
        if self._network is not None:
            self._network.close()
        self._network = None
        self._upstreams = {}

    def close(self) -> None:
        """Hang up on every server."""
        if self._network is not None:
            self._network.close()

    # What can be asked for

    def find_pdb(self, name: str, guid: str, age: int) -> str:
        """The path of the PDB with that GUID (32 hex digits) and DBI age.

        Raises SymbolError, saying where it looked and what was there.
        """
        return self._find(wanted_pdb(name, guid, age, self._identify_pdb))

    def find_image(self, name: str, timestamp: int, size: int) -> str:
        """The path of the image with that TimeDateStamp and SizeOfImage. Raises SymbolError, as `find_pdb` does."""
        return self._find(wanted_image(name, timestamp, size))

    def find_isf(self, name: str, guid: str, age: int) -> str:
        """The path of volatility's table for a PDB, named `GUID-age.json.xz`. Raises SymbolError."""
        wanted = f"{pdb_key(guid, 0)[:-1]}-{age}"
        self._trail.begin()
        for store in self._local_stores():
            for head in _ISF_FOLDERS:
                for folder in (head, (*head, name)):
                    for ending in _ISF_ENDINGS:
                        found = store.tree.locate(*folder, wanted + ending)
                        if found is not None and os.path.isfile(found):
                            self._trail.note(store.root, found, "OK", is_store=False)
                            return found
            self._trail.note_missing(store.root, store.tree.path(wanted + _ISF_ENDINGS[0]), is_store=False)
        raise self._not_found(f"ISF table {wanted} of {name}")

    def candidates(self, module: str) -> List[Candidate]:
        """Every PDB that may by its name be a module's, whatever its GUID, and every ISF table that may.

        An ISF table counts where it is named by key alone, in a folder that is not another PDB's.
        """
        stems = pdb_names(module)
        found: Dict[str, Candidate] = {}
        for store in self._local_stores():
            for stem in stems:
                for path in store.versions(f"{stem}.pdb"):
                    found.setdefault(path, Candidate(path, "pdb"))
            for path in _plain_pdbs(store, stems):
                found.setdefault(path, Candidate(path, "pdb"))
            for path in _isf_tables(store, stems):
                found.setdefault(path, Candidate(path, "isf"))
        return list(found.values())

    # The search

    def _find(self, wanted: Wanted) -> str:
        result = self._results.get(str(wanted).lower())
        if result is None:
            self._trail.begin()
            try:
                result = self._search(wanted)
            except SymbolError as error:
                result = error
            self._results[str(wanted).lower()] = result
        if isinstance(result, SymbolError):
            raise SymbolError(str(result))
        return result

    def _not_found(self, what: str) -> SymbolError:
        if self.beside is None and not self.path.elements:
            return SymbolError(f"{what} not found: there is no symbol path")
        return SymbolError(f"{what} not found: {self._trail.reasons()}")

    def _search(self, wanted: Wanted) -> str:
        done: Set[str] = set()
        cache: Optional[Store] = None
        if self.beside is not None:
            found = self._in_folder(self._store(self.beside, trusted=False), wanted, None, done)
            if found is not None:
                return found
        for element in self.path.elements:
            if isinstance(element, Cache):
                cache = self._store(element.path)
            found = self._in_element(element, wanted, cache, done)
            if found is not None:
                return found
        raise self._not_found(str(wanted))

    def _in_element(self, element: Element, wanted: Wanted, cache: Optional[Store], done: Set[str]) -> Optional[str]:
        if isinstance(element, Folder):
            found = self._in_folder(self._store(element.path), wanted, cache, done)
            # A local folder is as good as a cache; a share is not.
            if found is not None and cache is not None and is_share(element.path):
                return self._downstream([cache]).keep(found, wanted)
            return found
        if isinstance(element, Cache):
            return self._in_store(self._store(element.path), wanted, [], done)
        return self._in_chain(element, wanted, cache, done)

    def _in_chain(self, chain: Chain, wanted: Wanted, cache: Optional[Store], done: Set[str]) -> Optional[str]:
        stores = [self._store(path) for path in chain.stores]
        if chain.url is not None and not stores:
            # As symsrv does: a web address always has a store before it.
            stores = [cache or self._store(default_store())]
        for index, store in enumerate(stores):
            found = self._in_store(store, wanted, stores[:index], done)
            if found is not None:
                return self._downstream(stores[:index]).keep(found, wanted) if index else found
        if chain.url is None or chain.url in done:
            return None
        done.add(chain.url)
        if self.offline:
            self._trail.note(shown(chain.url), chain.url, "not asked (offline)")
            return None
        return self._upstream(chain.url).find(wanted, self._downstream(stores))

    def _in_folder(self, store: Store, wanted: Wanted, cache: Optional[Store], done: Set[str]) -> Optional[str]:
        """Look in a plain folder, which may be laid out as a store."""
        found = self._in_store(store, wanted, [cache] if cache is not None else [], done, is_store=False)
        if found is not None:
            return found
        heads: List[Tuple[str, ...]] = [()]
        for extension in wanted.extensions:
            heads += [(extension,), ("symbols", extension)]
        for head in heads:
            path = store.tree.locate(*head, wanted.name)
            if path is None or not os.path.isfile(path):
                if not head:
                    self._trail.note_missing(store.root, store.tree.path(wanted.name), is_store=False)
            elif self._is_wanted(store, path, wanted, keyed=False):
                return path
        return None

    def _in_store(
        self, store: Store, wanted: Wanted, nearer: Sequence[Store], done: Set[str], is_store: bool = True
    ) -> Optional[str]:
        """Look in a store; `nearer` are the stores that what has to be unpacked may be kept in."""
        if store.root in done:
            return None
        done.add(store.root)
        for name in (wanted.name, *wanted.other_names):
            for lookup in store.find(name, wanted.key):
                if lookup.form is None:
                    if name == wanted.name and is_store:
                        self._trail.note_missing(store.root, lookup.path)
                    continue
                found = self._resolved(store, lookup, wanted, nearer)
                if found is not None:
                    return found
        return None

    def _resolved(self, store: Store, lookup: Lookup, wanted: Wanted, nearer: Sequence[Store]) -> Optional[str]:
        """The file itself, its cabinet unpacked, or what its pointer names; None, and a note, where that fails."""
        try:
            if lookup.form == "file":
                return lookup.path if self._is_wanted(store, lookup.path, wanted, keyed=True) else None
            if lookup.form == "cabinet":
                # The folder beside the dump is left as it is.
                own = [store] if store.trusted else []
                found = self._downstream([*nearer, *own, self._store(default_store())]).unpack(lookup.path, wanted)
                self._trail.note(store.root, lookup.path, "OK")
                return found
            target = self._pointed(store, lookup.path)
        except SymbolError as error:
            self._trail.note(store.root, lookup.path, str(error))
            return None
        return target if self._is_wanted(store, target, wanted, keyed=True) else None

    def _pointed(self, store: Store, pointer: str) -> str:
        target = read_pointer(pointer)
        if not store.trusted:
            raise SymbolError(f"points to {target}, which is not followed for a file that came with the dump")
        if not is_windows_path(target):
            target = os.path.join(os.path.dirname(pointer), target)
        if not os.path.isfile(target):
            raise SymbolError(f"points to {target}: file not found")
        return target

    def _is_wanted(self, store: Store, path: str, wanted: Wanted, keyed: bool) -> bool:
        """Whether a file is the one, told in the trail."""
        try:
            wanted.check(path, keyed)
        except SymbolError as error:
            self._trail.note(store.root, path, str(error), is_store=keyed)
            return False
        self._trail.note(store.root, path, "OK", is_store=keyed)
        return True

    # Places

    def _store(self, root: str, trusted: bool = True) -> Store:
        key = root if trusted else f"beside {root}"
        if key not in self._stores:
            self._stores[key] = Store(root, trusted)
        return self._stores[key]

    def _local_stores(self) -> List[Store]:
        """The folders of the path, in order and each once, the one beside the dump first."""
        stores = [self._store(self.beside, trusted=False)] if self.beside is not None else []
        for element in self.path.elements:
            folders = element.stores if isinstance(element, Chain) else (element.path,)
            if isinstance(element, Chain) and not folders:
                folders = (default_store(),)
            stores += [self._store(folder) for folder in folders]
        return list({store.root: store for store in stores}.values())

    def _downstream(self, stores: Sequence[Store]) -> Downstream:
        from dumpkit.symbols.downstream import Downstream

        return Downstream(stores, self._progress)

    def _upstream(self, url: str) -> Upstream:
        from dumpkit.symbols.network import Network
        from dumpkit.symbols.upstream import Upstream

        if url not in self._upstreams:
            if self._network is None:
                self._network = Network(self._patience)
            self._upstreams[url] = Upstream(url, self._network, self._trail)
        return self._upstreams[url]


def _plain_pdbs(store: Store, stems: Sequence[str]) -> List[str]:
    """PDBs in the folder itself that are called as a module, or so with something behind (`ntkrnlmp-19041.pdb`)."""
    found = []
    for name in store.tree.names():
        stem, dot, extension = name.lower().rpartition(".")
        if dot and extension == "pdb" and any(_begins_with(stem, wanted) for wanted in stems):
            path = store.tree.locate(name)
            if path is not None and os.path.isfile(path):
                found.append(path)
    return found


def _isf_tables(store: Store, stems: Sequence[str]) -> List[str]:
    found = []
    for head in _ISF_FOLDERS:
        for folder in (head, *((*head, f"{stem}.pdb") for stem in stems)):
            for name in store.tree.names(*folder):
                path = store.tree.locate(*folder, name) if _may_be_isf(name.lower(), stems) else None
                if path is not None and os.path.isfile(path):
                    found.append(path)
    return found


def _may_be_isf(name: str, stems: Sequence[str]) -> bool:
    """Whether a file is by its name an ISF table of no other module: `GUID-age.json.xz`, or after the module."""
    ending = next((ending for ending in _ISF_ENDINGS if name.endswith(ending)), None)
    if ending is None:
        return False
    stem = name[: -len(ending)]
    guid, dash, age = stem.partition("-")
    is_key = len(guid) == 32 and all(digit in "0123456789abcdef" for digit in guid) and bool(dash) and age.isdigit()
    return is_key or any(_begins_with(stem, wanted) for wanted in stems)


def _begins_with(stem: str, wanted: str) -> bool:
    return stem.startswith(wanted) and not stem[len(wanted) : len(wanted) + 1].isalnum()
