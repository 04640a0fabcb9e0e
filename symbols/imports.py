"""What an image imports: its import, delay-load and bound import tables.

Layouts: Microsoft's "PE Format" specification (The .idata Section, Delay-Load Import Tables) and, for bound
imports, IMAGE_BOUND_IMPORT_DESCRIPTOR in winnt.h. Every address is an RVA. An image is untrusted: every count
and length is bounded, and what cannot be read ends the table that it is in.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Optional

    from typing_extensions import TypeAlias

#: IMAGE_DIRECTORY_ENTRY_*
DIRECTORY_IMPORT = 1
DIRECTORY_BOUND_IMPORT = 11
DIRECTORY_IAT = 12
DIRECTORY_DELAY_IMPORT = 13

# No sane image goes beyond these.
_MOST_MODULES = 2048
_MOST_THUNKS = 0x8000
_LONGEST_NAME = 512

# IMAGE_IMPORT_DESCRIPTOR: OriginalFirstThunk, TimeDateStamp, ForwarderChain, Name, FirstThunk
_DESCRIPTOR = Struct("<IIIII")
# IMAGE_DELAYLOAD_DESCRIPTOR: Attributes, DllNameRVA, ModuleHandleRVA, ImportAddressTableRVA, ImportNameTableRVA,
# BoundImportAddressTableRVA, UnloadInformationTableRVA, TimeDateStamp
_DELAY = Struct("<IIIIIIII")
_DELAY_BY_RVA = 1
# IMAGE_BOUND_IMPORT_DESCRIPTOR: TimeDateStamp, OffsetModuleName, NumberOfModuleForwarderRefs;
# the references behind it are of the same form.
_BOUND = Struct("<IHH")

#: Reads bytes by RVA: up to the size that is asked for, or the first that is not there.
Read: TypeAlias = "Callable[[int, int], bytes]"


class Import(NamedTuple):
    """An imported name or ordinal; `slot` is the RVA of its place in the import address table."""

    slot: int
    name: Optional[str]
    ordinal: Optional[int]

    def __str__(self) -> str:
        return self.name if self.name is not None else f"#{self.ordinal}"


class ImportedModule(NamedTuple):
    """What is imported from one module; `problem` says why the list of it is not whole, if it is not."""

    name: str
    imports: List[Import]
    problem: str = ""


class BoundModule(NamedTuple):
    """A module that the linker bound to; `timestamp` is that of the image it had, `forwarder_of` who forwards there."""

    name: str
    timestamp: int
    forwarder_of: Optional[str] = None


class ImportTables:
    """The tables of one image.

    `read` reads the image, `thunk_size` is 8 in a PE32+ image and 4 in a PE32 one. A method ends where its table
    cannot be read; `problem` then says where.
    """

    def __init__(self, read: Read, is_64bit: bool) -> None:
        self._read = read
        self.thunk_size = 8 if is_64bit else 4
        #: Why the last table that was walked is not whole; empty where it is.
        self.problem = ""

    def imports(self, rva: int) -> Iterator[ImportedModule]:
        """The modules of the import table at an RVA (the import directory's)."""
        self.problem = ""
        for place in range(rva, rva + _MOST_MODULES * _DESCRIPTOR.size, _DESCRIPTOR.size):
            data = self._read(place, _DESCRIPTOR.size)
            if len(data) < _DESCRIPTOR.size:
                self.problem = f"the import table cannot be read at RVA 0x{place:x}"
                return
            lookup, _, _, name, slots = _DESCRIPTOR.unpack(data)
            if not name or not slots:
                return
            yield self._module(name, lookup or slots, slots)
        self.problem = f"the import table names more than {_MOST_MODULES} modules"

    def delay_imports(self, rva: int, image_base: int) -> Iterator[ImportedModule]:
        """The modules of the delay-load table at an RVA; `image_base` is the base that old tables' addresses count."""
        self.problem = ""
        for place in range(rva, rva + _MOST_MODULES * _DELAY.size, _DELAY.size):
            data = self._read(place, _DELAY.size)
            if len(data) < _DELAY.size:
                self.problem = f"the delay-load table cannot be read at RVA 0x{place:x}"
                return
            attributes, name, _, slots, lookup, *_ = _DELAY.unpack(data)
            if not name or not slots:
                return
            shift = 0 if attributes & _DELAY_BY_RVA else image_base
            yield self._module(name - shift, lookup - shift, slots - shift)
        self.problem = f"the delay-load table names more than {_MOST_MODULES} modules"

    def bound_imports(self, rva: int, size: int) -> Iterator[BoundModule]:
        """The modules of the bound import table at an RVA, those that they forward to behind each."""
        data = self._read(rva, min(size, _MOST_MODULES * _BOUND.size))
        self.problem = "" if len(data) == size else f"the bound import table cannot be read at RVA 0x{rva:x}"
        offset, references, owner = 0, 0, ""
        while offset + _BOUND.size <= len(data):
            timestamp, name_at, count = _BOUND.unpack_from(data, offset)
            if not name_at:
                return
            name = self._text(rva + name_at) or "?"
            offset += _BOUND.size
            if references:
                references -= 1
                yield BoundModule(name, timestamp, owner)
            else:
                references, owner = count, name
                yield BoundModule(name, timestamp)

    def _module(self, name: int, lookup: int, slots: int) -> ImportedModule:
        found: List[Import] = []
        size = self.thunk_size
        by_ordinal = 1 << 8 * size - 1
        problem = ""
        for index in range(_MOST_THUNKS):
            data = self._read(lookup + index * size, size)
            if len(data) < size:
                problem = f"its names cannot be read at RVA 0x{lookup + index * size:x}"
                break
            thunk = int.from_bytes(data, "little")
            if not thunk:
                break
            slot = slots + index * size
            if thunk & by_ordinal:
                found.append(Import(slot, None, thunk & 0xFFFF))
                continue
            # IMAGE_IMPORT_BY_NAME: a hint of two bytes, then the name. A bound thunk leads nowhere in the image.
            text = self._text(thunk + 2) if thunk < 1 << 31 else None
            if text is None:
                problem = f"the name of import {index} cannot be read"
                break
            found.append(Import(slot, text, None))
        return ImportedModule(self._text(name) or "?", found, problem)

    def _text(self, rva: int) -> Optional[str]:
        data = self._read(rva, _LONGEST_NAME)
        end = data.find(0)
        return data[:end].decode("utf-8", "replace") if end > 0 else None
