"""The ports `Notes` and `Tiles`: one contract on a folder and on S3 (moto's), and what S3 has to keep."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, FlexibleChecksumError
from moto import mock_aws

from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.log_s3 import S3Notes, S3Tiles
from sentinel.errors import Forbidden, Missing, SentinelError, Unavailable
from sentinel.ports_log import Notes, Tiles
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION, one_at_a_time

LOG = "log.example"
CHAIN = "checkout/0"
BUCKET = "checkpoints"


def bucket(s3: Any, name: str = BUCKET) -> None:
    """Make a bucket as the deployment has it: with versions and Object Lock."""
    s3.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=True,
    )
    retention = {"Mode": "COMPLIANCE", "Days": 30}
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},
    )


@pytest.fixture
def s3() -> Iterator[Any]:
    """Give a client of moto's S3, which has the bucket."""
    with one_at_a_time(), mock_aws():
        client = aws_client("s3")
        bucket(client)
        yield client


@pytest.fixture(params=["folder", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of store after the other."""
    return str(request.param)


@pytest.fixture
def notes(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Notes:
    """Give a store of checkpoints."""
    return FolderNotes(tmp_path) if kind == "folder" else S3Notes(request.getfixturevalue("s3"), BUCKET, LOG)


@pytest.fixture
def tiles(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Tiles:
    """Give a store of tiles."""
    return FolderTiles(tmp_path) if kind == "folder" else S3Tiles(request.getfixturevalue("s3"), BUCKET, LOG)


def test_a_checkpoint_is_written_once(notes: Notes) -> None:
    """The first note of a number stays; the same bytes again are no error, as after a lost answer."""
    assert notes.get(CHAIN, 0) is None
    assert notes.put(CHAIN, 0, b"first")
    assert not notes.put(CHAIN, 0, b"second")
    assert notes.put(CHAIN, 0, b"first")
    assert notes.get(CHAIN, 0) == b"first"


def test_the_newest_has_the_greatest_number(notes: Notes) -> None:
    """Numbers are compared as numbers, across every border of the layout, whatever is attached."""
    assert notes.newest(CHAIN) is None
    for number in (0, 9, 10, 999, 1_000, 999_999, 1_000_000, 123_456_789):
        notes.put(CHAIN, number, b"%d" % number)
        for each in range(10):
            notes.attach(CHAIN, number, f"witness-{each}", b"x")
        assert notes.newest(CHAIN) == (number, b"%d" % number)
    assert notes.get(CHAIN, 999_999) == b"999999"


def test_chains_are_apart(notes: Notes) -> None:
    """A chain whose id begins with another's, or is in any script, has checkpoints of its own."""
    names = ["a/1", "a/10", "a/100", "決済/0", "a%2F1/0", "b.c:d@e+f/63"]
    for number, name in enumerate(names):
        assert notes.put(name, number, name.encode())
    assert sorted(notes.chains()) == sorted(names)
    for number, name in enumerate(names):
        assert notes.newest(name) == (number, name.encode())


def test_the_first_that_is_attached_stays(notes: Notes) -> None:
    """What is beside a checkpoint is found by its name, and belongs to that checkpoint alone."""
    for number in (1, 10):
        notes.put(CHAIN, number, b"note")
    notes.attach(CHAIN, 1, "witness-1", b"cosigned")
    notes.attach(CHAIN, 1, "witness-1", b"other")
    notes.attach(CHAIN, 1, "timestamp", b"\0\xff")
    assert notes.attached(CHAIN, 1) == {"witness-1": b"cosigned", "timestamp": b"\0\xff"}
    assert notes.attached(CHAIN, 10) == {}
    assert notes.get(CHAIN, 1) == b"note"


def test_of_many_that_put_one_number_one_succeeds(notes: Notes) -> None:
    """Whoever signs at the same time: one checkpoint is stored, and exactly one is told so."""
    bodies = [b"by %d" % number for number in range(12)]
    for number in range(3):
        with ThreadPoolExecutor(len(bodies)) as pool:
            told = list(pool.map(lambda body, n=number: notes.put(CHAIN, n, body), bodies))
        assert sum(told) == 1
        assert notes.get(CHAIN, number) == bodies[told.index(True)]


def test_tiles_come_back(tiles: Tiles) -> None:
    """A tile is kept by its path; one that was changed is mended by putting it again."""
    assert tiles.get(CHAIN, "0/000") is None
    for path in ("0/000", "0/x001/067", "1/000.p/17"):
        tiles.put(CHAIN, path, path.encode() * 300)
        tiles.put(CHAIN, path, path.encode() * 300)
    more = {f"0/x001/{number:03}": b"%d" % number for number in range(40)}
    tiles.put_all(CHAIN, more)
    tiles.put_all(CHAIN, {})
    assert {path: tiles.get(CHAIN, path) for path in more} == more
    tiles.put(CHAIN, "0/x001/067", b"0/x001/067" * 300)
    tiles.put(CHAIN, "0/000", b"mended")
    assert tiles.get(CHAIN, "0/000") == b"mended"
    assert tiles.get(CHAIN, "1/000.p/17") == b"1/000.p/17" * 300
    assert tiles.get("checkout/1", "0/000") is None


def test_junk_beside_checkpoints_is_passed_over(notes: Notes, tmp_path: Path, kind: str) -> None:
    """A file that is no checkpoint of ours, left by a person or a crash, hides no checkpoint."""
    notes.put(CHAIN, 7, b"seven")
    if kind == "folder":
        top = tmp_path / "checkout%2F0" / "notes"
        for junk in ("zzz", "999x", "٩٩٩"):
            (top / junk).mkdir()
        (top / "000" / "000" / "000008.part").write_bytes(b"x")
    else:
        aws_client("s3").put_object(Bucket=BUCKET, Key=f"log/{LOG}/checkout%2F0/0", Body=b"x")
    assert notes.newest(CHAIN) == (7, b"seven")


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """What is stored in a folder has mode 0600; a link in the place of a checkpoint is refused."""
    FolderNotes(tmp_path).put(CHAIN, 0, b"note")
    path = tmp_path / "checkout%2F0" / "notes" / "000" / "000" / "000000"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Forbidden):
        FolderNotes(tmp_path).get(CHAIN, 0)


def test_logs_of_two_names_are_apart(s3: Any) -> None:
    """A log that lost its key begins anew under another name, in the same bucket."""
    S3Notes(s3, BUCKET, "one.example").put(CHAIN, 0, b"one")
    other = S3Notes(s3, BUCKET, "two.example")
    assert other.newest(CHAIN) is None
    assert list(other.chains()) == []


def test_the_first_version_counts(s3: Any) -> None:
    """Whoever may write to the bucket can neither replace a checkpoint nor hide one by a delete marker."""
    notes = S3Notes(s3, BUCKET, LOG)
    notes.put(CHAIN, 0, b"old")
    notes.put(CHAIN, 1, b"new")
    notes.attach(CHAIN, 1, "witness-1", b"cosigned")
    key = f"log/{LOG}/checkout%2F0/999999999998"
    for _ in range(10):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"old")
    s3.delete_object(Bucket=BUCKET, Key=key)
    s3.delete_object(Bucket=BUCKET, Key=f"{key}.witness-1")
    assert notes.newest(CHAIN) == (1, b"new")
    assert notes.get(CHAIN, 1) == b"new"
    assert notes.attached(CHAIN, 1) == {"witness-1": b"cosigned"}


