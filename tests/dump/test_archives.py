"""A dump in an archive, opened as it is."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Iterator

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpFormatError, DumpkitError

from tests.forge.triage import TriageFile


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that dumps are unpacked into: empty again at the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def archive_of(folder: Path, **files: bytes) -> str:
    """A zip archive of files; `_` in their names stands for a dot."""
    path = folder / "ticket.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return str(path)


def test_the_only_dump_of_an_archive_is_opened_under_the_archives_name(tmp_path: Path, scratch: Path) -> None:
    path = archive_of(tmp_path, readme_txt=b"hello", MEMORY_DMP=TriageFile().build())
    target = open_dump(path)
    assert target.kind == "triage dump (minidump)"
    assert target.name == path
    target.close()


def test_a_dump_that_is_compressed_alone_is_opened(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "anything.gz"
    path.write_bytes(gzip.compress(TriageFile().build()))
    assert open_dump(str(path)).header.dump_type == 4


def test_the_only_file_of_an_archive_is_taken_whatever_its_name(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(DumpFormatError, match="the file is text"):
        open_dump(archive_of(tmp_path, readme_txt=b"hi"))


def test_an_archive_of_several_dumps_or_none_says_so(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(
        DumpkitError, match=r"is an archive with 2 dumps: unpack one, or `dumpkit triage .*ticket\.zip`"
    ):
        open_dump(archive_of(tmp_path, a_dmp=b"PAGE", b_dmp=b"PAGE"))
    with pytest.raises(DumpkitError, match="is an archive with 0 dumps: no file in it is named as dumps are"):
        open_dump(archive_of(tmp_path, a_txt=b"", b_txt=b""))


def test_a_damaged_archive_is_one_clear_line(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "ticket.zip"
    path.write_bytes(b"PK\x03\x04" + b"\xff" * 100)
    with pytest.raises(DumpkitError, match="is no zip archive that can be read: File is not a zip file"):
        open_dump(str(path))


def test_a_dump_in_an_archive_in_an_archive_is_not_looked_for(tmp_path: Path, scratch: Path) -> None:
    inner = archive_of(tmp_path, a_dmp=TriageFile().build())
    with pytest.raises(DumpFormatError, match="the file is a zip archive; unpack it first"):
        open_dump(archive_of(tmp_path, inner_zip=Path(inner).read_bytes()))
