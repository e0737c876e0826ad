"""Who may do what: services, their tiers and scopes, and the records in which the registry keeps them.

A record is a small JSON document under a kind and an id (`ports.Registry`). Each dataclass here is one
kind; `encode` and `decode` are its two directions. API keys and webhook secrets are never in them: of a key
only its SHA-256 is kept, of a secret only its name.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from sentinel.core.chain import check_service
from sentinel.core.lanes import MAX_LANES, Lanes
from sentinel.core.tiers import TIERS as TIERS  # noqa: PLC0414 - what a service may be
from sentinel.errors import Malformed

# What a token may allow. `admin` is of the deployment; the others are about the caller's own things.
SCOPES = ("ingest", "tasks:read", "tasks:control", "tasks:approve", "recipes:write", "proxy", "admin")
DEFAULT_SCOPES = ("ingest", "tasks:read")
ENCRYPTIONS = ("store", "own")
MAX_DAYS = 36_500
MAX_OPTIONS = 20_000  # characters of a hook's options, names and values
MAX_IDENTITY_BYTES = 1024  # it is the id of a record
_AUTHOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_HOOK = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# An identity of somebody else's: a SPIFFE id, or an OIDC issuer and subject.
_IDENTITY = re.compile(
    r"spiffe://[a-z0-9.-]{1,253}/[A-Za-z0-9._/-]{1,1500}|oidc:https://[^\s#]{1,500}#[^\s]{1,500}"
)


@dataclass(frozen=True, slots=True)
class Service:
    """A producer that is known. `identities` are ids of others' certificates and tokens that stand for it.

    `lanes` 0 takes the deployment's number. `lanes_before` are the numbers that counted before, each until a
    time (`core.lanes`). `masking` and `encryption` are policies by name; this version
    knows "none" (entries are sealed as they come), and "store" (as the store encrypts them) and "own" (with
    data keys of its own, docs/encryption.md), and refuses what it could not keep. `archive_days` is how long
    segments stay in the ledger's table, 0: for good (docs/archive.md). `usage` is the value of the service's
    key in API Gateway's usage plan: it selects the plan and opens nothing. `created` is in nanoseconds.
    `seen` is no part of the record: when it was read, in epoch seconds; 0 where nobody said.
    """

    KIND: ClassVar[str] = "service"

    id: str
    tier: str = "standard"
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    disabled: bool = False
    lanes: int = 0
    masking: str = "none"
    encryption: str = "store"
    identities: tuple[str, ...] = ()
    usage: str = ""
    created: int = 0
    archive_days: int = 0
    lanes_before: tuple[tuple[int, int], ...] = ()
    seen: int = field(default=0, compare=False, repr=False)

    @property
    def spread(self) -> Lanes:
        """Over how many chains it is spread, and was."""
        return Lanes(self.lanes, self.lanes_before, self.seen)

    def check(self) -> None:
        """Raise `Malformed` naming what is wrong with this service."""
        check_service(self.id)
        unknown = sorted(set(self.scopes) - set(SCOPES))
        problems = (
            (self.tier not in TIERS, f"tier is one of {', '.join(TIERS)}"),
            (bool(unknown), f"there is no scope {', '.join(unknown)}; there are {', '.join(SCOPES)}"),
            (
                not self.spread.sound(),
                f"lanes is 1 to {MAX_LANES}, or 0 for the default",
            ),
            (self.masking != "none", "masking is none: this version has no other policy"),
            (self.encryption not in ENCRYPTIONS, f"encryption is one of {', '.join(ENCRYPTIONS)}"),
            (not 0 <= self.archive_days <= MAX_DAYS, f"archive_days is 1 to {MAX_DAYS:,}, or 0 for never"),
            (
                not all(map(_is_identity, self.identities)),
                f"an identity is spiffe://DOMAIN/PATH or oidc:ISSUER#SUBJECT of {MAX_IDENTITY_BYTES:,} bytes",
            ),
        )
        for wrong, message in problems:
            if wrong:
                raise Malformed(message)


def _is_identity(text: str) -> bool:
    # ASCII, as SPIFFE and OpenID Connect have it.
    return text.isascii() and len(text) <= MAX_IDENTITY_BYTES and _IDENTITY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One API key of a service: its id (a part of the key), and the SHA-256 of its secret part, in hex.

    Valid from `since` until `until`, epoch seconds; `until` 0 has no end.
    """

    KIND: ClassVar[str] = "key"

    id: str
    service: str
    digest: str
    since: int = 0
    until: int = 0


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of our own CA. `id` is its thumbprint, `serial` in hex; times in epoch seconds.

    `revoked` 0 is not revoked; `root` names the root that signed it. One that was renewed names its
    `successors` that count, and they name it in `renews`; by their thumbprints.
    """

    KIND: ClassVar[str] = "certificate"

    id: str
    service: str
    serial: str
    root: str
    since: int
    until: int
    revoked: int = 0
    reason: str = ""
    renews: str = ""
    successors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is refused, of our own CA or of another: `id` is its thumbprint.

    The record may go after `until`, when the certificate has run out anyway.
    """

    KIND: ClassVar[str] = "revoked"

    id: str
    at: int
    until: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """A CA that may vouch for the SPIFFE ids of one trust domain. `pem` is its certificate.

    `key` says how our own CA's key is found (a KMS key id or a file's name); it is empty for another's CA.
    A root is trusted as soon as it is recorded, and of our own CA signs from `since` on. `until` 0 has no
    end; a root that was rolled over has the end of its overlap there.
    """

    KIND: ClassVar[str] = "root"

    id: str
    domain: str
    pem: str
    key: str = ""
    since: int = 0
    until: int = 0


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook: what `source` sends to `/hooks/{source}/{id}` goes to the chains of `service`.

    `secret` is the name of its secret; `options` are the source's settings for this one, never secret.
    """

    KIND: ClassVar[str] = "hook"

    id: str
    service: str
    source: str
    secret: str
    disabled: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `Malformed` naming what is wrong with this hook."""
        check_service(self.service)
        if not _HOOK.fullmatch(self.id):
            raise Malformed("a hook's id is up to 64 of a-z, 0-9 and -")
        if sum(len(name) + len(value) for name, value in self.options.items()) > MAX_OPTIONS:
            raise Malformed(f"a hook's options are at most {MAX_OPTIONS:,} characters")


