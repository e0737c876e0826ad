"""The contract of `ports_log.DataKeys`: on SQLite with a key file, and on KMS with DynamoDB."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from botocore.stub import Stubber

from sentinel.adapters.kms_keys import KmsDataKeys
from sentinel.adapters.sqlite_keys import SqliteDataKeys
from sentinel.adapters.wrapping_keys import WrappingKeys
from sentinel.errors import Forbidden, Missing, Unavailable
from sentinel.ports_log import DataKeys
from tests.contracts.tables import REGION, dynamodb


class Clock:
    """Counts seconds, as nanoseconds."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        self.now += 1_000_000_000
        return self.now


def local(folder: Path, *, create: bool = True) -> SqliteDataKeys:
    """Return the data keys of one machine."""
    wrapping = WrappingKeys(folder / "data.key", os.urandom, create=create)
    return SqliteDataKeys(folder / "keys.db", wrapping, Clock(), os.urandom)


@contextmanager
def cloud() -> Iterator[tuple[KmsDataKeys, Any, Any]]:
    """Give data keys of a moto account, its KMS client and its DynamoDB client."""
    with dynamodb("keys") as client:
        kms = boto3.client(
            "kms", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        master = kms.create_key()["KeyMetadata"]["KeyId"]
        yield KmsDataKeys(client, "keys", kms, master, Clock(), os.urandom), kms, client


@pytest.fixture(params=["sqlite", "kms"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataKeys]:
    """Data keys of each kind, empty."""
    if request.param == "sqlite":
        yield local(tmp_path)
    else:
        with cloud() as (found, _, _):
            yield found


def test_a_key_is_what_it_was_and_its_chain_s_alone(keys: DataKeys) -> None:
    """What was made is opened again by its chain and id, and by no other chain."""
    name, plain = keys.make("a/0")
    other, another = keys.make("a/0")
    assert (len(plain), name.isalnum()) == (32, True)
    assert (name, plain) != (other, another)
    assert (keys.open("a/0", name), keys.open("a/0", other)) == (plain, another)
    with pytest.raises(Missing):
        keys.open("b/0", name)


def test_keys_are_listed_by_their_age(keys: DataKeys) -> None:
    """The ids of a chain's keys come oldest first, with the time they were made."""
    made = [keys.make("a/0")[0] for _ in range(3)]
    keys.make("b/0")
    found = keys.ids("a/0")
    assert [name for name, _ in found] == made
    assert [t for _, t in found] == sorted({t for _, t in found})
    assert keys.ids("c/0") == []


def test_a_destroyed_key_is_gone(keys: DataKeys) -> None:
    """It is Missing, it stays so when it is destroyed again, and others stay."""
    name, _ = keys.make("a/0")
    other, plain = keys.make("a/0")
    for _ in range(2):
        keys.destroy("a/0", name)
        with pytest.raises(Missing):
            keys.open("a/0", name)
    assert keys.open("a/0", other) == plain
    assert [each for each, _ in keys.ids("a/0")] == [other]


def test_the_wrapping_key_is_its_owner_s(tmp_path: Path) -> None:
    """The file has mode 0600; one that others can read, or that holds something else, is refused."""
    name, _ = local(tmp_path).make("a/0")
    path = tmp_path / "data.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(Forbidden, match="chmod 600"):
        local(tmp_path).open("a/0", name)
    path.chmod(0o600)
    path.write_text("sentinel-wrapping-keys/v1\n0123456789abcdef AAAA\n")
    with pytest.raises(Forbidden, match="does not hold"):
        local(tmp_path).open("a/0", name)


def wrapped_in(keys: SqliteDataKeys) -> dict[str, bytes]:
    """Return the wrapped form of each key."""
    with keys._database.reading() as connection:
        return dict(connection.execute("SELECT id, wrapped FROM keys").fetchall())


def held(folder: Path, wrapped: bytes) -> list[str]:
    """Return the files that have these bytes, or half of them, somewhere."""
    files = [each for each in folder.iterdir() if each.name.startswith("keys.db")]
    halves = (wrapped[: len(wrapped) // 2], wrapped[len(wrapped) // 2 :])
    return [each.name for each in files if any(half in each.read_bytes() for half in halves)]


def test_no_data_key_stands_in_the_files(tmp_path: Path) -> None:
    """What is stored is wrapped; what was destroyed is in no file, nor in what pages held that divided."""
    keys = local(tmp_path)
    made = [keys.make(f"a/{n % 7}")[0] for n in range(120)]
    _, plain = keys.make("a/0")
    assert held(tmp_path, plain) == []
    for at, name in ((0, made[0]), (77, made[77])):
        wrapped = wrapped_in(keys)[name]
        assert held(tmp_path, wrapped)
        keys.destroy(f"a/{at % 7}", name)
        assert held(tmp_path, wrapped) == []
    assert len(wrapped_in(keys)) == 119


def test_a_key_is_destroyed_when_no_file_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads the log it is Unavailable: the key opens nothing, and goes the next time."""
    monkeypatch.setattr("sentinel.adapters.sqlite_open.BUSY_MS", 20)
    keys = local(tmp_path)
    name, _ = keys.make("a/0")
    wrapped = wrapped_in(keys)[name]
    reader = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM keys").fetchone() == (1,)
    with pytest.raises(Unavailable, match="being read"):
        keys.destroy("a/0", name)
    assert [each for each, _ in keys.ids("a/0")] == [name]
    with pytest.raises(Missing):
        keys.open("a/0", name)
    assert held(tmp_path, wrapped)
    assert local(tmp_path).rewrap() == 0
    assert len((tmp_path / "data.key").read_text().splitlines()) == 2
    reader.close()
    keys.destroy("a/0", name)
    assert (keys.ids("a/0"), held(tmp_path, wrapped)) == ([], [])


def test_a_row_stands_for_no_other(tmp_path: Path) -> None:
    """A wrapped key that is put in the place of another one's is refused."""
    keys = local(tmp_path)
    name, _ = keys.make("a/0")
    other, _ = keys.make("b/0")
    with keys._database.writing() as connection:
        connection.execute("UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE id = ?)", (other,))
    with pytest.raises(Forbidden, match="not the one"):
        keys.open("a/0", name)


def test_rotation_wraps_all_anew_and_drops_the_old_key(tmp_path: Path) -> None:
    """All keys can be opened with the new wrapping key, and a copy of the old rows cannot."""
    keys = local(tmp_path)
    made = [("a/0", *keys.make("a/0")), ("b/0", *keys.make("b/0"))]
    with keys._database.reading() as connection:
        before = connection.execute("SELECT id, wrapper, wrapped FROM keys").fetchall()
    assert keys.rewrap() == 2
    again = local(tmp_path)
    assert all(again.open(chain, name) == plain for chain, name, plain in made)
    assert len((tmp_path / "data.key").read_text().splitlines()) == 2
    for name, wrapper, wrapped in before:
        with keys._database.writing() as connection:
            connection.execute(
                "UPDATE keys SET wrapper = ?, wrapped = ? WHERE id = ?", (wrapper, wrapped, name)
            )
        with pytest.raises(Forbidden, match="not in the file"):
            again.open("a/0" if name == made[0][1] else "b/0", name)


def test_a_rotation_that_ends_meanwhile_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has read a data key wrapped by the old wrapping key, which is gone by then, opens it."""
    keys = local(tmp_path)
    name, plain = keys.make("a/0")
    read, rotated = WrappingKeys.read, list[int]()

    def late(self: WrappingKeys) -> dict[str, bytes]:
        if not rotated:
            rotated.append(1)
            rotated.append(local(tmp_path).rewrap())
        return read(self)

    monkeypatch.setattr(WrappingKeys, "read", late)
    assert keys.open("a/0", name) == plain
    assert rotated == [1, 1]


def test_a_rotation_that_was_cut_off_loses_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, all keys can be opened, also those made then, and the next one completes it."""
    keys = local(tmp_path)
    made = [keys.make("a/0")]
    for method in ("add", "keep"):
        real = getattr(WrappingKeys, method)
        for after in (False, True):

            def broken(self: WrappingKeys, *given: str, real: Any = real, after: bool = after) -> Any:
                if after:
                    real(self, *given)
                raise Unavailable("cut off")

            with monkeypatch.context() as patch:
                patch.setattr(WrappingKeys, method, broken)
                with pytest.raises(Unavailable):
                    keys.rewrap()
                made.append(keys.make("a/0"))
            assert all(local(tmp_path).open("a/0", name) == plain for name, plain in made)
    keys.rewrap()
    assert len((tmp_path / "data.key").read_text().splitlines()) == 2
    assert all(keys.open("a/0", name) == plain for name, plain in made)


def test_a_rotation_that_was_killed_leaves_no_old_key_behind(tmp_path: Path) -> None:
    """The next one removes what was half written, with the old wrapping key in it."""
    local(tmp_path).make("a/0")
    old = (tmp_path / "data.key").read_bytes().split()[-1]
    died = """
import os, pathlib, sys
from sentinel.adapters.wrapping_keys import WrappingKeys
pathlib.Path.replace = lambda *_: os._exit(9)
WrappingKeys(pathlib.Path(sys.argv[1]), os.urandom).add()
"""
    ended = subprocess.run([sys.executable, "-c", died, tmp_path / "data.key"], check=False)
    assert ended.returncode == 9
    holding = [path.name[:10] for path in tmp_path.iterdir() if old in path.read_bytes()]
    assert sorted(holding) == [".data.key.", "data.key"]
    local(tmp_path).rewrap()
    assert not any(old in path.read_bytes() for path in tmp_path.iterdir())


def test_kms_authenticates_what_a_key_is_for() -> None:
    """A wrapped key is opened with its own chain and id alone: the encryption context says both."""
    with cloud() as (keys, _, client):
        name, _ = keys.make("a/0")
        item = client.get_item(TableName="keys", Key={"chain": {"S": "a/0"}, "id": {"S": name}})["Item"]
        client.put_item(TableName="keys", Item={**item, "chain": {"S": "b/0"}})
        with pytest.raises(Forbidden, match="KMS"):
            keys.open("b/0", name)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("KMSInternalException", Unavailable),
        ("DependencyTimeoutException", Unavailable),
        ("KeyUnavailableException", Unavailable),
        ("ThrottlingException", Unavailable),
        ("AccessDeniedException", Forbidden),
        ("DisabledException", Forbidden),
        ("KMSInvalidStateException", Forbidden),
    ],
)
def test_kms_s_errors_are_ours(code: str, error: type[Exception]) -> None:
    """What passes by itself is Unavailable, the rest Forbidden; nothing is stored then."""
    with cloud() as (keys, kms, client):
        name, _ = keys.make("a/0")
        calls: list[tuple[str, Callable[[], object]]] = [
            ("generate_data_key", lambda: keys.make("a/0")),
            ("decrypt", lambda: keys.open("a/0", name)),
        ]
        for operation, call in calls:
            with Stubber(kms) as stub:
                stub.add_client_error(operation, code, "arn:aws:kms:eu-central-1:1:key/secret")
                with pytest.raises(error, match=code) as raised:
                    call()
                assert "secret" not in str(raised.value)
        assert client.scan(TableName="keys")["Count"] == 1


def test_a_table_that_is_away_or_closed_is_told() -> None:
    """A time-out is Unavailable, a missing right Forbidden, for each thing that is asked of the table."""
    with cloud() as (keys, _, client):
        name, _ = keys.make("a/0")
        for method in (
            keys.make,
            keys.ids,
            lambda chain: keys.open(chain, name),
            lambda c: keys.destroy(c, name),
        ):
            failing: dict[str, Exception] = {}

            def fail(failing: dict[str, Exception] = failing, **_: object) -> None:
                raise failing["with"]

            client.meta.events.register("before-call.dynamodb", fail, unique_id="fail")
            failing["with"] = ConnectTimeoutError(endpoint_url="https://dynamodb")
            with pytest.raises(Unavailable):
                method("a/0")
            answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            failing["with"] = ClientError(answer, "Any")
            with pytest.raises(Forbidden):
                method("a/0")
            client.meta.events.unregister("before-call.dynamodb", unique_id="fail")
