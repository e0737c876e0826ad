"""The port `Blobs`: one contract on a folder and on S3 (moto's)."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from moto import mock_aws

from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.blobs_s3 import S3Blobs
from sentinel.errors import Forbidden, Missing, Tampered, Unavailable
from sentinel.ports_patches import Blobs
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION

BUCKET = "kept"
Store = tuple[Blobs, Callable[[str, bytes], object], Callable[[], list[str]]]


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give a store, a way to damage what it keeps, and the names of what it keeps."""
    if request.param == "folder":
        folder = tmp_path / "blobs"
        yield (
            FolderBlobs(folder),
            lambda digest, data: (folder / digest).write_bytes(data),
            lambda: sorted(each.name for each in folder.iterdir()),
        )
        return
    with mock_aws():
        s3 = aws_client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield (
            S3Blobs(s3, BUCKET),
            lambda digest, data: s3.put_object(Bucket=BUCKET, Key=f"blobs/{digest}", Body=data),
            lambda: [
                each["Key"].removeprefix("blobs/") for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]
            ],
        )


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
def test_what_is_put_is_got(store: Store, data: bytes) -> None:
    """Bytes come back by their SHA-256; putting them again does nothing."""
    blobs, _, names = store
    digest = blobs.put(data)
    assert digest == sha256(data).hexdigest()
    assert blobs.get(digest) == data
    assert blobs.put(data) == digest
    assert names() == [digest]


def test_what_a_killed_process_left_of_a_blob_goes_with_it(tmp_path: Path) -> None:
    """A worker that dies while it keeps something leaves it under another name: dropping takes that, too."""
    died = """
import os, sys
from pathlib import Path
from sentinel.adapters.blobs_folder import FolderBlobs
os.link = lambda *_: os._exit(9)
FolderBlobs(Path(sys.argv[1])).put(b"who it is about")
"""
    assert subprocess.run([sys.executable, "-c", died, tmp_path], check=False).returncode == 9
    blobs = FolderBlobs(tmp_path)
    other, digest = blobs.put(b"another"), blobs.put(b"who it is about")
    assert len(list(tmp_path.iterdir())) == 3
    blobs.drop(digest)
    assert [each.name for each in tmp_path.iterdir()] == [other]
    FolderBlobs(tmp_path / "nowhere").drop(digest)


def test_what_is_not_there_is_missing(store: Store) -> None:
    """A digest that nothing is kept under, and a name that is none, are `Missing`."""
    blobs, _, _ = store
    for name in ("0" * 64, "../secret", "", "A" * 64):
        with pytest.raises(Missing):
            blobs.get(name)


def test_damage_is_noticed_and_never_written_over(store: Store) -> None:
    """Bytes that are not those of their name are `Tampered`, also after the right ones are put again."""
    blobs, damage, _ = store
    digest = blobs.put(b"right")
    damage(digest, b"wrong")
    with pytest.raises(Tampered):
        blobs.get(digest)
    blobs.put(b"right")
    with pytest.raises(Tampered):
        blobs.get(digest)


def test_many_may_put_the_same(store: Store) -> None:
    """Of any number that put the same bytes at once all succeed, and one is kept."""
    blobs, _, names = store
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(blobs.put, [b"the same"] * 24))
    assert names() == sorted(digests)
    assert len(digests) == 1


def test_the_folder_is_its_owners(tmp_path: Path) -> None:
    """Nobody else reads the folder or a file of it; a file that others could read is not taken."""
    blobs = FolderBlobs(tmp_path / "blobs")
    digest = blobs.put(b"source code")
    path = tmp_path / "blobs" / digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with pytest.raises(Forbidden):
        blobs.get(digest)


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """Where a file stands in the folder's place nothing can be kept now."""
    (tmp_path / "blobs").write_text("")
    with pytest.raises(Unavailable):
        FolderBlobs(tmp_path / "blobs").put(b"x")


def test_a_bucket_that_is_not_there_is_named() -> None:
    """The error says that the bucket is missing, for reads and writes."""
    with mock_aws():
        blobs = S3Blobs(aws_client("s3"), "nowhere")
        for call in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64)):
            with pytest.raises(Missing, match="bucket"):
                call()
