"""`object`: an object of the object manager, a directory's contents, or the objects of a type.

Format: the examples of the !object page in Microsoft's debugger documentation, and public transcripts.
"""

from __future__ import annotations

from functools import partial

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.object_header import KernelObject, object_types
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Set, Tuple, Union

#: What !object shows: counts and name; contents; optional headers; the full path.
NAMES, CONTENTS, HEADERS, PATH = 1, 8, 0x10, 0x20
_DEFAULT = NAMES | CONTENTS
_USAGE = "object ADDRESS [FLAGS] | object \\PATH [FLAGS] | object 0 TYPE"
#: Objects of a type that are shown.
_MOST_LISTED = 100_000


class ObjectRow(Record):
    """An object in a directory or a list; `bucket` is its hash in the directory."""

    bucket: Optional[int]
    address: Hex
    type: Optional[str]
    name: Optional[str]


class HeaderPart(Record):
    """An optional header of an object: its name and virtual address."""

    name: str
    address: Hex


class ObjectData(Record):
    """An object; addresses are virtual."""

    address: Hex
    type: Optional[str]
    type_address: Hex
    header: Hex
    new_version: bool
    handle_count: int
    pointer_count: int
    directory: Hex
    name: Optional[str]
    path: Optional[str]
    headers: Tuple[HeaderPart, ...]
    #: Of a directory, what it contains; None of other objects.
    contents: Optional[Tuple[ObjectRow, ...]]
    link_target: Optional[str]
    drive: Optional[str]
    notes: Tuple[str, ...]
    _flags: int = _DEFAULT


class ObjectList(Record):
    """The objects of a type that could be found."""

    type: str
    #: What the type itself counts.
    count: int
    objects: Tuple[ObjectRow, ...]
    notes: Tuple[str, ...]


def object_lines(result: Union[ObjectData, ObjectList]) -> Iterator[Line]:
    if isinstance(result, ObjectList):
        yield from _list_lines(result)
    else:
        yield from header_lines(result)
        yield from _content_lines(result)
    for note in result.notes:
        yield (Span(note, "warning"),)


def header_lines(result: ObjectData, indent: str = "    ") -> Iterator[Line]:
    """The lines of the object itself; !handle has another indent."""
    yield (
        "Object: ",
        Span(pointer(result.address), "address", f"object {result.address:x}"),
        f"  Type: ({pointer(result.type_address)}) {result.type or '????'}",
    )
    yield f"    ObjectHeader: {pointer(result.header)} ({'new' if result.new_version else 'old'} version)"
    if result._flags & NAMES:
        yield f"{indent}HandleCount: {result.handle_count}  PointerCount: {result.pointer_count}"
        if result.name is not None:
            name = result.path if result._flags & PATH and result.path is not None else result.name
            yield f"{indent}Directory Object: {pointer(result.directory)}  Name: {name}"
    if result._flags & HEADERS:
        yield "Optional Headers: "
        yield from (f"    {part.name}({pointer(part.address)})" for part in result.headers)


def _content_lines(result: ObjectData) -> Iterator[Line]:
    if result.link_target is not None:
        yield f"    Target String is '{result.link_target}'"
    if result.drive:
        yield f"    Drive Letter Index is {ord(result.drive[0]) - ord('A') + 1} ({result.drive})"
    if result.contents is None:
        return
    yield ""
    yield "    Hash Address          Type                      Name"
    yield "    ---- -------          ----                      ----"
    bucket: Optional[int] = None
    for row in result.contents:
        mark = f"{row.bucket:02d}" if row.bucket != bucket else "  "
        bucket = row.bucket
        link = Span(pointer(row.address), "address", f"object {row.address:x}")
        yield (f"     {mark}  ", link, f" {row.type or '????':<25} {row.name or ''}")


def _list_lines(result: ObjectList) -> Iterator[Line]:
    yield f"Scanning {result.count} objects of type '{result.type}'"
    for row in result.objects:
        link = Span(pointer(row.address), "address", f"object {row.address:x}")
        yield ("    ", link, f" {row.name or ''}")
    yield f"{len(result.objects)} found in the namespace and in handle tables"


@command(
    "object",
    category="Kernel",
    summary="An object by address or path, and what a directory contains",
    arguments=(Text("query", "ADDRESS [FLAGS], \\PATH [FLAGS], or 0 TYPE", True),),
    render=object_lines,
)
def object_(session: Session, query: str) -> Union[ObjectData, ObjectList]:
    """Shows an object of the object manager: object ADDRESS, object \\Device, object 0 Mutant.

    Flags, added up: 1 counts and name, 8 what a directory contains or where a link leads (both by default),
    0x10 the optional headers, 0x20 the full path for the name; 0 the type alone.

    With 0 and a type: the objects of that type that the namespace or a handle leads to. Windows keeps a list of
    all objects of a type only where that was asked for by a global flag.
    """
    target = session.dump
    words = query.split(None, 1)
    if words[0].startswith("\\"):
        from dumpkit.kernel.object_directory import find_object

        place = _path_and_flags(session, query)
        return object_data(find_object(target, place[0]), place[1])
    if words[0].startswith("-"):
        raise CommandError(f"object: {words[0]} is not an option that is known", _USAGE)
    address, rest = session.evaluate_prefix(query)
    if address == 0 and rest.strip():
        return objects_of_type(target, rest.strip())
    flags = session.evaluate(rest) if rest.strip() else _DEFAULT
    return object_data(KernelObject(target, address), flags)


