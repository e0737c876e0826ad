"""The contract of `ports_log.Archive` on a folder and on S3, and of `Expiring` on both tables."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.archive_s3 import S3Archive
from sentinel.adapters.dynamodb_ledger import DynamoExpiring, DynamoLedger
from sentinel.adapters.sqlite_expiring import SqliteExpiring
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.runs import TARGET, Run, decode
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Conflict, Missing, Tampered, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_log import Archive, Expiring
from tests.archives import BUCKET, archive_of, bucket
from tests.chains import grow
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import dynamodb

CHAIN = "決済+a/3"
SEGMENTS = grow(CHAIN, [[b'{"n":%d}' % n, b'{"b":"\xf0\x9f\x92\xa5"}'] for n in range(12)])


@pytest.fixture(params=["folder", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    """An empty archive of each kind."""
    with archive_of(request.param, tmp_path) as found:
        yield found


def _filled(archive: Archive) -> Archive:
    for begin, end in ((0, 3), (3, 4), (4, 9)):
        archive.store(CHAIN, SEGMENTS[begin:end])
    return archive


def test_an_empty_archive(archive: Archive) -> None:
    """Nothing is archived: the end is 0, and there is nothing to read or to replace."""
    assert archive.end(CHAIN) == 0
    assert archive.at(CHAIN, 0) is None
    assert list(archive.read(CHAIN)) == []
    assert list(archive.chains()) == []
    assert not archive.replace(SEGMENTS[0], SEGMENTS[0])


def test_runs_read_as_one_chain(archive: Archive) -> None:
    """Every attribute of every segment comes back, in order, over all runs; each entry finds its segment."""
    _filled(archive)
    assert archive.end(CHAIN) == 18
    assert list(archive.read(CHAIN)) == SEGMENTS[:9]
    Verifier(CHAIN).check_all(archive.read(CHAIN))
    assert [archive.at(CHAIN, seq) for seq in range(20)] == [
        *(each for each in SEGMENTS[:9] for _ in range(2)),
        None,
        None,
    ]
    for first in range(19):
        assert list(archive.read(CHAIN, first)) == [each for each in SEGMENTS[:9] if each.first >= first]
    assert list(archive.chains()) == [CHAIN]
    assert archive.end("決済+a/") == archive.end("決済+a/33") == 0


def test_the_same_run_again_is_nothing_and_another_one_is_refused(archive: Archive) -> None:
    """A store that is repeated changes nothing; other segments, or more or fewer, are a conflict."""
    _filled(archive)
    archive.store(CHAIN, SEGMENTS[0:3])
    for run in (SEGMENTS[0:2], SEGMENTS[4:10], grow(CHAIN, [[b"{}"] * 2] * 3, seed=9)):
        with pytest.raises(Conflict):
            archive.store(CHAIN, run)
    assert list(archive.read(CHAIN)) == SEGMENTS[:9]


def test_what_is_no_run_is_refused(archive: Archive) -> None:
    """Segments that leave a gap, are in another order or of another chain are not stored."""
    others = grow("b/0", [[b"{}"]])
    for run in ([SEGMENTS[0], SEGMENTS[2]], [SEGMENTS[1], SEGMENTS[0]], [SEGMENTS[0], *others]):
        with pytest.raises(Tampered, match="archive"):
            archive.store(CHAIN, run)
    assert archive.end(CHAIN) == 0


def test_of_many_one_stores(archive: Archive) -> None:
    """Of any number that store runs at one place exactly one succeeds, and the chain stays whole."""
    gate, won = threading.Barrier(6), []

    def store(length: int) -> None:
        gate.wait()
        try:
            archive.store(CHAIN, SEGMENTS[:length])
            won.append(length)
        except Conflict:
            pass

    threads = [threading.Thread(target=store, args=(length,)) for length in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert list(archive.read(CHAIN)) == SEGMENTS[: won[0]]


def test_a_segment_is_replaced_by_another_form_of_itself(archive: Archive) -> None:
    """The payload of one segment changes, wherever it stands in its run; everything else stays as it was."""
    _filled(archive)
    for place in (0, 3, 5, 8):
        erased = replace(SEGMENTS[place], payload=b"leaves", codec=5)
        assert archive.replace(erased, SEGMENTS[place])
        assert archive.replace(erased, SEGMENTS[place])
        assert not archive.replace(SEGMENTS[place], replace(erased, payload=b"else"))
        assert archive.at(CHAIN, erased.first) == erased
    assert [each.codec for each in archive.read(CHAIN)] == [5, 1, 1, 5, 1, 5, 1, 1, 5]
    assert not archive.replace(replace(SEGMENTS[1], head=bytes(32)), SEGMENTS[1])
    assert not archive.replace(SEGMENTS[9], SEGMENTS[9])
    assert list(archive.read(CHAIN))[1] == SEGMENTS[1]


def test_a_bucket_that_keeps_what_was_replaced_is_told() -> None:
    """Ours keeps no versions; where somebody has changed that, what was erased is still there."""
    with bucket() as s3:
        archive = _filled(S3Archive(s3, BUCKET))
        assert archive.replace(replace(SEGMENTS[0], payload=b"leaves", codec=5), SEGMENTS[0])
        assert archive.tidy(CHAIN) == ""
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        archive.store(CHAIN, SEGMENTS[9:10])
        assert archive.tidy(CHAIN) == ""
        assert archive.replace(replace(SEGMENTS[3], payload=b"leaves", codec=5), SEGMENTS[3])
        assert "keeps versions" in archive.tidy(CHAIN)


def test_many_are_replaced_with_one_write_a_run(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is written once, however many of its segments change; a wrong one stops before its run."""
    _filled(archive)
    calls: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(archive, name)

        def called(*args: Any) -> Any:
            calls.append(name)
            return real(*args)

        return called

    for name in ("get", "replace_run"):
        monkeypatch.setattr(archive, name, counting(name))
    changes = [(replace(each, payload=b"leaves", codec=5), each) for each in SEGMENTS[1:8]]
    assert archive.replace_all(changes)
    assert calls.count("replace_run") == 3
    assert calls.count("get") <= 6  # a folder compares what it replaces under its lock
    assert [each.codec for each in archive.read(CHAIN)] == [1, 5, 5, 5, 5, 5, 5, 5, 1]
    again = [(replace(new, codec=7), new) for new, _ in changes]
    again[4] = (again[4][0], SEGMENTS[5])
    assert not archive.replace_all(again)
    assert [each.codec for each in archive.read(CHAIN)] == [1, 7, 7, 7, 5, 5, 5, 5, 1]
    assert archive.replace_all([])


