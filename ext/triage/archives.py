"""Dumps inside archives: zip and cab always, 7z where the package py7zr is installed.

An archive is untrusted: its members' names are only shown, a member is written to a temporary file of our own, and no
more is written than its directory states, or than the disk has room for.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional

#: First bytes of an archive -> its kind.
_KINDS = ((b"PK\x03\x04", "zip"), (b"MSCF", "cab"), (b"7z\xbc\xaf\x27\x1c", "7z"))
SIGNATURE_SIZE = 6

#: An archive of more files is refused: no collection of dumps has as many.
MOST_MEMBERS = 100_000
_COPY_SIZE = 1 << 20
#: Disk space that is left free.
_ROOM = 64 << 20


class Member(NamedTuple):
    """A file in an archive: its name there, and its size in bytes unpacked."""

    name: str
    size: int


def archive_kind(start: bytes) -> Optional[str]:
    """ "zip", "cab" or "7z" by a file's first bytes; None for any other file."""
    return next((kind for signature, kind in _KINDS if start.startswith(signature)), None)


def members(path: Path, kind: str) -> List[Member]:
    """The files of an archive, in its order. Raises DumpkitError where it cannot be read or holds too many."""
    found = {"zip": _zip_members, "cab": _cabinet_members, "7z": _seven_zip_members}[kind](path)
    if len(found) > MOST_MEMBERS:
        raise DumpkitError(f"{path} holds {len(found):,} files: archives of more than {MOST_MEMBERS:,} are refused")
    return found


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
    except (py7zr.exceptions.ArchiveError, OSError, EOFError, ValueError) as error:
        raise DumpkitError(f"{path} is no 7z archive that can be read: {error}") from error


def _seven_zip(path: Path):  # type: ignore[no-untyped-def]  # the package has no types of its own
    try:
        import py7zr
        import py7zr.exceptions
    except ImportError as error:
        raise DumpkitError(f"{path} is a 7z archive; reading it needs: pip install 'dumpkit[7z]'") from error
    return py7zr


@contextmanager
def unpacked(path: Path, kind: str, member: Member) -> Iterator[Path]:
    """A member as a temporary file, deleted afterwards. Raises DumpkitError."""
    if member.size + _ROOM > shutil.disk_usage(tempfile.gettempdir()).free:
        raise DumpkitError(f"{member.name} has {member.size:,} bytes unpacked: too little room on the disk")
    with tempfile.TemporaryDirectory(prefix="dumpkit-") as folder:
        target = Path(folder) / "unpacked.dmp"
        if kind == "zip":
            _unpack_zip(path, member, target)
        elif kind == "cab":
            _unpack_cabinet(path, member, target)
        else:
            _unpack_seven_zip(path, member, target)
        yield target


def _unpack_zip(path: Path, member: Member, target: Path) -> None:
    from zipfile import BadZipFile, ZipFile
    from zlib import error as ZlibError

    try:
        with ZipFile(path) as archive, archive.open(member.name) as source, target.open("wb") as file:
            left = member.size
            while left:
                piece = source.read(min(_COPY_SIZE, left))
                if not piece:
                    raise DumpkitError(f"{member.name} ends early in {path.name}")
                file.write(piece)
                left -= len(piece)
    except (BadZipFile, ZlibError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        # RuntimeError is zipfile's word for a member that wants a password.
        raise DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {error}") from error


def _unpack_cabinet(path: Path, member: Member, target: Path) -> None:
    from dumpkit.symbols.cabinet import Cabinet

    try:
        with path.open("rb") as source, target.open("wb") as file:
            cabinet = Cabinet(source, path.name)
            found = next(each for each in cabinet.files if each.name == member.name)
            cabinet.extract(found, file, member.size)
    except OSError as error:
        raise DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {error.strerror}") from error


def _unpack_seven_zip(path: Path, member: Member, target: Path) -> None:
    py7zr = _seven_zip(path)
    folder = target.parent / "7z"
    try:
        with py7zr.SevenZipFile(path) as archive:
            archive.extract(path=str(folder), targets=[member.name])
        (folder / member.name).replace(target)
    except (py7zr.exceptions.ArchiveError, OSError, EOFError, ValueError) as error:
        raise DumpkitError(f"{member.name} cannot be unpacked from {path.name}: {error}") from error
