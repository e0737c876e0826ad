"""The ports of the doors, written as contracts in the manner of `ports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.core.limits import Bucket, Verdict


@dataclass(frozen=True, slots=True)
class Record:
    """One document of the registry. `version` counts its changes; 0 is one that was not stored yet.

    `service` is whose it is, "" for the deployment's own. `expires` is epoch seconds after which it may be
    forgotten; 0: never.
    """

    kind: str
    id: str
    body: bytes = field(repr=False)
    version: int = 0
    service: str = ""
    expires: int = 0


class Registry(Protocol):
    """Stores who is known: services, hashes of their keys, certificates, roots, hooks, public keys."""

    def get(self, kind: str, record_id: str) -> Record | None:
        """Return a record as it is now, or None. Consistent."""

    def put(self, record: Record) -> bool:
        """Store a record if the stored version is still `record.version` (0: none is stored).

        The stored version becomes one more. Return False, changing nothing, where somebody else was faster.
        After `Unavailable` it may have happened: get it again.
        """

    def listing(self, kind: str, service: str = "") -> list[Record]:
        """Return all records of a kind by id, or those of one service. Consistent."""

    def drop(self, kind: str, record_id: str) -> None:
        """Take a record away; nothing where there is none."""


class Signer(Protocol):
    """A private ECDSA key on P-256 that can be used and, where a KMS has it, not be read."""

    def public_key(self) -> bytes:
        """Return the public key: SubjectPublicKeyInfo in DER form. Raises `Unavailable`."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of SHA-256 of `data` (at most 4,096 bytes): ECDSA in DER form.

        Raises `Unavailable`; `Forbidden` where the key may not be used.
        """


class SecretVersions(Protocol):
    """Secrets with versions and stages, as AWS Secrets Manager has them.

    `AWSCURRENT` is in force, `AWSPREVIOUS` was before it, `AWSPENDING` is on its way. `token` names a
    version (32 to 64 characters). Every write may be repeated; after `Unavailable` it may have happened.
    """

    def create(self, name: str, value: str) -> None:
        """Make a secret with `value` as its AWSCURRENT version. Raises `Conflict` where it exists."""

    def value(self, name: str, stage: str = "AWSCURRENT", token: str = "") -> str:
        """Return the value of a stage, or of one version in that stage. Raises `Missing`."""

    def stages(self, name: str) -> Mapping[str, frozenset[str]]:
        """Return the stages of each version. Raises `Missing` where there is no such secret."""

    def put(self, name: str, token: str, value: str) -> None:
        """Add a version as AWSPENDING. The same again changes nothing; another value is `Conflict`."""

    def promote(self, name: str, token: str) -> None:
        """Make a version AWSCURRENT and the one before it AWSPREVIOUS; nothing where it is that already."""


class Limits(Protocol):
    """Counts what services take, exactly, for all processes together."""

    def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
        """Take from all buckets of `key` or from none: one atomic call (`core.limits` has the arithmetic).

        `key` is any text that is not empty, and a bucket's name a word. A cost over the whole burst passes
        when nothing of it is used, and leaves the bucket in debt. Raises `Unavailable` quickly where the
        counter does not answer; it may have counted.
        """


class UsagePlans(Protocol):
    """API Gateway's usage plans: best-effort limits at the front door, before anything of ours runs."""

    def enrol(self, value: str, service: str, tier: str) -> None:
        """Put the usage key `value` of a service into a tier's plan and no other. Idempotent."""

    def withdraw(self, value: str) -> None:
        """Take a usage key out of every plan; nothing where it is in none."""


class TrustStore(Protocol):
    """The roots that the TLS layer in front of us accepts client certificates of."""

    def publish(self, roots: Sequence[str]) -> str:
        """Make these PEM certificates the ones in force; return the version. The same again does nothing.

        Raises `Unavailable`; connections that are open stay open.
        """


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a webhook's source has proven: which source and hook, and the id of it.

    `parked` says what was not understood of it, where its alerts are not known. `strangers` says that anybody
    may have written what it tells: the sender has proven itself, and speaks for others.
    """

    source: str
    hook: str
    id: str
    parked: str = ""
    strangers: bool = False

    def about(self) -> dict[str, object]:
        """Return what each entry of the message says of it under `webhook`, whatever else it says there."""
        told: dict[str, object] = {"source": self.source, "hook": self.hook, "id": self.id}
        return told | ({"strangers": True} if self.strangers else {})


class Certificates(Protocol):
    """Fetches the certificates by which senders sign their messages."""

    def get(self, url: str) -> bytes:
        """Return the certificate at a URL that `core.sns.certificate_url` allows: PEM. May be kept.

        Raises `Forbidden` for any other URL, `Unavailable` where it cannot be had now.
        """
