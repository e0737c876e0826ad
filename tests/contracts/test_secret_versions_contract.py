"""The contract of `ports_doors.SecretVersions`, on files and on Secrets Manager."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.models import secretsmanager_backends

from sentinel.adapters.secret_versions_aws import AwsSecretVersions
from sentinel.adapters.secret_versions_file import MAX_BYTES, FileSecretVersions
from sentinel.core.secret_names import MAX_NAME
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, TooLarge, Unavailable
from sentinel.ports_doors import SecretVersions
from tests.contracts.lost_requests import BrokenWire, Fault
from tests.contracts.secret_stores import secrets_manager
from tests.contracts.tables import REGION

ONE, TWO, THREE = "1" * 32, "2" * 36, "3" * 64


@pytest.fixture(params=["file", "aws"])
def secrets(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecretVersions]:
    """Give a store."""
    if request.param == "file":
        yield FileSecretVersions(tmp_path / "doors")
        return
    with secrets_manager() as client:
        yield AwsSecretVersions(client, "acme/doors/")


def at(secrets: SecretVersions, name: str) -> dict[str, str]:
    """Return the value of each stage that has one."""
    stages = set().union(*secrets.stages(name).values())
    return {stage: secrets.value(name, stage) for stage in stages}


def test_what_is_not_there(secrets: SecretVersions) -> None:
    """There is nothing to read, add to or promote where there is no secret."""
    for ask in (
        lambda: secrets.value("services.a"),
        lambda: secrets.value("services.a", "AWSPENDING", ONE),
        lambda: secrets.stages("services.a"),
        lambda: secrets.put("services.a", ONE, "x"),
        lambda: secrets.promote("services.a", ONE),
    ):
        with pytest.raises(Missing):
            ask()


def test_a_new_secret_is_current(secrets: SecretVersions) -> None:
    """What a secret is made with is in force, byte for byte; making it again is a conflict."""
    for number, value in enumerate(("plain", '{"keys": ["決済"]}\n', " \t", "x" * MAX_BYTES)):
        name = f"hooks.a{number}"
        secrets.create(name, value)
        assert at(secrets, name) == {"AWSCURRENT": value}
        for again in (value, "other"):
            with pytest.raises(Conflict):
                secrets.create(name, again)
        assert at(secrets, name) == {"AWSCURRENT": value}


def test_the_life_of_versions(secrets: SecretVersions) -> None:
    """A version is pending, then current, then previous, then gone; others move with it."""
    secrets.create("signing-keys", "first")
    secrets.put("signing-keys", ONE, "second")
    assert at(secrets, "signing-keys") == {"AWSCURRENT": "first", "AWSPENDING": "second"}
    assert secrets.stages("signing-keys")[ONE] == {"AWSPENDING"}
    assert secrets.value("signing-keys", "AWSPENDING", ONE) == "second"
    secrets.promote("signing-keys", ONE)
    assert at(secrets, "signing-keys") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}
    assert secrets.value("signing-keys", "AWSCURRENT", ONE) == "second"
    secrets.put("signing-keys", TWO, "third")
    secrets.promote("signing-keys", TWO)
    assert at(secrets, "signing-keys") == {"AWSCURRENT": "third", "AWSPREVIOUS": "second"}


def test_a_version_is_of_its_stage(secrets: SecretVersions) -> None:
    """A version that is not at the stage that is asked for is not there."""
    secrets.create("a", "first")
    secrets.put("a", ONE, "second")
    for stage, token in (("AWSCURRENT", ONE), ("AWSPENDING", TWO), ("AWSPREVIOUS", "")):
        with pytest.raises(Missing):
            secrets.value("a", stage, token)
    with pytest.raises(Missing):
        secrets.promote("a", TWO)
    assert at(secrets, "a") == {"AWSCURRENT": "first", "AWSPENDING": "second"}


def test_writes_may_be_repeated(secrets: SecretVersions) -> None:
    """Adding or promoting the same again changes nothing, whatever came of it meanwhile."""
    secrets.create("a", "first")
    for _ in range(2):
        secrets.put("a", ONE, "second")
    for _ in range(2):
        secrets.promote("a", ONE)
    secrets.put("a", ONE, "second")
    assert at(secrets, "a") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}
    with pytest.raises(Conflict):
        secrets.put("a", ONE, "another")
    assert at(secrets, "a") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}


def test_a_newer_pending_version_takes_the_place_of_a_stuck_one(secrets: SecretVersions) -> None:
    """A rotation that died leaves a pending version, which the next one replaces."""
    secrets.create("a", "first")
    secrets.put("a", ONE, "stuck")
    secrets.put("a", TWO, "second")
    assert at(secrets, "a") == {"AWSCURRENT": "first", "AWSPENDING": "second"}
    secrets.promote("a", TWO)
    assert at(secrets, "a") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}


def test_names_are_apart(secrets: SecretVersions) -> None:
    """Names that begin alike, end in six characters or differ by one letter are different secrets."""
    names = ["services.a", "services.a-abcdef", "services.=5rG65riI", "services.b", "x" * MAX_NAME]
    for name in names:
        secrets.create(name, f"value of {name}")
    assert [secrets.value(name) for name in names] == [f"value of {name}" for name in names]


@pytest.mark.parametrize("fault", ["unsent", "lost"])
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_promotion_is_repeated_until_it_is_whole(fault: Fault, skip: int) -> None:
    """Whichever request of a promotion fails, promoting again ends where one would have."""
    with secrets_manager() as client:
        secrets, wire = AwsSecretVersions(client), BrokenWire(client)
        wire.fault, wire.left = fault, 1
        with pytest.raises(Unavailable):
            secrets.create("a", "first")
        if fault == "unsent":
            secrets.create("a", "first")
        wire.left = 1
        with pytest.raises(Unavailable):
            secrets.put("a", ONE, "second")
        secrets.put("a", ONE, "second")
        wire.skip, wire.left = skip, 1
        with pytest.raises(Unavailable):
            secrets.promote("a", ONE)
        secrets.promote("a", ONE)
        assert at(secrets, "a") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}


def test_a_write_that_the_client_sends_again_counts_once() -> None:
    """Where the SDK repeats a request whose reply was lost, its own first try is no conflict."""
    with secrets_manager(attempts=3) as client:
        secrets, wire = AwsSecretVersions(client), BrokenWire(client)
        writes: list[Callable[[], None]] = [
            lambda: secrets.create("a", "first"),
            lambda: secrets.put("a", ONE, "second"),
        ]
        for write in writes:
            wire.fault, wire.left = "lost", 1
            write()
        assert at(secrets, "a") == {"AWSCURRENT": "first", "AWSPENDING": "second"}


def test_a_version_that_secrets_manager_announced() -> None:
    """`RotateSecret` makes a version without a value: it is no value yet, and can be given one."""
    with secrets_manager() as client:
        secrets = AwsSecretVersions(client)
        secrets.create("a", "first")
        kept = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION].secrets["a"]
        kept.versions[ONE] = {"version_id": ONE, "version_stages": ["AWSPENDING"], "createdate": 1}
        assert secrets.stages("a")[ONE] == {"AWSPENDING"}
        with pytest.raises(Missing):
            secrets.value("a", "AWSPENDING", ONE)
        secrets.put("a", ONE, "second")
        assert at(secrets, "a") == {"AWSCURRENT": "first", "AWSPENDING": "second"}


def test_errors_tell_no_values(secrets: SecretVersions) -> None:
    """What a store raises names the secret and nothing that was in it."""
    secrets.create("a", "hush-hush")
    secrets.put("a", ONE, "hush-hush-2")
    secrets.promote("a", ONE)
    wrongs: list[Callable[[], None]] = [
        lambda: secrets.create("a", "hush-hush-3"),
        lambda: secrets.put("a", ONE, "hush-hush-4"),
        lambda: secrets.promote("a", TWO),
    ]
    for wrong in wrongs:
        with pytest.raises((Conflict, Missing)) as told:
            wrong()
        assert "hush" not in f"{told.value!r} {told.value.__context__!r}"


# What only files have to promise.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with one secret that has a pending version."""
    secrets = FileSecretVersions(tmp_path / "doors")
    secrets.create("a", "first")
    secrets.put("a", ONE, "second")
    return tmp_path / "doors"


