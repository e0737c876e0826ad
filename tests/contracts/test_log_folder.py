"""The folder of checkpoints and tiles: any chain's name, what lies about in it, what is cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentinel.adapters import whole_files
from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.errors import Tampered, Unavailable
from tests.chains import grow

CHAIN = "checkout/0"
CHAINS = [CHAIN, "..", ".", ".hidden/0", "決" * 42 + "/0", "é%2F/1", "a%/0", "%2E/0", "a b/../../c"]


def test_any_chain_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Whatever a chain is called, what is kept of it is right below the folder, and nothing anywhere else."""
    root = tmp_path / "log"
    notes, tiles = FolderNotes(root), FolderTiles(root)
    for number, chain in enumerate(CHAINS):
        assert notes.put(chain, 0, b"note %d" % number)
        tiles.put(chain, "0/000.p/3", b"tile %d" % number)
    assert sorted(notes.chains()) == sorted(CHAINS)
    for number, chain in enumerate(CHAINS):
        assert notes.newest(chain) == (0, b"note %d" % number)
        assert tiles.get(chain, "0/000.p/3") == b"tile %d" % number
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert len(list(root.iterdir())) == len(CHAINS)
    with pytest.raises(Tampered):
        notes.put("", 0, b"x")


def test_any_chain_has_a_folder_in_the_archive(tmp_path: Path) -> None:
    """The same of what is archived: a chain with a long name in another script is read like any other."""
    root = tmp_path / "archive"
    archive = FolderArchive(root)
    for number, chain in enumerate(CHAINS):
        archive.store(chain, grow(chain, [[b"{}"] * (number + 1)]))
    assert sorted(archive.chains()) == sorted(CHAINS)
    assert [archive.end(chain) for chain in CHAINS] == list(range(1, len(CHAINS) + 1))
    assert archive.end("決" * 41 + "/1") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
    assert len(list(root.iterdir())) == len(CHAINS)


@pytest.mark.parametrize("name", [b"\xff", b"%FF", b"%ED%A0%80", b"a b", b"a%2f0", b"%2", b"%2E%2E"])
def test_a_folder_that_is_no_chains_stops_nobody(tmp_path: Path, name: bytes) -> None:
    """One folder with a name that is no text, or that no chain has, kept all chains from being sealed."""
    for top, kept in (("log", b"notes/000/000"), ("archive", b"")):
        folder = tmp_path / top / os.fsdecode(name) / os.fsdecode(kept)
        folder.mkdir(parents=True)
        (folder / "0000000000000000").write_bytes(b"x")
    assert list(FolderNotes(tmp_path / "log").chains()) == []
    assert list(FolderArchive(tmp_path / "archive").chains()) == []


def test_a_chain_whose_name_is_too_long_for_a_folder_has_nothing(tmp_path: Path) -> None:
    """Who writes the table may call a chain anything; to look for what is kept of it is no error."""
    (tmp_path / "x").mkdir()
    assert FolderNotes(tmp_path).newest("a" * 3_000) is None
    assert FolderArchive(tmp_path).end("a" * 3_000) == 0
    with pytest.raises(Unavailable):
        FolderNotes(tmp_path).put("a" * 3_000, 0, b"x")


def test_checkpoints_are_written_once(tmp_path: Path) -> None:
    """A number that is taken stays as it is; the same again is there already. Attachments, too."""
    notes = FolderNotes(tmp_path)
    assert notes.put(CHAIN, 999_999, b"a")
    assert notes.put(CHAIN, 1_000_000, b"b")
    assert notes.put(CHAIN, 1_000_000, b"b")
    assert not notes.put(CHAIN, 1_000_000, b"c")
    assert notes.newest(CHAIN) == (1_000_000, b"b")
    assert notes.get(CHAIN, 999_999) == b"a"
    for data in (b"1", b"2"):
        notes.attach(CHAIN, 1_000_000, "witness-1", data)
    assert notes.attached(CHAIN, 1_000_000) == {"witness-1": b"1"}
    assert notes.attached(CHAIN, 999_999) == {}


def test_what_lies_about_is_passed_over(tmp_path: Path) -> None:
    """Files of editors and desktops, and what a kill left half written, are no checkpoints."""
    notes = FolderNotes(tmp_path)
    assert notes.put(CHAIN, 7, b"a")
    top = tmp_path / "checkout%2F0" / "notes"
    for folder in (tmp_path, top, top / "000", top / "000" / "000"):
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "zzz").write_bytes(b"x")
        (folder / "999999999").write_bytes(b"x")
        (folder / "\u0669\u0669\u0669").write_bytes(b"x")
    (top / "000" / "000" / ".000009.0011223344556677").write_bytes(b"half")
    assert notes.newest(CHAIN) == (7, b"a")
    assert list(notes.chains()) == [CHAIN]


def test_a_full_tile_takes_the_place_of_its_partial_ones(tmp_path: Path) -> None:
    """Partial tiles go when the full one is there, so that a log that grows all day keeps few files."""
    tiles = FolderTiles(tmp_path)
    for width in (3, 17, 255):
        tiles.put(CHAIN, f"0/000.p/{width}", bytes(32 * width))
    tiles.put(CHAIN, "0/001.p/9", bytes(288))
    tiles.put(CHAIN, "0/000", bytes(8_192))
    kept = sorted(path.name for path in (tmp_path / "checkout%2F0" / "tile" / "0").iterdir())
    assert kept == ["000", "001.p"]
    assert tiles.get(CHAIN, "0/000.p/17") is None


@pytest.mark.parametrize("damage", ["long", "open", "cut"])
def test_a_damaged_tile_is_made_anew(tmp_path: Path, damage: str) -> None:
    """A tile that is too long, that others may write, or that was cut is one that has to be put again."""
    tiles = FolderTiles(tmp_path)
    tiles.put(CHAIN, "0/000", bytes(8_192))
    path = tmp_path / "checkout%2F0" / "tile" / "0" / "000"
    if damage == "open":
        path.chmod(0o666)
    else:
        path.write_bytes(bytes(9_000 if damage == "long" else 100))
    assert tiles.get(CHAIN, "0/000") in {None, bytes(100)}
    tiles.put(CHAIN, "0/000", bytes(8_192))
    assert tiles.get(CHAIN, "0/000") == bytes(8_192)


def test_new_folders_are_flushed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a file is there only if the names of all folders above it are on the disk."""
    flushed: list[Path] = []
    monkeypatch.setattr(whole_files, "flush", flushed.append)
    FolderNotes(tmp_path / "log").put(CHAIN, 0, b"x")
    folders = [
        tmp_path,
        tmp_path / "log",
        *(tmp_path / "log" / "checkout%2F0").rglob("*"),
        tmp_path / "log" / "checkout%2F0",
    ]
    assert {each for each in folders if each.is_dir()} <= set(flushed)


def test_a_full_disk_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written nothing is left half written, and afterwards it goes on."""
    notes = FolderNotes(tmp_path)
    real = os.fsync

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="No space"):
        notes.put(CHAIN, 0, b"x")
    assert notes.newest(CHAIN) is None
    monkeypatch.setattr("os.fsync", real)
    assert notes.put(CHAIN, 0, b"x")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["000000"]