def _path_and_flags(session: Session, query: str) -> Tuple[str, int]:
    """A path, which may have spaces in it, and the number behind it where there is one."""
    text = query.rstrip()
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1], _DEFAULT
    path, _, last = text.rpartition(" ")
    if path:
        try:
            return path.rstrip(), session.evaluate(last)
        except DumpkitError:
            pass
    return text, _DEFAULT


def object_data(found: KernelObject, flags: int = _DEFAULT) -> ObjectData:
    """The facts of an object. Raises CommandError where its header says no type, MemoryReadError for missing memory."""
    from dumpkit.kernel.object_name import link_target, object_name

    gaps = Gaps()
    header = found.header
    header.bytes()
    try:
        type = found.type
    except DumpkitError as error:
        raise CommandError(f"{pointer(found.address)}: Not a valid object (ObjectType invalid): {error}") from error
    contents = link = drive = None
    if flags & NAMES and flags & CONTENTS:
        if type.name == "Directory":
            contents = _contents(found, gaps)
        elif type.name == "SymbolicLink":
            leads = gaps.read("the link's target", lambda: link_target(found))
            link, drive = (leads.path, leads.drive) if leads is not None else (None, None)
    headers = gaps.read("the optional headers", lambda: found.optional_headers, [])
    return ObjectData(
        Hex(found.address),
        type.name,
        Hex(type.address),
        Hex(header.address),
        "TypeIndex" in header.type,
        found.handle_count,
        found.pointer_count,
        Hex(gaps.read("the directory", lambda: found.directory, 0)),
        gaps.read("the name", lambda: object_name(found)),
        gaps.read("the path", lambda: found.path) if flags & PATH else None,
        tuple(HeaderPart(part.name, Hex(part.address)) for part in headers),
        contents,
        link,
        drive or None,
        gaps.lines(),
        flags,
    )


def _contents(found: KernelObject, gaps: Gaps) -> Tuple[ObjectRow, ...]:
    from dumpkit.kernel.object_directory import Directory

    directory = Directory(found.target, found.address)
    rows = []
    entries = gaps.read("the directory", lambda: list(directory), [])
    for entry in entries:
        object = entry.object
        what = f"object {object.address:016x}"
        name = gaps.read(f"the name of {what}", partial(getattr, object, "name"))
        rows.append(ObjectRow(entry.bucket, Hex(object.address), object.type_name, name))
    for damage in directory.damage:
        gaps.add("the directory", damage)
    return tuple(rows)


def objects_of_type(target: Target, name: str) -> ObjectList:
    """The objects of a type that the namespace or a handle leads to. Raises DumpkitError for an unknown type."""
    gaps = Gaps()
    type = object_types(target).named(name)
    record = target.type("_OBJECT_TYPE").at(type.address)
    found: List[ObjectRow] = []
    for object in _every_object(target, gaps):
        if object.type_name == type.name:
            found.append(ObjectRow(None, Hex(object.address), type.name, _name(object)))
            if len(found) == _MOST_LISTED:
                gaps.add("the list", f"it ends with the first {_MOST_LISTED}")
                break
    return ObjectList(type.name, int(record.get("TotalNumberOfObjects", 0)), tuple(found), gaps.lines())


def _name(object: KernelObject) -> Optional[str]:
    from dumpkit.kernel.object_name import object_name

    try:
        return object_name(object)
    except DumpkitError:
        return None


def _every_object(target: Target, gaps: Gaps) -> Iterator[KernelObject]:
    """Each object of the namespace and of every handle table, once."""
    from dumpkit.kernel.handle_table import HandleTable
    from dumpkit.kernel.object_directory import root_directory
    from dumpkit.kernel.process import processes

    seen: Set[int] = set()
    root = gaps.read("the namespace", lambda: root_directory(target))
    if root is not None:
        yield from _below(root, seen, gaps)
    offset = target.type("_OBJECT_HEADER").offset("Body")
    listed = processes(target)
    for process in listed:
        table = gaps.read(f"the handles of process {process.address:016x}", partial(getattr, process, "object_table"))
        if not table:
            continue
        handles = HandleTable(target, table)
        for handle in gaps.read(f"the handle table at {table:016x}", partial(list, handles), []):
            address = handle.pointer + offset
            if not handle.is_free and address not in seen:
                seen.add(address)
                yield KernelObject(target, address)
        for damage in handles.damage:
            gaps.add(f"the handle table at {table:016x}", damage)
    if not listed.complete:
        gaps.add("the list of processes", listed.ended)


def _below(root: KernelObject, seen: Set[int], gaps: Gaps) -> Iterator[KernelObject]:
    """The objects of a directory and of those in it, a loop entered once."""
    from dumpkit.kernel.object_directory import Directory

    waiting = [root]
    while waiting:
        here = waiting.pop()
        if here.address in seen:
            continue
        seen.add(here.address)
        yield here
        directory = Directory(here.target, here.address)
        for entry in directory:
            if entry.object.type_name == "Directory":
                waiting.append(entry.object)
            elif entry.object.address not in seen:
                seen.add(entry.object.address)
                yield entry.object
        for damage in directory.damage:
            gaps.add(f"directory {here.address:016x}", damage)
