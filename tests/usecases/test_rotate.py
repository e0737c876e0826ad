"""Rotation in four steps: what counts before, during and after, and whatever fails in between."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.secret_versions_aws import AwsSecretVersions
from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core import api_keys, jws, tokens
from sentinel.core.access import ApiKey, Service
from sentinel.core.ring import Ring
from sentinel.errors import Conflict, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.ports_doors import Record, SecretVersions
from sentinel.usecases import records
from sentinel.usecases.directory import Directory
from sentinel.usecases.rotate import KEY_DAYS, SIGNING_DAYS, Rotation
from sentinel.usecases.rotated_kinds import (
    HOOK_OVERLAP,
    HOOK_PATIENCE,
    JWKS,
    KEY_OVERLAP,
    SIGNING_LEAD,
    SIGNING_OVERLAP,
    SIGNING_PATIENCE,
)
from sentinel.usecases.services import Services
from tests.contracts.secret_stores import secrets_manager
from tests.faults_calls import Faults, Killed

START = 1_800_000_000
DAY = 86_400
SIGNING, KEY, HOOK = "signing-keys", "services.checkout", "hooks.alerts"
NAMES = (SIGNING, KEY, HOOK)
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN, OTHER = "a" * 32, "b" * 32


class NoPlans:
    """No usage plans."""

    def enrol(self, value: str, service: str, tier: str) -> None: ...

    def withdraw(self, value: str) -> None: ...


class Vault:
    """A registry and secrets with one service, one webhook and a signing key, and who uses them."""

    def __init__(self, secrets: SecretVersions, faults: Faults | None = None) -> None:
        self.now = float(START)
        self.registry = SqliteRegistry(":memory:")
        self.secrets = secrets
        self.services = Services(self.registry, secrets, NoPlans(), "services.", "hooks.", lambda: self.now)
        self.services.add(Service("checkout"))
        self.services.add_hook("alerts", "checkout", "generic")
        self.rotation = self.made(Faults())
        self.rotation.ensure_signing_keys()
        self.rotation = self.made(faults or Faults())

    def made(self, faults: Faults) -> Rotation:
        return Rotation(
            faults.wrap("registry", self.registry),
            faults.wrap("secrets", self.secrets),
            SIGNING,
            "services.",
            "hooks.",
            lambda: self.now,
        )

    def used(self, name: str) -> str:
        """Return what a user of the secret presents now: the API key, a webhook's secret, a signed token."""
        value = self.secrets.value(name)
        if name == KEY:
            return value
        key = Ring.decode(value).current(int(self.now))
        if name == HOOK:
            return key.value
        return tokens.sign({"iat": int(self.now)}, tokens.signing_key(key))

    def accepts(self, name: str, presented: str) -> bool:
        """Say whether a door would take what was presented."""
        now = int(self.now)
        if name == KEY:
            key_id, secret = api_keys.parse(presented)
            found, _ = records.load(self.registry, ApiKey, key_id)
            return found is not None and api_keys.matches(found, secret, now)
        if name == HOOK:
            ring = Ring.decode(self.secrets.value(HOOK))
            return presented in [key.value for key in ring.accepted(now)]
        record = self.registry.get(*JWKS)
        assert record is not None
        with contextlib.suppress(Unauthenticated):
            return bool(jws.verify(presented, jws.public_keys(orjson.loads(record.body)), now))
        return False

    def counted(self, name: str) -> int:
        """Return how many keys of this kind count now."""
        now = int(self.now)
        if name == KEY:
            keys = self.services.keys("checkout")
            return sum(key.since <= now and (not key.until or now < key.until) for key in keys)
        return len(Ring.decode(self.secrets.value(name)).accepted(now))

    def take(self, step: str, name: str, token: str = TOKEN) -> None:
        """Take one step as Secrets Manager does, which announces the version itself."""
        if step == "createSecret":
            self.announce(name, token)
        self.rotation.step(step, name, token)

    def announce(self, name: str, token: str) -> None:
        """Give a version its stage before it has a value."""
        client = getattr(self.secrets, "_client", None)
        if client is None or token in self.secrets.stages(name):
            return
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.secretsmanager.models import secretsmanager_backends

        kept: Any = secretsmanager_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].secrets[name]
        kept.remove_version_stages_from_old_versions(["AWSPENDING"])
        kept.versions[token] = {"version_id": token, "version_stages": ["AWSPENDING"], "createdate": 1}


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Give a vault on files."""
    made = Vault(FileSecretVersions(tmp_path / "doors"))
    yield made
    made.registry.close()


@pytest.fixture
def cloud() -> Iterator[Vault]:
    """Give a vault on Secrets Manager."""
    with secrets_manager() as client:
        made = Vault(AwsSecretVersions(client))
        yield made
        made.registry.close()


OVERLAPS = {KEY: KEY_OVERLAP, HOOK: HOOK_OVERLAP, SIGNING: SIGNING_LEAD + SIGNING_OVERLAP}


@pytest.mark.parametrize("name", NAMES)
def test_old_and_new_count_for_the_overlap(vault: Vault, name: str) -> None:
    """After a rotation two count; the old one to the end of its overlap, the new one without an end."""
    old = vault.used(name)
    vault.rotation.now(name)
    vault.now += SIGNING_LEAD
    new = vault.used(name)
    assert new != old
    assert vault.accepts(name, old)
    assert vault.accepts(name, new)
    assert vault.counted(name) == 2
    vault.now = START + OVERLAPS[name] - 1
    assert vault.accepts(name, old)
    vault.now += 1
    assert not vault.accepts(name, old)
    assert vault.accepts(name, new)
    assert vault.counted(name) == 1
    vault.now += 1000 * DAY
    assert vault.accepts(name, vault.used(name))


@pytest.mark.parametrize("name", NAMES)
def test_at_once_leaves_no_overlap(vault: Vault, name: str) -> None:
    """What somebody else knows counts no more as soon as there is a new one."""
    old = vault.used(name)
    vault.rotation.now(name, at_once=True)
    assert not vault.accepts(name, old)
    assert vault.accepts(name, vault.used(name))
    assert vault.counted(name) == 1


def test_a_signing_key_is_published_before_it_signs(vault: Vault) -> None:
    """The new public key can be seen for the whole lead before anything is signed with it."""
    first = Ring.decode(vault.secrets.value(SIGNING)).current(START).id
    vault.rotation.now(SIGNING)
    ring = Ring.decode(vault.secrets.value(SIGNING))
    fresh = ring.keys[-1].id
    record = vault.registry.get(*JWKS)
    assert record is not None
    published = {key["kid"]: key for key in orjson.loads(record.body)["keys"]}
    assert set(published) == {first, fresh}
    assert published[first]["exp"] == START + SIGNING_LEAD + SIGNING_OVERLAP
    assert "exp" not in published[fresh]
    assert not any("d" in key for key in published.values())
    assert ring.current(START + SIGNING_LEAD - 1).id == first
    assert ring.current(START + SIGNING_LEAD).id == fresh
    vault.now += SIGNING_LEAD + SIGNING_OVERLAP
    vault.rotation.upkeep()
    record = vault.registry.get(*JWKS)
    assert record is not None
    assert [key["kid"] for key in orjson.loads(record.body)["keys"]] == [fresh]


def test_published_keys_are_read_by_the_doors(vault: Vault) -> None:
    """What rotation publishes is what the directory reads and verifies tokens with."""
    vault.rotation.now(SIGNING)
    keys = Directory(vault.registry, 0, lambda: vault.now).signing_keys()
    for key in Ring.decode(vault.secrets.value(SIGNING)).keys:
        token = tokens.sign({"iat": START}, tokens.signing_key(key))
        assert jws.verify(token, keys, START) == b'{"iat":%d}' % START


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_of_secrets_manager(cloud: Vault, name: str) -> None:
    """Nothing counts less in any of the four steps, each of which may come twice; the label moves last."""
    old = cloud.used(name)
    current = cloud.secrets.value(name)
    for step in STEPS:
        assert cloud.secrets.value(name) == current
        for _ in range(2):
            cloud.take(step, name)
            assert cloud.accepts(name, old)
            assert cloud.accepts(name, cloud.used(name))
    assert cloud.secrets.stages(name)[TOKEN] == {"AWSCURRENT"}
    assert cloud.secrets.value(name, "AWSPREVIOUS") == current
    cloud.now += SIGNING_LEAD
    new = cloud.used(name)
    assert new != old
    for step in STEPS:
        cloud.take(step, name)
    assert cloud.used(name) == new or name == SIGNING
    assert cloud.counted(name) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_step_for_what_is_not_pending(cloud: Vault, name: str) -> None:
    """A version that is not there, or pending no more, is refused and changes nothing."""
    before = cloud.secrets.stages(name)
    for step in STEPS:
        with pytest.raises(Conflict):
            cloud.rotation.step(step, name, TOKEN)
    assert cloud.secrets.stages(name) == before
    cloud.take("createSecret", name)
    cloud.take("createSecret", name, OTHER)
    for step in STEPS[1:]:
        with pytest.raises(Conflict):
            cloud.rotation.step(step, name, TOKEN)
    for step in STEPS:
        cloud.take(step, name, OTHER)
    assert cloud.secrets.stages(name)[OTHER] == {"AWSCURRENT"}
    for step in STEPS[1:]:
        with pytest.raises(Conflict):
            cloud.rotation.step(step, name, TOKEN)


def test_what_does_not_rotate(vault: Vault) -> None:
    """A name or step that is none, and secrets of services and webhooks that are not there, are refused."""
    for name in ("ca-passphrase", "services.nope", "hooks.nope", "services.=x", ""):
        with pytest.raises(Missing):
            vault.rotation.now(name)
    with pytest.raises(Malformed):
        vault.rotation.step("dropSecret", KEY, TOKEN)
    for name in ("services.ghost", "hooks.ghost"):
        vault.secrets.create(name, vault.secrets.value(KEY if name.startswith("s") else HOOK))
        with pytest.raises(Missing):
            vault.rotation.now(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taken", range(1, 4))
def test_a_rotation_that_died_is_taken_up(vault: Vault, name: str, taken: int) -> None:
    """A rotation goes on where a dead one stopped, with the value that it had made."""
    vault.secrets.put(name, TOKEN, vault.rotation._kind(name).fresh(name, START, False))
    for step in STEPS[1:taken]:
        vault.take(step, name)
    pending = vault.secrets.value(name, "AWSPENDING")
    vault.now += 60
    vault.rotation.now(name)
    assert vault.secrets.value(name) == pending
    assert vault.counted(name) == 2


@pytest.mark.parametrize(
    ("name", "patience"), [(SIGNING, SIGNING_LEAD + SIGNING_PATIENCE), (HOOK, HOOK_PATIENCE)]
)
def test_a_ring_that_waited_too_long_is_replaced(vault: Vault, name: str, patience: int) -> None:
    """Where the overlap of a dead rotation has run on too far, it is not finished but replaced."""
    old = vault.used(name)
    vault.secrets.put(name, TOKEN, vault.rotation._kind(name).fresh(name, START, False))
    stuck = vault.secrets.value(name, "AWSPENDING")
    vault.take("setSecret", name)
    vault.now += patience + 1
    for step in ("createSecret", "finishSecret"):
        with pytest.raises(Conflict, match="too long"):
            vault.take(step, name)
    vault.rotation.now(name)
    assert vault.secrets.value(name) != stuck
    assert vault.secrets.value(name, "AWSPREVIOUS") != stuck
    assert vault.accepts(name, old)
    assert vault.accepts(name, vault.used(name))


@pytest.mark.parametrize("value", ["hush-hush", '{"keys": []}'])
@pytest.mark.parametrize("name", [SIGNING, HOOK])
def test_a_pending_value_that_is_none_is_replaced(vault: Vault, name: str, value: str) -> None:
    """What somebody else staged is not brought into force."""
    vault.secrets.put(name, TOKEN, value)
    vault.rotation.now(name)
    assert vault.counted(name) == 2


def test_the_first_signing_keys(tmp_path: Path) -> None:
    """They are made once, published before they are there to sign, and found by whoever comes later."""
    registry = SqliteRegistry(":memory:")
    secrets = FileSecretVersions(tmp_path / "doors")
    rotation = Rotation(registry, secrets, SIGNING, "services.", "hooks.", lambda: START)
    assert rotation.ensure_signing_keys()
    ring = secrets.value(SIGNING)
    record = registry.get(*JWKS)
    assert not rotation.ensure_signing_keys()
    assert (secrets.value(SIGNING), registry.get(*JWKS)) == (ring, record)
    registry.drop(*JWKS)
    assert not rotation.ensure_signing_keys()
    again = registry.get(*JWKS)
    assert record is not None
    assert again is not None
    assert again.body == record.body
    registry.close()


@pytest.mark.parametrize("placeholder", ['{"keys": []}', "made by a template"])
def test_a_secret_that_the_deployment_made(tmp_path: Path, placeholder: str) -> None:
    """Where a template made the secret without a key, the first key signs at once."""
    registry = SqliteRegistry(":memory:")
    for number, begin in enumerate(("ensure_signing_keys", "now")):
        secrets = FileSecretVersions(tmp_path / str(number))
        secrets.create(SIGNING, placeholder)
        rotation = Rotation(registry, secrets, SIGNING, "services.", "hooks.", lambda: START)
        rotation.ensure_signing_keys() if begin != "now" else rotation.now(SIGNING)
        assert Ring.decode(secrets.value(SIGNING)).current(START).since == START
    registry.close()


def test_upkeep_rotates_what_is_old(vault: Vault) -> None:
    """Signing keys and API keys rotate by themselves, in time; webhooks and disabled services do not."""
    vault.services.add(Service("off"))
    vault.services.disable("off")
    assert vault.rotation.upkeep() == []
    vault.now += SIGNING_DAYS * DAY
    assert vault.rotation.upkeep() == [SIGNING]
    assert vault.rotation.upkeep() == []
    old = vault.used(KEY)
    vault.now = START + (KEY_DAYS + 1) * DAY
    assert vault.rotation.upkeep() == [SIGNING, KEY]
    assert vault.accepts(KEY, old)
    assert vault.accepts(KEY, vault.used(KEY))
    assert vault.counted(HOOK) == 1


def test_upkeep_goes_on_after_a_failure(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    """One secret that cannot be rotated is logged, and the others are."""
    vault.services.add(Service("a"))
    vault.now += KEY_DAYS * DAY
    (vault.secrets._folder / "services.a.json").write_text("hush-hush")  # type: ignore[attr-defined]
    assert vault.rotation.upkeep() == [SIGNING, KEY]
    assert "services.a was not rotated" in caplog.text
    assert "hush" not in caplog.text


def test_upkeep_ends_what_a_rotation_left(vault: Vault) -> None:
    """Where a rotation died after its label moved, the old key still gets its end, and the new one none."""
    old = vault.used(KEY)
    vault.secrets.put(KEY, TOKEN, vault.rotation._kind(KEY).fresh(KEY, START, False))
    vault.rotation.set(KEY, TOKEN)
    vault.secrets.promote(KEY, TOKEN)
    assert [key.until for key in vault.services.keys("checkout")] == [0, 0]
    vault.rotation.upkeep()
    assert sorted(key.until for key in vault.services.keys("checkout")) == [0, START + KEY_OVERLAP]
    assert vault.accepts(KEY, old)


def test_repeated_rotations_leave_two(vault: Vault) -> None:
    """However often a key rotates, each old one ends when it was told to, and nothing piles up."""
    for _ in range(5):
        vault.rotation.now(KEY)
        vault.now += 3600
    assert vault.counted(KEY) == 6
    vault.now += KEY_OVERLAP
    assert vault.counted(KEY) == 1
    ended = [each.expires for each in vault.registry.listing("key") if each.expires]
    assert len(ended) == 5
    assert all(START + KEY_OVERLAP < each <= vault.now + DAY for each in ended)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["announce", "prove", "settle"])
def test_two_that_rotate_at_once(vault: Vault, name: str, method: str) -> None:
    """Whoever is overtaken in a rotation is refused or completes it, and what is in force counts."""
    kind = _Overtaken(
        vault.rotation._kind(name), method, lambda: vault.made(Faults()).now(name, at_once=True)
    )
    vault.rotation._kind = lambda name, /: kind  # type: ignore[assignment, method-assign]
    with contextlib.suppress(Conflict):
        vault.rotation.now(name)
    assert kind.meanwhile is None
    for _ in range(2):
        assert vault.accepts(name, vault.used(name))
        vault.now += SIGNING_LEAD
    vault.made(Faults()).upkeep()
    vault.now += 30 * DAY
    assert vault.accepts(name, vault.used(name))
    assert vault.counted(name) == 1


class _Overtaken:
    """A kind that lets something else happen just before one of its methods, once."""

    def __init__(self, kind: Any, method: str, meanwhile: Callable[[], None]) -> None:
        self._kind, self._method = kind, method
        self.meanwhile: Callable[[], None] | None = meanwhile

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        return getattr(self._kind, name)


def test_published_keys_of_others_are_not_lost(vault: Vault) -> None:
    """Where two publish at once, the one that is overtaken reads again."""
    overtaken = iter([True, True])
    real = vault.registry.put

    def put(record: Record) -> bool:
        if record.kind == "jwks" and next(overtaken, False):
            found = vault.registry.get(*JWKS)
            assert found is not None
            assert real(Record(*JWKS, found.body, found.version))
        return real(record)

    vault.registry.put = put  # type: ignore[method-assign]
    old = vault.used(SIGNING)
    vault.rotation.now(SIGNING)
    vault.now += SIGNING_LEAD
    assert vault.accepts(SIGNING, old)
    assert vault.accepts(SIGNING, vault.used(SIGNING))


def _rotate(folder: Path, name: str, faults: Faults) -> Vault:
    """Rotate with faults; then, as a caller does, until it succeeds."""
    vault = Vault(FileSecretVersions(folder))
    old = vault.used(name)
    with contextlib.suppress(Unavailable, Killed):
        vault.made(faults).now(name)
    faults.fails = lambda _: False
    vault.now += 5
    assert vault.accepts(name, old)
    assert vault.accepts(name, vault.used(name))
    if vault.secrets.value(name) == old or "AWSPREVIOUS" not in set().union(
        *vault.secrets.stages(name).values()
    ):
        vault.rotation.now(name)
    vault.rotation.upkeep()
    return vault


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("error", [Unavailable, Killed])
@pytest.mark.parametrize("name", NAMES)
def test_whichever_call_fails(tmp_path: Path, name: str, error: type[BaseException], applied: bool) -> None:
    """A failure at any call leaves old and current in force; the next run completes, and one old key ends."""
    numbers = itertools.count()
    faults = Faults()
    whole = _rotate(tmp_path / "whole", name, faults)
    total = faults.calls
    assert total >= 5
    for k in range(1, total + 1):
        vault = _rotate(tmp_path / str(next(numbers)), name, Faults(error, lambda n, k=k: n == k, applied))  # type: ignore[misc]
        vault.now += SIGNING_LEAD
        assert vault.accepts(name, vault.used(name))
        assert vault.counted(name) == 2
        vault.now += OVERLAPS[name] + 10
        assert vault.counted(name) == 1
        assert vault.accepts(name, vault.used(name))
        vault.registry.close()
    whole.registry.close()
