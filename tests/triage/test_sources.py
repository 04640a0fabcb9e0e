"""Which dumps paths name, and in what order."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from pathlib import Path
from typing import Callable

import pytest
from dumpkit.dump.archives import Member
from dumpkit.errors import DumpkitError
from dumpkit.triage.sources import Source, find_sources

from tests.forge.cabinet import cabinet
from tests.triage.folders import example


def names(*paths: Path) -> list[str]:
    return [Path(source.name).name for source in find_sources([str(path) for path in paths])]


def test_a_folders_dumps_come_by_name_and_its_folders_behind_its_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.dmp", "A.DMP", "b/c.dmp", "notes.txt"):
        (tmp_path / name).write_bytes(b"PAGEDU64" if name != "notes.txt" else b"nothing")
    assert names(tmp_path) == ["A.DMP", "z.dmp", "c.dmp"]


def test_a_dump_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(b"PAGEDU64")
    (tmp_path / "user").write_bytes(b"MDMP")
    assert names(tmp_path) == ["memory", "user"]


def test_a_file_named_as_a_dump_has_a_row_even_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "no.dmp").write_bytes(b"")
    assert names(tmp_path) == ["no.dmp"]
    assert names(tmp_path / "absent.txt") == ["absent.txt"]


def test_a_dump_named_twice_is_one_source(tmp_path: Path) -> None:
    (tmp_path / "a.dmp").write_bytes(b"PAGEDU64")
    assert names(tmp_path, tmp_path / "a.dmp", tmp_path / "." / "a.dmp") == ["a.dmp"]


def test_an_archives_dumps_are_sources_and_are_unpacked_for_reading(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/one.dmp", b"PAGEDU64 one")
        archive.writestr("readme.txt", b"no dump")
    (source,) = find_sources([str(tmp_path)])
    assert source.name == f"{tmp_path / 'all.zip'}/in/one.dmp"
    with source.opened() as path:
        assert Path(path).read_bytes() == b"PAGEDU64 one"
    assert not Path(path).exists()


def test_a_cabinets_dumps_are_sources_too(tmp_path: Path) -> None:
    content = example("power-0x9f").read_bytes()[:0x9000]
    (tmp_path / "one.cab").write_bytes(cabinet([("one.dmp", content)]))
    (source,) = find_sources([str(tmp_path / "one.cab")])
    with source.opened() as path:
        assert Path(path).read_bytes() == content


def test_a_7z_archives_dumps_are_sources_where_its_package_is_there(tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr", reason="the package py7zr is not installed")
    with py7zr.SevenZipFile(tmp_path / "one.7z", "w") as archive:
        archive.writestr(b"PAGEDU64 seven", "deep/one.dmp")
    (source,) = find_sources([str(tmp_path)])
    with source.opened() as path:
        assert Path(path).read_bytes() == b"PAGEDU64 seven"


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"MSCF", b"7z\xbc\xaf\x27\x1c"])
def test_a_damaged_archive_is_one_source_with_its_reason(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(start + b"\xff" * 100)
    (source,) = find_sources([str(tmp_path)])
    assert source.error is not None
    with pytest.raises(DumpkitError), source.opened():
        pass


def test_an_archive_of_more_files_than_any_collection_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dumpkit.dump.archives.MOST_MEMBERS", 2)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.dmp", b"PAGEDU64")
    (source,) = find_sources([str(tmp_path)])
    assert "holds 3 files: archives of more than 2 are refused" in (source.error or "")


def test_a_member_larger_than_the_disks_room_is_not_unpacked(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "all.zip"), "zip", Member("huge.dmp", 1 << 60))
    with pytest.raises(DumpkitError, match="too little room on the disk"), source.opened():
        pass


def test_a_member_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one.dmp", b"PAGE")
    source = Source(str(tmp_path / "all.zip"), "zip", Member("one.dmp", 5))
    with pytest.raises(DumpkitError, match="ends early"), source.opened():
        pass


@pytest.mark.parametrize("ending, pack", [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_dump_that_is_compressed_alone_is_a_source(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    content = b"PAGEDU64" + bytes(3_000_000)
    (tmp_path / f"one.dmp.{ending}").write_bytes(pack(content))
    (tmp_path / f"notes.txt.{ending}").write_bytes(pack(b"no dump"))
    (source,) = find_sources([str(tmp_path)])
    assert source.name == f"{tmp_path}/one.dmp.{ending}/one.dmp"
    with source.opened() as path:
        assert Path(path).read_bytes() == content


@pytest.mark.parametrize("ending, pack", [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_dump_that_is_cut_or_damaged_says_so(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    packed = pack(b"PAGEDU64" + os.urandom(3_000_000))
    for content in (packed[: len(packed) // 2], packed[:1000] + b"\xff" * 100 + packed[1100:]):
        (tmp_path / f"one.dmp.{ending}").write_bytes(content)
        (source,) = find_sources([str(tmp_path)])
        with pytest.raises(DumpkitError, match=r"one.dmp cannot be unpacked from one.dmp"), source.opened():
            pass


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_archive_is_damaged_in_the_words_of_its_method(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", method) as archive:
        archive.writestr("one.dmp", b"PAGEDU64" + os.urandom(100_000))
    content = (tmp_path / "all.zip").read_bytes()
    (tmp_path / "all.zip").write_bytes(content[:200] + b"\xff" * 200 + content[400:])
    (source,) = find_sources([str(tmp_path)])
    with pytest.raises(DumpkitError, match=r"one\.dmp cannot be unpacked from all\.zip: "), source.opened():
        pass


def test_what_is_no_dump_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "bomb.dmp.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dmp", bytes(50_000_000))
    for source in find_sources([str(tmp_path)]):
        with source.opened() as path:
            assert os.path.getsize(path) <= 1 << 20


def test_what_fills_the_disk_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.dmp.gz").write_bytes(gzip.compress(b"PAGEDU64" + bytes(5_000_000)))
    (source,) = find_sources([str(tmp_path)])
    from dumpkit.dump import archives

    usage = type("Usage", (), {"free": archives._ROOM + 3_000_000})
    monkeypatch.setattr("dumpkit.dump.archives.shutil.disk_usage", lambda path: usage)
    with pytest.raises(DumpkitError, match="too little room on the disk"), source.opened():
        pass


def test_an_archive_within_an_archive_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("one.dmp", b"PAGEDU64")
        archive.writestr("inner/more.ZIP", b"PK\x03\x04")
    first, second = find_sources([str(tmp_path)])
    assert first.error is None
    assert second.name == f"{tmp_path}/outer.zip/inner/more.ZIP"
    assert second.error == "an archive within an archive is not looked into: unpack it first"


def test_an_archive_that_was_named_itself_is_never_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("MEMORY", b"PAGEDU64")
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    assert list(find_sources([str(tmp_path)])) == []
    (source,) = find_sources([str(tmp_path / "one.zip")])
    assert source.member == Member("MEMORY", 8)
    (source,) = find_sources([str(tmp_path / "none.zip")])
    assert source.error == "none of the 0 files in it is named as dumps are"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dmp")
    os.mkfifo(tmp_path / "pipe")
    (source,) = find_sources([str(tmp_path)])
    assert source.error == "it is a device or a pipe, not a file"


def test_a_7z_archive_that_wants_a_password_says_so(tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr", reason="the package py7zr is not installed")
    for name, hides in (("content.7z", False), ("names.7z", True)):
        with py7zr.SevenZipFile(tmp_path / name, "w", password="secret", header_encryption=hides) as archive:
            archive.writestr(b"PAGEDU64 seven", "one.dmp")
    content, names = find_sources([str(tmp_path)])
    assert (names.error or "").endswith("names.7z is no 7z archive that can be read: it wants a password")
    with pytest.raises(DumpkitError, match=r"one.dmp cannot be unpacked from content.7z: it wants a password"):
        content.opened().__enter__()