def test_files_are_their_owners(folder: Path) -> None:
    """Folder and files can be read by their owner alone, whatever the umask."""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_file_that_others_can_read_is_refused(folder: Path) -> None:
    """A secret that was laid open is not used, and the message says what to run."""
    (folder / "a.json").chmod(0o640)
    with pytest.raises(Forbidden, match="chmod 600"):
        FileSecretVersions(folder).value("a")


def test_a_link_is_no_secret(folder: Path) -> None:
    """A symbolic link in the place of a secret is not followed, to read or to write."""
    (folder / "a.json").rename(folder / "b")
    (folder / "a.json").symlink_to(folder / "b")
    with pytest.raises(Unavailable):
        FileSecretVersions(folder).value("a")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "a", "values": 1, "stages": {}}'])
def test_a_damaged_file_is_told_of(folder: Path, text: str) -> None:
    """A file that is no secret raises what names the file, and quotes nothing."""
    (folder / "a.json").write_text(text)
    with pytest.raises(Unavailable, match=r"a\.json"):
        FileSecretVersions(folder).value("a")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", ".lock", "-x", "a\n", "é", "x" * (MAX_NAME + 1)]
)
def test_names_stay_in_the_folder(folder: Path, name: str) -> None:
    """A name is a file's name and never a path."""
    for ask in (
        lambda: FileSecretVersions(folder).value(name),
        lambda: FileSecretVersions(folder).create(name, "x"),
    ):
        with pytest.raises(Malformed):
            ask()


