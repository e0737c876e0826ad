"""Appended files: whole lines once, whatever tears, and never outside their folder."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sentinel.adapters.append_files import AppendFiles
from sentinel.errors import Forbidden, Unavailable
from sentinel.ports import FileAppend


def lines(key: str, *texts: str, path: str = "alerts.ndjson") -> FileAppend:
    """Return an append of one line a text."""
    return FileAppend(path, key, b"".join(f'{{"key":"{key}","m":"{text}"}}\n'.encode() for text in texts))


def test_an_append_is_held_afterwards_and_not_before(tmp_path: Path) -> None:
    """`holds` is false for a missing file and for another key, true once the lines are there."""
    files = AppendFiles(tmp_path / "made" / "here")
    first, second = lines("k1", "a", "b"), lines("k2", "c")
    assert not files.holds(first)
    assert not (tmp_path / "made" / "here" / "alerts.ndjson").exists()
    files.append(first)
    assert files.holds(first)
    assert not files.holds(second)
    files.append(second)
    assert files.holds(second)
    assert (tmp_path / "made/here/alerts.ndjson").read_bytes() == first.data + second.data


def test_files_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    """A new file has mode 600 and new folders 700."""
    AppendFiles(tmp_path / "f").append(lines("k", "a", path="x/y.ndjson"))
    assert stat.S_IMODE((tmp_path / "f/x/y.ndjson").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "f/x").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o700


@pytest.mark.parametrize("cut", [1, 10, 20, 21, 25, 41])
def test_a_torn_append_is_not_held_and_swallows_nothing(tmp_path: Path, cut: int) -> None:
    """Wherever an append is torn, `holds` denies it, and the next append begins on a line of its own."""
    files = AppendFiles(tmp_path)
    torn, after = lines("k1", "a", "b"), lines("k2", "c")
    assert len(torn.data) == 42
    (tmp_path / "alerts.ndjson").write_bytes(torn.data[:cut])
    assert not files.holds(torn)
    files.append(after)
    assert files.holds(after)
    assert files.holds(torn) == (cut == 41)  # of which only the line break was missing
    files.append(torn)
    assert files.holds(torn)
    found = (tmp_path / "alerts.ndjson").read_bytes()
    assert found.endswith(after.data + torn.data)
    assert found.startswith(torn.data[:cut])


def test_an_entry_with_a_carriage_return_is_one_line(tmp_path: Path) -> None:
    """Only a line feed ends a line: JSON may have other white space between its tokens."""
    files = AppendFiles(tmp_path)
    odd = FileAppend("a", "k", b'{"key":"k",\r"m":1}\n')
    files.append(odd)
    assert files.holds(odd)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a//b", "", ".", "a/.", "a\0b"])
def test_a_path_that_leaves_the_folder_is_forbidden(tmp_path: Path, path: str) -> None:
    """No .., no absolute path, no empty part: refused before anything is made."""
    files = AppendFiles(tmp_path / "f")
    for action in (files.append, files.holds):
        with pytest.raises(Forbidden):
            action(lines("k", "a", path=path))
    assert list(tmp_path.rglob("*")) == []


def test_a_link_that_leads_out_is_forbidden(tmp_path: Path) -> None:
    """Neither a linked file nor a linked folder is followed."""
    folder, outside = tmp_path / "f", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "x").write_bytes(b"")
    (folder / "file").symlink_to(outside / "x")
    (folder / "down").symlink_to(outside)
    files = AppendFiles(folder)
    for path in ("file", "down/x", "down/new"):
        with pytest.raises(Forbidden, match="link"):
            files.append(lines("k", "a", path=path))
        with pytest.raises(Forbidden, match="link"):
            files.holds(lines("k", "a", path=path))
    assert (outside / "x").read_bytes() == b""
    assert not (outside / "new").exists()


@pytest.mark.parametrize("failing", ["write", "short", "fsync"])
def test_a_disk_that_fails_keeps_all_of_the_lines_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk is `Unavailable`, and what was written of the append is taken back."""
    files = AppendFiles(tmp_path)
    files.append(lines("k1", "a"))
    write, fsync = os.write, os.fsync

    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "write":
        monkeypatch.setattr(os, "write", full)
    elif failing == "short":
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    else:
        monkeypatch.setattr(
            os, "fsync", lambda fd: fsync(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else full()
        )
    with pytest.raises(Unavailable, match="No space left"):
        files.append(lines("k2", "b"))
    monkeypatch.undo()
    assert (tmp_path / "alerts.ndjson").read_bytes() == lines("k1", "a").data
    files.append(lines("k2", "b"))
    assert files.holds(lines("k2", "b"))


def test_writers_at_the_same_time_do_not_mix_lines(tmp_path: Path) -> None:
    """Eight writers of forty-line appends leave every append in one piece."""
    files = [AppendFiles(tmp_path) for _ in range(8)]

    def work(number: int) -> None:
        for turn in range(5):
            files[number].append(lines(f"{number}-{turn}", *"x" * 40))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = (tmp_path / "alerts.ndjson").read_bytes()
    assert found.count(b"\n") == 8 * 5 * 40
    for number in range(8):
        for turn in range(5):
            assert lines(f"{number}-{turn}", *"x" * 40).data in found


def test_an_append_waits_for_the_one_before(tmp_path: Path) -> None:
    """An append that takes back what it could not finish must not cut off another's lines."""
    files = AppendFiles(tmp_path)
    files.append(lines("k1", "a"))
    thread = threading.Thread(target=files.append, args=(lines("k2", "b"),))
    with (tmp_path / "alerts.ndjson").open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        thread.start()
        thread.join(0.2)
        assert not files.holds(lines("k2", "b"))
    thread.join()
    assert files.holds(lines("k2", "b"))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Neither a good call nor a refused one leaks a file descriptor."""
    files = AppendFiles(tmp_path)
    (tmp_path / "link").symlink_to("/")
    before = _open_descriptors()
    for _ in range(20):
        files.append(lines("k", "a", path="d/e/f"))
        files.holds(lines("k", "a", path="d/e/f"))
        with pytest.raises(Forbidden):
            files.append(lines("k", "a", path="link/x"))
    assert _open_descriptors() == before


def _open_descriptors() -> int:
    found = 0
    for number in range(1024):
        with suppress(OSError):
            os.fstat(number)
            found += 1
    return found