def test_the_newest_is_two_requests(s3: Any) -> None:
    """However many checkpoints there are: one request that lists, one that gets."""
    notes = S3Notes(s3, BUCKET, LOG)
    for number in range(40):
        notes.put(CHAIN, number, b"note %d" % number)
    calls: list[str] = []
    s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    assert notes.newest(CHAIN) == (39, b"note 39")
    assert calls == ["ListObjectVersions", "GetObject"]


class _Broken:
    """S3 that answers every call with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _: str) -> Callable[..., Any]:
        def call(**_: object) -> Any:
            raise self._error

        return call


def _error(code: str) -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(told, "Any")


@pytest.mark.parametrize(
    ("error", "kind_of_error"),
    [
        (_error("SlowDown"), Unavailable),
        (_error("ConditionalRequestConflict"), Unavailable),
        (EndpointConnectionError(endpoint_url="https://s3"), Unavailable),
        (FlexibleChecksumError(error_msg="secret"), Unavailable),
        (_error("AccessDenied"), Forbidden),
        (_error("NoSuchBucket"), Missing),
    ],
)
def test_errors_of_s3_are_told_by_kind(error: Exception, kind_of_error: type[SentinelError]) -> None:
    """What may pass is `Unavailable`, everything else what it is; no message of S3 goes on."""
    notes, tiles = S3Notes(_Broken(error), BUCKET, LOG), S3Tiles(_Broken(error), BUCKET, LOG)
    calls: list[Callable[[], object]] = [
        lambda: notes.put(CHAIN, 0, b"x"),
        lambda: notes.get(CHAIN, 0),
        lambda: notes.newest(CHAIN),
        lambda: notes.attach(CHAIN, 0, "timestamp", b"x"),
        lambda: notes.attached(CHAIN, 0),
        lambda: list(notes.chains()),
        lambda: tiles.put(CHAIN, "0/000", b"x"),
        lambda: tiles.put_all(CHAIN, {"0/000": b"x", "0/001": b"y"}),
        lambda: tiles.get(CHAIN, "0/000"),
    ]
    for call in calls:
        with pytest.raises(kind_of_error) as found:
            call()
        assert "secret" not in str(found.value)


def test_a_put_whose_answer_was_lost_is_found(s3: Any) -> None:
    """After `Unavailable` the same bytes may be put again, and are told as stored."""
    notes, lost = S3Notes(s3, BUCKET, LOG), [True]

    def lose(**_: object) -> None:
        if lost and lost.pop():
            raise EndpointConnectionError(endpoint_url="https://s3")

    s3.meta.events.register("after-call.s3.PutObject", lose)
    with pytest.raises(Unavailable):
        notes.put(CHAIN, 0, b"note")
    assert notes.put(CHAIN, 0, b"note")
    assert not notes.put(CHAIN, 0, b"another")
