"""Rotation of secrets in the four steps of AWS Secrets Manager, each of which may be repeated or come late.

`create` stages a new value (AWSPENDING), `set` makes it count beside the one in force, `test` proves that it
does, `finish` brings it into force (AWSCURRENT, moved last) and gives the old one its end. Secrets Manager
calls them one by one; `now` does all four at once and takes up, or replaces, what a rotation that died left.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sentinel.core.access import ApiKey, Service
from sentinel.core.ring import Key, Ring
from sentinel.core.secret_names import secret_name
from sentinel.errors import Conflict, Malformed, Missing, SentinelError
from sentinel.usecases import records
from sentinel.usecases.rotated_kinds import (
    CURRENT,
    PENDING,
    ApiKeys,
    HookSecrets,
    Kind,
    SigningKeys,
    private_key,
)

if TYPE_CHECKING:
    from sentinel.ports_doors import Registry, SecretVersions

log = logging.getLogger("sentinel.rotate")

# Days after which `upkeep` rotates by itself; a webhook's secret has to be told to its source, so never.
KEY_DAYS: Final = 90
SIGNING_DAYS: Final = 45


@dataclass(frozen=True, slots=True)
class _Kept:
    """A secret that rotates by itself: when its newest value was made (epoch seconds), and how long it lasts.

    `untidy` says that a rotation may have left the end of an old value, or its publication, undone.
    """

    name: str
    made: int
    days: int
    untidy: bool


class Rotation:
    """Rotates by name. `clock` tells epoch seconds, `entropy(n)` returns n random bytes.

    Every method raises `Missing` for a name that is nobody's, `Unavailable` where a store does not answer;
    calling again is safe.
    """

    def __init__(
        self,
        registry: Registry,
        door_secrets: SecretVersions,
        signing_secret: str,
        key_prefix: str,
        hook_prefix: str,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._registry = registry
        self._secrets = door_secrets
        self._signing_secret = signing_secret
        self._key_prefix, self._hook_prefix = key_prefix, hook_prefix
        self._clock = clock
        self._entropy = entropy
        shared = (registry, door_secrets, entropy)
        self._keys = ApiKeys(*shared, key_prefix)
        self._hooks = HookSecrets(*shared, hook_prefix)
        self._signing = SigningKeys(*shared)
        self._steps: Mapping[str, Callable[[str, str], None]] = {
            "createSecret": self.create,
            "setSecret": self.set,
            "testSecret": self.test,
            "finishSecret": self.finish,
        }

    def step(self, step: str, name: str, token: str) -> None:
        """Take one of Secrets Manager's steps, by its name there. Raises `Malformed` for another."""
        take = self._steps.get(step)
        if take is None:
            raise Malformed(f"the steps of a rotation are {', '.join(self._steps)}")
        take(name, token)

    def create(self, name: str, token: str) -> None:
        """Stage a new value as the version `token`; nothing where it has one."""
        if self._in_force(name, token):
            return
        kind, now = self._kind(name), self._now()
        try:
            value = self._secrets.value(name, PENDING, token)
        except Missing:
            self._secrets.put(name, token, kind.fresh(name, now, False))
        else:
            _check_usable(kind, name, value, now)

    def set(self, name: str, token: str) -> None:
        """Make the pending value count beside the one in force."""
        value = self._pending(name, token)
        if value is not None:
            self._kind(name).announce(name, value, self._now())

    def test(self, name: str, token: str) -> None:
        """Prove that the pending value counts. Raises `Conflict` where it does not."""
        value = self._pending(name, token)
        if value is not None:
            self._kind(name).prove(name, value, self._now())

    def finish(self, name: str, token: str) -> None:
        """Bring the pending value into force, and give the old one its end."""
        self._finish(name, token, at_once=False)

    def now(self, name: str, *, at_once: bool = False) -> None:
        """Rotate: all four steps.

        What a rotation that died left is taken up where that is still good. `at_once` is for a secret that
        somebody else knows: what was in force ends now, without an overlap, and nothing is taken up.
        """
        kind = self._kind(name)
        token = "" if at_once else self._left(name, kind)
        if not token:
            token = str(UUID(bytes=self._entropy(16), version=4))
            self._secrets.put(name, token, kind.fresh(name, self._now(), at_once))
        self.set(name, token)
        self.test(name, token)
        self._finish(name, token, at_once)

    def ensure_signing_keys(self) -> bool:
        """Make the first signing key and publish it, where there is none; else see that it is published.

        Return whether there was none.
        """
        name, now = self._signing_secret, self._now()
        begun = self._signing.ring(name).accepted(now)
        if not begun:
            self._begin_signing(name, now)
        self._signing.settle(name, self._now(), False)
        return not begun

    def _begin_signing(self, name: str, now: int) -> None:
        try:
            self._secrets.stages(name)
        except Missing:
            first = Ring((Key(self._entropy(8).hex(), private_key(), since=now),))
            self._signing.publish(name, now, first)
            with contextlib.suppress(Conflict):  # somebody else was faster
                self._secrets.create(name, first.encode())
        else:
            self.now(name)  # the deployment made the secret, without a key in it

    def upkeep(self) -> list[str]:
        """Complete what rotations left, and rotate what is old; return the names of what was rotated.

        One that fails is logged and does not keep the others from it. Meant for once a day.
        """
        now = self._now()
        done = []
        for each in self._kept(now):
            try:
                if each.untidy:
                    self._kind(each.name).settle(each.name, now, False)
                if now - each.made >= each.days * records.DAY:
                    self.now(each.name)
                    done.append(each.name)
            except SentinelError as error:
                log.warning("%s was not rotated: %s", each.name, error)
        return done

    def _kept(self, now: int) -> list[_Kept]:
        """Return what rotates by itself."""
        made = max((key.since for key in self._signing.ring(self._signing_secret).keys), default=now)
        kept = [_Kept(self._signing_secret, made, SIGNING_DAYS, untidy=True)]
        keys: dict[str, list[ApiKey]] = {}
        for key in records.listed(self._registry, ApiKey):
            keys.setdefault(key.service, []).append(key)
        for service in records.listed(self._registry, Service):
            if not service.disabled and service.id in keys:
                of = keys[service.id]
                endless = sum(not key.until for key in of)
                name = secret_name(self._key_prefix, service.id)
                kept.append(_Kept(name, max(key.since for key in of), KEY_DAYS, untidy=endless != 1))
        return kept

    def _finish(self, name: str, token: str, at_once: bool) -> None:
        kind, now = self._kind(name), self._now()
        value = self._pending(name, token)
        if value is not None:
            _check_usable(kind, name, value, now)
            self._secrets.promote(name, token)
        kind.settle(name, now, at_once)

    def _pending(self, name: str, token: str) -> str | None:
        """Return the value of a version that is pending; None where it is AWSCURRENT already."""
        if self._in_force(name, token):
            return None
        try:
            return self._secrets.value(name, PENDING, token)
        except Missing:
            raise Conflict(f"that version of {name} has no value, or is not pending any more") from None

    def _in_force(self, name: str, token: str) -> bool:
        """Say whether a version is AWSCURRENT already. Raises `Conflict` unless it is that or AWSPENDING."""
        self._kind(name)
        stages = self._secrets.stages(name).get(token)
        if stages is None:
            raise Conflict(f"the secret {name} has no such version to rotate to")
        if CURRENT in stages:
            return True
        if PENDING not in stages:
            raise Conflict(f"that version of {name} is not pending: another rotation has begun")
        return False

    def _left(self, name: str, kind: Kind) -> str:
        """Return the version that a rotation left pending and that is still good; "" where there is none."""
        for token, stages in self._secrets.stages(name).items():
            if PENDING in stages and CURRENT not in stages:
                try:
                    value = self._secrets.value(name, PENDING, token)
                except Missing:  # announced, and never given a value
                    return ""
                return token if kind.usable(name, value, self._now()) else ""
        return ""

    def _kind(self, name: str) -> Kind:
        if name == self._signing_secret:
            return self._signing
        if name.startswith(self._hook_prefix):
            return self._hooks
        if name.startswith(self._key_prefix):
            return self._keys
        raise Missing(f"{name} is no secret that rotates")

    def _now(self) -> int:
        return int(self._clock())


def _check_usable(kind: Kind, name: str, value: str, now: int) -> None:
    if not kind.usable(name, value, now):
        raise Conflict(f"the rotation of {name} was left for too long: begin another, which replaces it")
