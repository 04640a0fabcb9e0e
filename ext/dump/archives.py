"""Dumps inside archives: zip, cab and single files in gzip, bzip2 or xz always, 7z where py7zr is installed.

An archive is untrusted: its members' names are only shown, a member is written to a temporary file of our own, no more
than its directory states or than the disk has room for, and no further than its beginning where that is no dump's.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Iterator, List, Optional, Sequence, Tuple, Type

#: First bytes of an archive -> its kind. A zip archive without files begins with its end.
_KINDS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"MSCF", "cab"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
SIGNATURE_SIZE = 6
#: First bytes of kernel and user-mode dumps, and endings that their names have.
DUMP_SIGNATURES = (b"PAGE", b"MDMP")
DUMP_ENDINGS = (".dmp", ".mdmp", ".hdmp", ".kdmp")

#: An archive of more files is refused: no collection of dumps has as many.
MOST_MEMBERS = 100_000
_COPY_SIZE = 1 << 20
#: Disk space that is left free.
_ROOM = 64 << 20


class Member(NamedTuple):
    """A file in an archive: its name there, and its size in bytes unpacked, None where the archive does not tell."""

    name: str
    size: Optional[int]


def archive_kind(start: bytes) -> Optional[str]:
    """ "zip", "cab", "7z", "gzip", "bzip2" or "xz" by a file's first bytes; None for any other file."""
    return next((kind for signature, kind in _KINDS if start.startswith(signature)), None)


def members(path: Path, kind: str) -> List[Member]:
    """The files of an archive, in its order. Raises DumpkitError where it cannot be read or holds too many."""
    readers = {"zip": _zip_members, "cab": _cabinet_members, "7z": _seven_zip_members}
    # What is compressed alone has its file's name but for the last ending.
    found = readers[kind](path) if kind in readers else [Member(path.stem, None)]
    if len(found) > MOST_MEMBERS:
        raise DumpkitError(f"{path} holds {len(found):,} files: archives of more than {MOST_MEMBERS:,} are refused")
    return found


def dumps_among(found: Sequence[Member]) -> List[Member]:
    """The dumps among an archive's files, by their names; its only file, whatever that is called."""
    dumps = [member for member in found if member.name.lower().endswith(DUMP_ENDINGS)]
    return dumps or (list(found) if len(found) == 1 else [])


def _zip_members(path: Path) -> List[Member]:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            return [Member(each.filename, each.file_size) for each in archive.infolist() if not each.is_dir()]
    except (BadZipFile, OSError, ValueError) as error:
        raise DumpkitError(f"{path} is no zip archive that can be read: {error}") from error


def _cabinet_members(path: Path) -> List[Member]:
    from dumpkit.symbols.cabinet import Cabinet

    try:
        with path.open("rb") as file:
            return [Member(each.name, each.size) for each in Cabinet(file, path.name).files]
    except OSError as error:
        raise DumpkitError(f"{path} cannot be read: {error.strerror}") from error


def _seven_zip_members(path: Path) -> List[Member]:
    py7zr = _seven_zip(path)
    try:
        with py7zr.SevenZipFile(path) as archive:
            return [Member(each.filename, each.uncompressed) for each in archive.list() if not each.is_directory]
    except _seven_zip_damage(py7zr) as error:
        raise DumpkitError(f"{path} is no 7z archive that can be read: {_seven_zip_reason(py7zr, error)}") from error


def _seven_zip(path: Path):  # type: ignore[no-untyped-def]  # the package has no types of its own
    try:
        import py7zr
        import py7zr.exceptions
    except ImportError as error:
        raise DumpkitError(f"{path} is a 7z archive; reading it needs: pip install 'dumpkit[7z]'") from error
    return py7zr


