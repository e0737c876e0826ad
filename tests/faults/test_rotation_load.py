"""Rotation under load: threads use what they have while every kind rotates again and again; none is refused.

A door reads the registry through the directory, as in production with `door_seconds` 10; secrets are used for
up to 30 s before they are read again. Time goes on once every thread has done something, so that none that a
busy machine holds up misses what the others live through.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core import api_keys, jws, tokens
from sentinel.core.access import Service
from sentinel.core.ring import Ring
from sentinel.errors import Unauthenticated
from sentinel.usecases.directory import Directory
from sentinel.usecases.kept import Kept
from sentinel.usecases.rotate import Rotation
from sentinel.usecases.services import Services

SECONDS = 3_000  # of the world
STEP = 10  # seconds that pass at once
BEGIN = 1_800_000_000.0
KEPT = 30.0  # seconds that a user goes on with a secret that it has read
TOLD = 600.0  # seconds between two times that a webhook's source is told its secret
FRESH = 60.0  # seconds between two tokens that a service gets


class Load:
    """The stores, a world's clock, and what was refused."""

    def __init__(self, folder: Path) -> None:
        self._now = BEGIN
        self._lock = threading.Lock()
        self.registry = SqliteRegistry(folder / "registry.db")
        self.secrets = FileSecretVersions(folder / "doors")
        self.services = Services(self.registry, self.secrets, NoPlans(), "services.", "hooks.", self.clock)
        self.rotation = Rotation(
            self.registry, self.secrets, "signing-keys", "services.", "hooks.", self.clock
        )
        self.refused: list[str] = []
        self.errors: list[Exception] = []
        self.checked = 0
        self.rotated = 0

    def clock(self) -> float:
        return self._now

    def kept(self, name: str, seconds: float = KEPT) -> Kept[str]:
        return Kept(lambda: self.secrets.value(name), seconds, self.clock)

    def run(self, threads: list[Callable[[], None]]) -> None:
        waited_for = set(range(len(threads)))

        def loop(number: int, act: Callable[[], None]) -> None:
            try:
                while self._now < BEGIN + SECONDS and not self.errors:
                    act()
                    with self._lock:
                        waited_for.discard(number)
                        if not waited_for:
                            waited_for.update(range(len(threads)))
                            self._now += STEP
                    time.sleep(0.002)
            except Exception as error:  # noqa: BLE001 # told of at the end
                self.errors.append(error)

        running = [threading.Thread(target=loop, args=each) for each in enumerate(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def check(self, what: str, accepted: bool) -> None:
        self.checked += 1
        if not accepted:
            self.refused.append(what)


class NoPlans:
    """No usage plans."""

    def enrol(self, value: str, service: str, tier: str) -> None: ...

    def withdraw(self, value: str) -> None: ...


def _api_key(load: Load) -> Callable[[], None]:
    directory, mine = Directory(load.registry, 10, load.clock), load.kept("services.checkout")

    def use() -> None:
        key_id, secret = api_keys.parse(mine.get())
        found = directory.key(key_id)
        load.check("key", found is not None and api_keys.matches(found, secret, int(load.clock())))

    return use


def _hook(load: Load) -> Callable[[], None]:
    # The source is told of a new secret now and then; the door reads its ring every so often, and at once
    # where a signature does not fit.
    source, door = load.kept("hooks.alerts", TOLD), load.kept("hooks.alerts")

    def known() -> list[str]:
        return [key.value for key in Ring.decode(door.get()).accepted(int(load.clock()))]

    def use() -> None:
        sent = Ring.decode(source.get()).current(int(load.clock())).value
        if sent not in known():
            door.expire()
        load.check("hook", sent in known())

    return use


def _token(load: Load) -> Callable[[], None]:
    directory, issuer = Directory(load.registry, 10, load.clock), load.kept("signing-keys")
    held: list[tuple[float, str]] = []  # tokens are used for as long as they live

    def use() -> None:
        now = load.clock()
        if not held or now - held[-1][0] > FRESH:
            key = Ring.decode(issuer.get()).current(int(now))
            held.append((now, tokens.sign({"iat": int(now)}, tokens.signing_key(key))))
        held[:] = [each for each in held if now - each[0] < tokens.LIFETIME]
        for _, token in held:
            load.check("token", _verified(directory, token, int(load.clock())))

    return use


def _verified(directory: Directory, token: str, now: int) -> bool:
    found = jws.parse(token)
    key = directory.signing_keys().get(found.header.kid)
    if key is None:
        directory.refresh_jwks()
        key = directory.signing_keys().get(found.header.kid)
    if key is None:
        return False
    try:
        jws.check(found, key, now)
    except Unauthenticated:
        return False
    return True


def _rotating(load: Load, names: tuple[str, ...], pause: float, at_once: bool = False) -> Callable[[], None]:
    following = BEGIN

    def rotate() -> None:
        nonlocal following
        if load.clock() < following:
            return
        following = load.clock() + pause
        for name in names:
            load.rotation.now(name, at_once=at_once)
            load.rotated += 1

    return rotate


def test_rotation_of_every_kind_refuses_nobody(tmp_path: Path) -> None:
    """While API keys, webhook secrets and signing keys rotate, whatever was in force is taken."""
    load = Load(tmp_path)
    load.services.add(Service("checkout"))
    load.services.add_hook("alerts", "checkout", "standard")
    load.rotation.ensure_signing_keys()
    users = [_api_key(load), _api_key(load), _hook(load), _token(load), _token(load)]
    rotations = [
        _rotating(load, ("services.checkout",), 300),
        _rotating(load, ("hooks.alerts",), 300),
        _rotating(load, ("signing-keys",), 700),
    ]
    load.run([*users, *rotations])
    assert load.errors == []
    assert load.refused == []
    assert load.rotated >= 8
    assert load.checked >= 300
    assert len(load.services.keys("checkout")) >= 3
    load.registry.close()


def test_the_load_would_notice(tmp_path: Path) -> None:
    """Secrets that are rotated without an overlap are refused to the same threads."""
    load = Load(tmp_path)
    load.services.add(Service("checkout"))
    load.services.add_hook("alerts", "checkout", "standard")
    load.rotation.ensure_signing_keys()
    users = [_api_key(load), _hook(load), _token(load)]
    load.run(
        [*users, _rotating(load, ("services.checkout", "hooks.alerts", "signing-keys"), 50, at_once=True)]
    )
    assert load.errors == []
    assert set(load.refused) == {"key", "hook", "token"}
    load.registry.close()
