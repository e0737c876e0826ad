"""What rotates: API keys, secrets of webhooks, and the keys that sign access tokens.

`usecases.rotate` knows the four steps; a kind knows what is made, told, proven and ended in them. Two of a
kind always count at a time, so whoever still has the old one goes on for the overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from sentinel.core import api_keys
from sentinel.core.access import ApiKey, Hook, Service
from sentinel.core.ring import Key, Ring
from sentinel.core.secret_names import service_of
from sentinel.errors import Conflict, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.ports_doors import Record
from sentinel.usecases import records
from sentinel.usecases.hooks import new_secret

if TYPE_CHECKING:
    from sentinel.ports_doors import Registry, SecretVersions

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
JWKS: Final = ("jwks", "keys")  # kind and id of the record with the public keys

KEY_OVERLAP: Final = 86_400  # seconds that an old API key still counts, as does an old webhook secret
HOOK_OVERLAP: Final = 86_400
HOOK_PATIENCE: Final = 3_600  # seconds after which a webhook's unfinished ring is made anew
# Who verifies learns of a key before it signs: longer than anybody keeps the public keys (60 s).
SIGNING_LEAD: Final = 600
SIGNING_PATIENCE: Final = 300
# The longest token (900 s), clocks (30 s), and who signs with the old ring for a while yet: one that cannot
# read the new one keeps it for 600 s, from a finish as late as patience allows.
SIGNING_OVERLAP: Final = 900 + 30 + 600 + SIGNING_PATIENCE


class Kind(Protocol):
    """One kind of secret. Every method may be called again."""

    def fresh(self, name: str, now: int, at_once: bool, /) -> str:
        """Return a new value for the secret; `at_once`: what is in force now is not to be trusted longer."""

    def usable(self, name: str, value: str, now: int, /) -> bool:
        """Say whether a value that was made earlier may still be brought into force."""

    def announce(self, name: str, value: str, now: int, /) -> None:
        """Make the value count beside the one in force. Raises `Missing` where it is nobody's."""

    def prove(self, name: str, value: str, now: int, /) -> None:
        """Raise `Conflict` unless the value counts."""

    def settle(self, name: str, now: int, at_once: bool, /) -> None:
        """End what came before the value in force."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What every kind works on."""

    registry: Registry
    secrets: SecretVersions
    entropy: Callable[[int], bytes]

    def ring(self, name: str, stage: str = CURRENT) -> Ring:
        """Return the ring at a stage; an empty one where there is none, or something that was never one."""
        try:
            return Ring.decode(self.secrets.value(name, stage))
        except (Missing, Malformed):
            return Ring()


@dataclass(frozen=True, slots=True)
class ApiKeys(Rotated):
    """The API key of a service: a record each, the old one with an end."""

    prefix: str

    def fresh(self, _name: str, _now: int, _at_once: bool, /) -> str:
        """Return a new API key."""
        return api_keys.make(self.entropy(8).hex(), self.entropy(32))

    def usable(self, _name: str, value: str, _now: int, /) -> bool:
        """Say whether this is an API key that no later rotation has ended."""
        try:
            key_id, _ = api_keys.parse(value)
        except Unauthenticated:
            return False
        found, _ = records.load(self.registry, ApiKey, key_id)
        return found is None or not found.until

    def announce(self, name: str, value: str, now: int, /) -> None:
        """Record the new key; from then on both count."""
        service = self._service(name)
        if records.load(self.registry, Service, service)[0] is None:
            raise Missing(f"the secret {name} is of a service that is not there: {service}")
        wanted = api_keys.of(value, service, now)
        records.settle(self.registry, ApiKey, wanted.id, lambda found: None if found else wanted)

    def prove(self, name: str, value: str, now: int, /) -> None:
        """Look the key up as a door does."""
        key_id, secret = api_keys.parse(value)
        found, _ = records.load(self.registry, ApiKey, key_id)
        if found is None or found.service != self._service(name) or not api_keys.matches(found, secret, now):
            raise Conflict(f"the new API key of {name} does not count: rotate once more")

    def settle(self, name: str, now: int, at_once: bool, /) -> None:
        """Give every other key of the service an end, and the one in force none."""
        current, _ = api_keys.parse(self.secrets.value(name))
        end = now if at_once else now + KEY_OVERLAP

        def ended(found: ApiKey | None) -> ApiKey | None:
            if found is None:
                return None
            return replace(found, until=0 if found.id == current else min(found.until or end, end))

        for key in records.listed(self.registry, ApiKey, self._service(name)):
            records.settle(self.registry, ApiKey, key.id, ended)

    def _service(self, name: str) -> str:
        service = service_of(self.prefix, name)
        if service is None:
            raise Missing(f"{name} is not the name of a service's secret")
        return service