def _seven_zip_damage(py7zr: Any) -> Tuple[Type[Exception], ...]:
    own = [each for each in vars(py7zr.exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]
    # The package takes a damaged header for sound here and there.
    return (*_damage(), *own, TypeError, AttributeError, AssertionError, IndexError)


def _seven_zip_reason(py7zr: Any, error: Exception) -> object:
    if isinstance(error, py7zr.exceptions.PasswordRequired):
        return "it wants a password"
    return error if str(error) else type(error).__name__


@contextmanager
def unpacked(path: Path, kind: str, member: Member) -> Iterator[Path]:
    """A member as a temporary file, deleted afterwards. Raises DumpkitError."""
    room = shutil.disk_usage(tempfile.gettempdir()).free - _ROOM
    if member.size is not None and member.size > room:
        raise DumpkitError(f"{member.name} has {member.size:,} bytes unpacked: too little room on the disk")
    with tempfile.TemporaryDirectory(prefix="dumpkit-") as folder:
        target = Path(folder) / "unpacked.dmp"
        if kind == "cab":
            _unpack_cabinet(path, member, target)
        elif kind == "7z":
            _unpack_seven_zip(path, member, target)
        else:
            _unpack(path, kind, member, target, room)
        yield target


def _unpack(path: Path, kind: str, member: Member, target: Path, room: int) -> None:
    """Unpack a member of a zip archive, or what is compressed alone, into a file of at most `room` bytes."""
    try:
        with ExitStack() as opened:
            source = _open_member(path, kind, member, opened)
            with target.open("wb") as file:
                _copy(source, file, path, member, room)
    except _damage() as error:
        raise _not_unpacked(path, member, error) from error


def _open_member(path: Path, kind: str, member: Member, opened: ExitStack) -> IO[bytes]:
    """A member's content, to be read from its beginning on; `opened` closes it."""
    if kind == "zip":
        from zipfile import ZipFile

        archive = opened.enter_context(ZipFile(path))
        return opened.enter_context(archive.open(member.name))
    from importlib import import_module

    # gzip, bz2 and lzma have the same `open`; a Python may have been built without one of them.
    module = import_module({"gzip": "gzip", "bzip2": "bz2", "xz": "lzma"}[kind])
    source: IO[bytes] = opened.enter_context(module.open(path))
    return source


def _copy(source: IO[bytes], file: IO[bytes], path: Path, member: Member, room: int) -> None:
    """Copy a member to its end; of one that is no dump, as much as tells what it is."""
    left = room if member.size is None else member.size
    while left:
        piece = source.read(min(_COPY_SIZE, left))
        if not piece and member.size is not None:
            raise DumpkitError(f"{member.name} ends early in {path.name}")
        is_first = not file.tell()
        file.write(piece)
        left -= len(piece)
        if not piece or (is_first and not piece.startswith(DUMP_SIGNATURES)):
            return
    if member.size is None and source.read(1):
        raise DumpkitError(f"{member.name} in {path.name}: too little room on the disk")


def _damage() -> Tuple[Type[Exception], ...]:
    """What reading an archive raises that is damaged, wants a password or is packed in a way that is not known."""
    from struct import error as StructError
    from zipfile import BadZipFile
    from zlib import error as ZlibError

    # RuntimeError is zipfile's word for a member that wants a password.
    kinds: Tuple[Type[Exception], ...] = (BadZipFile, ZlibError, StructError, OSError, EOFError, LookupError)
    kinds = (*kinds, ValueError, RuntimeError, ImportError)
    try:
        from lzma import LZMAError
    except ImportError:
        return kinds
    return (*kinds, LZMAError)


def _not_unpacked(path: Path, member: Member, error: Exception) -> DumpkitError:
    return DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {str(error) or type(error).__name__}")


def _unpack_cabinet(path: Path, member: Member, target: Path) -> None:
    from dumpkit.symbols.cabinet import Cabinet

    try:
        with path.open("rb") as source, target.open("wb") as file:
            cabinet = Cabinet(source, path.name)
            found = next(each for each in cabinet.files if each.name == member.name)
            cabinet.extract(found, file, found.size)
    except OSError as error:
        raise DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {error.strerror}") from error


def _unpack_seven_zip(path: Path, member: Member, target: Path) -> None:
    py7zr = _seven_zip(path)
    folder = target.parent / "7z"
    try:
        with py7zr.SevenZipFile(path) as archive:
            archive.extract(path=str(folder), targets=[member.name])
        (folder / member.name).replace(target)
    except _seven_zip_damage(py7zr) as error:
        reason = _seven_zip_reason(py7zr, error)
        raise DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {reason}") from error