@dataclass(frozen=True, slots=True)
class Alias:
    """Whose service an identity of somebody else's stands for; `id` is one of `Service.identities`."""

    KIND: ClassVar[str] = "identity"

    id: str
    service: str


@dataclass(frozen=True, slots=True)
class Author:
    """Somebody whose signature makes a document count: `key` is an Ed25519 public key, 32 bytes in base64.

    `until` is epoch seconds after which it counts no longer, for what it has signed before too; 0: no end.
    `groups` are names by which a recipe may ask for the approval of several; they grant nothing else.
    `trust` is its history, only ever added to: from when on (epoch nanoseconds) it counted until when (as
    `until`; `REMOVED`: not at all). A record of an earlier version has none, and counts as so from the start.
    """

    KIND: ClassVar[str] = "author"
    REMOVED: ClassVar[int] = -1

    id: str
    key: str
    name: str = ""
    until: int = 0
    groups: tuple[str, ...] = ()
    trust: tuple[tuple[int, int], ...] = ()

    @property
    def public(self) -> bytes:
        """The key's 32 bytes."""
        return b64decode(self.key)

    @property
    def removed(self) -> bool:
        """Whether it is kept for its history alone."""
        return bool(self.trust) and self.trust[-1][1] == self.REMOVED

    @property
    def history(self) -> tuple[tuple[int, int], ...]:
        """Its history, also where the record has none."""
        return self.trust or ((0, self.until),)

    def trusted(self, t: int) -> bool:
        """Whether its signatures counted at a time, in epoch nanoseconds."""
        until = next((until for since, until in reversed(self.history) if since <= t), self.REMOVED)
        return until == 0 or t < until * 1_000_000_000

    def check(self) -> None:
        """Raise `Malformed` naming what is wrong with this author."""
        if not _AUTHOR.fullmatch(self.id):
            raise Malformed("an author's id is up to 100 letters, digits and ._@-, beginning with no sign")
        if len(self.name) > 200 or not self.name.isprintable():
            raise Malformed("an author's name is at most 200 printable characters")
        if len(self.groups) > 50 or not all(map(_AUTHOR.fullmatch, self.groups)):
            raise Malformed("an author is in at most 50 groups, whose names are as those of authors")


Entity = TypeVar("Entity", Service, ApiKey, Issued, Revoked, Root, Hook, Alias, Author)


def encode(entity: Service | ApiKey | Issued | Revoked | Root | Hook | Alias | Author) -> bytes:
    """Return the body of an entity's record: a JSON object without its id."""
    import orjson

    told = asdict(entity)
    del told["id"]
    told.pop("seen", None)
    return orjson.dumps(told)


def decode(kind: type[Entity], record_id: str, body: bytes) -> Entity:
    """Return the entity that a record holds. Fields of a later version are left out.

    >>> decode(ApiKey, "k1", encode(ApiKey("k1", "checkout", "00"))).service
    'checkout'
    """
    import orjson  # not above: the command line reads the names of tiers and scopes at each start

    told: dict[str, Any] = orjson.loads(body)
    known = {each.name for each in fields(kind)}
    values = {name: _tuples(value) for name, value in told.items() if name in known}
    made: Any = kind
    entity: Entity = made(id=record_id, **values)
    return entity


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