@pytest.mark.parametrize("call", ["link", "fsync"])
def test_a_run_that_was_cut_off_leaves_nothing_behind(tmp_path: Path, call: str) -> None:
    """Whoever is killed over a run leaves a file that nobody reads, with its entries: tidying takes it."""
    archive = FolderArchive(tmp_path / "archive")
    archive.store(CHAIN, SEGMENTS[:3])
    died = """
import os, sys
from pathlib import Path
from sentinel.adapters.archive_folder import FolderArchive
from sentinel.core.runs import decode
setattr(os, sys.argv[2], lambda *_: os._exit(9))
run = decode(sys.argv[3], 6, sys.stdin.buffer.read())
FolderArchive(Path(sys.argv[1])).store(run.chain, list(run.segments))
"""
    told, run = [str(tmp_path / "archive"), call, CHAIN], Run(tuple(SEGMENTS[3:9])).encode()
    ended = subprocess.run([sys.executable, "-c", died, *told], input=run, check=False)
    assert ended.returncode == 9
    folder = next((tmp_path / "archive").iterdir())
    assert [path.name[:18] for path in folder.glob(".0*")] == [".0000000000000006."]
    archive.tidy("another/0")
    archive.tidy(CHAIN)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "0000000000000000"]
    archive.store(CHAIN, SEGMENTS[3:9])
    assert list(archive.read(CHAIN)) == SEGMENTS[:9]


def test_tidying_takes_nothing_from_who_is_writing(tmp_path: Path) -> None:
    """A run that is being stored, or replaced, is no leftover."""
    archive, stop = FolderArchive(tmp_path), threading.Event()

    def tidying() -> None:
        while not stop.is_set():
            archive.tidy(CHAIN)

    thread = threading.Thread(target=tidying)
    thread.start()
    try:
        for each in SEGMENTS:
            archive.store(CHAIN, [each])
            assert archive.replace(replace(each, payload=b"leaves", codec=5), each)
    finally:
        stop.set()
        thread.join()
    assert [each.codec for each in archive.read(CHAIN)] == [5] * len(SEGMENTS)