@dataclass(frozen=True, slots=True)
class HookSecrets(Rotated):
    """The secret of a webhook: a ring in which the old one counts while its source is told the new one."""

    prefix: str

    def fresh(self, name: str, now: int, at_once: bool, /) -> str:
        """Return the ring with one more secret, in use from now."""
        hook_id = name.removeprefix(self.prefix)
        hook, _ = records.load(self.registry, Hook, hook_id)
        secret = new_secret(self.entropy, hook.source if hook else "", hook_id)
        key = Key(self.entropy(8).hex(), secret)
        return self.ring(name).rotated(key, now, 0, 0 if at_once else HOOK_OVERLAP).encode()

    def usable(self, _name: str, value: str, now: int, /) -> bool:
        """Say whether most of the overlap is still to come."""
        return _is_recent(value, now, HOOK_PATIENCE)

    def announce(self, name: str, _value: str, _now: int, /) -> None:
        """See that there is such a webhook; whoever checks reads the ring that is in force."""
        hook = name.removeprefix(self.prefix)
        if records.load(self.registry, Hook, hook)[0] is None:
            raise Missing(f"the secret {name} is of a webhook that is not there: {hook}")

    def prove(self, _name: str, value: str, now: int, /) -> None:
        """See that the ring has a secret to use."""
        Ring.decode(value).current(now)

    def settle(self, _name: str, _now: int, _at_once: bool, /) -> None:
        """Do nothing: the ring says when the old one ends."""


@dataclass(frozen=True, slots=True)
class SigningKeys(Rotated):
    """The keys that sign access tokens: a ring of private keys (PKCS #8, PEM), the public ones published."""

    def fresh(self, name: str, now: int, at_once: bool, /) -> str:
        """Return the ring with one more key, which signs once every verifier has had time to learn of it."""
        ring = self.ring(name)
        begun = any(key.since <= now for key in ring.accepted(now))
        lead = SIGNING_LEAD if begun and not at_once else 0
        key = Key(self.entropy(8).hex(), private_key())
        return ring.rotated(key, now, lead, 0 if at_once else SIGNING_OVERLAP).encode()

    def usable(self, _name: str, value: str, now: int, /) -> bool:
        """Say whether the old keys still count for as long as a token lives."""
        return _is_recent(value, now, SIGNING_PATIENCE)

    def announce(self, name: str, value: str, now: int, /) -> None:
        """Publish the public keys of the new ring beside those in force."""
        self.publish(name, now, Ring.decode(value))

    def prove(self, _name: str, value: str, now: int, /) -> None:
        """Sign with the newest key, and verify with what is published."""
        from sentinel.core import jws, tokens

        token = tokens.sign({"iat": now}, tokens.signing_key(Ring.decode(value).keys[-1]))
        record = self.registry.get(*JWKS)
        try:
            jws.verify(token, jws.public_keys(orjson.loads(record.body if record else b"{}")), now)
        except (Unauthenticated, Malformed):
            raise Conflict("the new signing key is not among the published ones: rotate once more") from None

    def settle(self, name: str, now: int, _at_once: bool, /) -> None:
        """Publish what counts now: when two rotate at once, the later one may have published without us."""
        self.publish(name, now)

    def publish(self, name: str, now: int, more: Ring | None = None) -> None:
        """Publish the public keys of the rings that are in force and on their way, and of `more`."""
        from sentinel.core import tokens

        for _ in range(records.ROUNDS):
            record = self.registry.get(*JWKS)
            rings = (self.ring(name), self.ring(name, PENDING), more or Ring())
            body = orjson.dumps(tokens.jwks(union(rings), now), option=orjson.OPT_SORT_KEYS)
            if record is not None and record.body == body:
                return
            if self.registry.put(Record(*JWKS, body, record.version if record else 0)):
                return
        raise Unavailable("others keep publishing signing keys", 0.2)


def union(rings: Iterable[Ring]) -> Ring:
    """Return the keys of all rings, each with its latest end, oldest first.

    >>> [key.until for key in union((Ring((Key("a", "1", until=5),)), Ring((Key("a", "1"),)))).keys]
    [0]
    """
    keys: dict[str, Key] = {}
    for ring in rings:
        for key in ring.keys:
            known = keys.get(key.id, key)
            until = max(known.until, key.until) if known.until and key.until else 0
            keys[key.id] = replace(known, until=until)
    return Ring(tuple(sorted(keys.values(), key=lambda key: (key.since, key.id))))


def private_key() -> str:
    """Return a new private key on P-256: PKCS #8 in PEM form."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _is_recent(value: str, now: int, patience: int) -> bool:
    try:
        return now <= Ring.decode(value).keys[-1].since + patience
    except (Malformed, IndexError):
        return False