def test_limits_of_values(folder: Path) -> None:
    """An empty value, one over Secrets Manager's limit, and a token of another length are refused."""
    secrets = FileSecretVersions(folder)
    for value in ("", "x" * (MAX_BYTES + 1)):
        with pytest.raises(TooLarge):
            secrets.create("b", value)
        with pytest.raises(TooLarge):
            secrets.put("a", TWO, value)
    for token in ("", "2" * 31, "2" * 65):
        with pytest.raises(Malformed):
            secrets.put("a", token, "x")
    with pytest.raises(Conflict):
        secrets.put("a", ONE, "another")


def test_a_write_that_died_leaves_the_secret_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the rename changes nothing, and what it left is no hindrance."""
    secrets = FileSecretVersions(folder)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            secrets.promote("a", ONE)
    assert (folder / "a.json.new").exists()
    assert at(secrets, "a") == {"AWSCURRENT": "first", "AWSPENDING": "second"}
    secrets.promote("a", ONE)
    assert at(secrets, "a") == {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}


def _create(folder: Path, number: int) -> int:
    try:
        FileSecretVersions(folder).create("shared", f"value {number}")
    except Conflict:
        return 0
    for turn in range(20):
        FileSecretVersions(folder).put(f"own{number % 2}", f"{number:016d}{turn:016d}", f"{number} {turn}")
    return 1


def test_processes_share_a_folder(folder: Path) -> None:
    """Of processes that make one secret one succeeds, and writes to others go on undisturbed."""
    for number in range(2):
        FileSecretVersions(folder).create(f"own{number}", "first")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(_create, [(folder, number) for number in range(4)])
    assert sum(made) == 1
    assert FileSecretVersions(folder).value("shared") == f"value {made.index(1)}"
    assert FileSecretVersions(folder).value(f"own{made.index(1) % 2}", "AWSPENDING").endswith(" 19")