def test_replacements_at_once_are_all_there(archive: Archive) -> None:
    """Two segments of one run that are replaced at once: none is put back by the other."""
    archive.store(CHAIN, SEGMENTS)
    changed = [replace(each, payload=b"leaves", codec=5) for each in SEGMENTS]
    pairs = list(zip(changed[:4], SEGMENTS, strict=False))
    threads = [threading.Thread(target=archive.replace, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(archive.read(CHAIN)) == changed[:4] + SEGMENTS[4:]


def _damage(archive: Archive, tmp_path: Path, first: int, change: Any) -> None:
    if isinstance(archive, S3Archive):
        s3: Any = archive._s3
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
        key = next(each for each in keys if each.endswith(f"{10**16 - 1 - first:016}"))
        data = change(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        if data is None:
            s3.delete_object(Bucket=BUCKET, Key=key)
        else:
            s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        return
    (path,) = (tmp_path / "archive").glob(f"*/{first:016}")
    data = change(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:10],
        lambda data: b"",
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
        lambda data: Run(tuple(SEGMENTS[0:3])).encode(),
        lambda data: Run(tuple(grow(CHAIN, [[b"{}"] * 2] * 9, seed=4)[4:9])).encode(),
    ],
)
def test_a_damaged_object_is_told(archive: Archive, tmp_path: Path, change: Any) -> None:
    """An object that is cut, changed, or of another place or chain is `Tampered`, with the entry."""
    _filled(archive)
    _damage(archive, tmp_path, 8, change)
    with pytest.raises(Tampered) as told:
        list(archive.read(CHAIN))
    assert (told.value.kind, told.value.seq) == ("archive", 8)


@pytest.mark.parametrize("first", [0, 6])
def test_an_object_that_is_gone_is_told(archive: Archive, tmp_path: Path, first: int) -> None:
    """An archive without one of its runs is not a shorter one, nor an empty one."""
    _filled(archive)
    _damage(archive, tmp_path, first, lambda _: None)
    assert archive.at(CHAIN, first) is None
    with pytest.raises(Tampered, match="gone") as told:
        list(archive.read(CHAIN))
    assert told.value.seq == first


def test_what_unpacks_to_too_much_is_refused() -> None:
    """An object whose frame says that it is larger than a run can be is not unpacked."""
    import zstandard

    raw = Run(tuple(SEGMENTS[:1])).encode()
    bomb = raw[:20] + zstandard.ZstdCompressor().compress(bytes(17_000_000))
    with pytest.raises(Tampered, match="16000000"):
        decode(CHAIN, 0, bomb)


def test_a_full_run_fits(archive: Archive) -> None:
    """The largest run, with the largest segment behind it, is one object that can be read."""
    large = [
        replace(each, payload=bytes([number]) * 350_000)
        for number, each in enumerate(grow("a/0", [[b"{}"]] * (TARGET // 350_000 + 1)))
    ]
    archive.store("a/0", large)
    assert list(archive.read("a/0")) == large


def test_few_requests() -> None:
    """On S3 the end and one entry take two requests, whatever there is; reading on takes one a run."""
    with bucket() as s3:
        archive, seen = S3Archive(s3, BUCKET), []
        for segment in SEGMENTS:
            archive.store(CHAIN, [segment])
        s3.meta.events.register("request-created.s3", lambda operation_name, **_: seen.append(operation_name))
        assert archive.end(CHAIN) == 24
        assert archive.at(CHAIN, 13) == SEGMENTS[6]
        assert seen == ["ListObjectsV2", "GetObject"] * 2
        seen.clear()
        assert list(archive.read(CHAIN)) == SEGMENTS
        assert seen == ["GetObject"] * 13 + ["ListObjectsV2"]


def test_many_chains_are_listed() -> None:
    """Every chain is listed once, over the pages of a bucket."""
    with bucket() as s3:
        archive = S3Archive(s3, BUCKET)
        names = [f"a b+{n}/0" for n in range(7)]
        for name in names:
            archive.store(name, grow(name, [[b"{}"]]))
        listing = s3.list_objects_v2
        s3.list_objects_v2 = lambda **which: listing(**{**which, "MaxKeys": 2})
        assert sorted(archive.chains()) == names


def test_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """A folder that cannot be made is `Unavailable`; a bucket that is not there is named."""
    (tmp_path / "archive").write_text("")
    with pytest.raises(Unavailable):
        FolderArchive(tmp_path / "archive").store(CHAIN, SEGMENTS[:1])
    with bucket():
        gone = S3Archive(aws_client("s3"), "nowhere-at-all")
        for call in (lambda: gone.end(CHAIN), lambda: gone.store(CHAIN, SEGMENTS[:1])):
            with pytest.raises(Missing, match="bucket"):
                call()


@pytest.fixture(params=["sqlite", "dynamodb"])
def marked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Expiring]]:
    """A ledger of each kind, and what marks its segments."""
    if request.param == "sqlite":
        yield SqliteLedger(tmp_path / "ledger.db"), SqliteExpiring(tmp_path / "ledger.db")
        return
    with dynamodb("ledger") as client:
        yield DynamoLedger(client, "ledger"), DynamoExpiring(client, "ledger")


def test_marking_changes_nothing_else(marked: tuple[Ledger, Expiring]) -> None:
    """A marked segment reads as before; marking again, or what is not there, does nothing."""
    ledger, expiring = marked
    for segment in SEGMENTS:
        ledger.append(segment)
    assert expiring.unmarked(CHAIN, 9) == [8, 6, 4, 2, 0]
    for first in (0, 2, 2, 99):
        expiring.expire(CHAIN, first, 1_000)
    assert expiring.unmarked(CHAIN, 9) == [8, 6, 4]
    assert expiring.unmarked(CHAIN, 2) == expiring.unmarked("b/0", 9) == []
    assert list(ledger.read(CHAIN)) == SEGMENTS


def test_marks_stay_and_only_what_is_over_is_dropped(tmp_path: Path) -> None:
    """A mark is not moved; SQLite's rows go when their time is up, and not before."""
    ledger, expiring = SqliteLedger(tmp_path / "l.db"), SqliteExpiring(tmp_path / "l.db")
    for segment in SEGMENTS:
        ledger.append(segment)
    expiring.expire(CHAIN, 0, 1_000)
    expiring.expire(CHAIN, 0, 9_000)
    assert ledger.expires(CHAIN, 0) == 1_000
    assert list(expiring.expired(999, 10)) == []
    assert expiring.drop(CHAIN, [0, 2], 999) == expiring.drop(CHAIN, [2], 9_999) == 0
    assert list(expiring.expired(1_000, 10)) == [[(CHAIN, 0)]]
    assert expiring.drop(CHAIN, [0, 2], 1_000) == 1
    assert list(ledger.read(CHAIN)) == SEGMENTS[1:]


def test_a_marks_request_names_three_attributes() -> None:
    """DynamoDB's UpdateItem touches the key and `expires` alone: more its role may not; no item is made."""
    with dynamodb("ledger") as client:
        DynamoLedger(client, "ledger").append(SEGMENTS[0])
        before = client.scan(TableName="ledger")["Items"]
        expiring = DynamoExpiring(client, "ledger")
        expiring.expire(CHAIN, 0, 77)
        expiring.expire(CHAIN, 5, 77)
        assert client.scan(TableName="ledger")["Items"] == [{**before[0], "expires": {"N": "77"}}]


def test_a_segment_behind_the_end_is_taken_in_sqlite(tmp_path: Path) -> None:
    """A slot that was emptied is not free: who wrote there before learns where the chain ends."""
    from sentinel.ports import SlotTaken

    ledger, expiring = SqliteLedger(tmp_path / "l.db"), SqliteExpiring(tmp_path / "l.db")
    for segment in SEGMENTS:
        ledger.append(segment)
    expiring.expire(CHAIN, 2, 1)
    expiring.drop(CHAIN, [2], 2)
    stray: Segment = grow(CHAIN, [[b"{}"] * 2] * 2, seed=7)[1]
    with pytest.raises(SlotTaken) as taken:
        ledger.append(stray)
    assert taken.value.segment == SEGMENTS[-1]
    assert ledger.at(CHAIN, 2) is None
