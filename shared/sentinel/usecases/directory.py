"""The registry as the doors read it: whatever was read is used for some seconds, then read again.

So a key that was withdrawn, a service that was disabled and a certificate that was revoked count within those
seconds. While the registry does not answer, what was read is used for `STALE` seconds at most; then the doors
are shut (`Unavailable`), since nobody could tell any more who was let go. A registry that did not answer is
left alone for a second, whatever is asked: a request that needs six records waits for one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from sentinel.core.access import Alias, ApiKey, Entity, Hook, Issued, Revoked, Root, Service, decode
from sentinel.usecases.kept import Elapsed, Kept, Pause

if TYPE_CHECKING:
    from sentinel.core.jws import PublicKey
    from sentinel.ports_doors import Registry

STALE: Final = 60.0
COOL_DOWN: Final = 5.0  # seconds between two readings of the public keys because of an unknown kid
MOST: Final = 4_096  # records that are kept
JWKS: Final = ("jwks", "keys")  # kind and id of the record with the public keys
PUBLIC: Final = frozenset({"kty", "crv", "x", "y", "kid", "use", "alg", "exp"})


@dataclass(frozen=True, slots=True)
class _Published:
    document: Mapping[str, Any]
    keys: Mapping[str, PublicKey]


class Directory:
    """Answers the doors' questions. `clock` is monotonic, in seconds; threads may share it.

    `wall` gives epoch seconds: with it services say when they were read (`Service.seen`), and what was read
    before the machine slept is read again.

    Every method raises `Unavailable` where the registry does not answer and nothing fresh enough is kept.
    What is not there is not kept: a new service is known at once.
    """

    def __init__(
        self,
        registry: Registry,
        seconds: float,
        clock: Callable[[], float],
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall
        self._registry = registry
        self._seconds = seconds
        self._clock = clock = clock if wall is None else Elapsed(clock, wall)
        self._lock = threading.Lock()
        self._pause = Pause(clock)
        self._records: dict[tuple[str, str], Kept[Any]] = {}
        self._roots: Kept[dict[str, list[Root]]] = self._kept(self._load_roots)
        self._revoked: Kept[frozenset[str]] = self._kept(self._load_revoked)
        self._jwks: Kept[_Published] = self._kept(self._load_jwks)
        self._refreshed = -COOL_DOWN

    def service(self, service_id: str) -> Service | None:
        """Return a service as registered."""
        return self._record(Service, service_id)

    def key(self, key_id: str) -> ApiKey | None:
        """Return an API key's record."""
        return self._record(ApiKey, key_id)

    def hook(self, hook_id: str) -> Hook | None:
        """Return a webhook."""
        return self._record(Hook, hook_id)

    def issued(self, thumbprint: str) -> Issued | None:
        """Return the record of a certificate of our own CA."""
        return self._record(Issued, thumbprint)

    def alias(self, identity: str) -> str | None:
        """Return the id of the service that an identity of somebody else's stands for."""
        found = self._record(Alias, identity)
        return found.service if found is not None else None

    def roots(self, domain: str) -> list[Root]:
        """Return the roots of a trust domain; the same list until they are read again."""
        return self._roots.get().get(domain, [])

    def revoked(self, thumbprint: str) -> bool:
        """Say whether a certificate is on the deny list."""
        return thumbprint in self._revoked.get()

    def jwks(self) -> Mapping[str, Any]:
        """Return our own public keys as they are published: a JSON Web Key Set."""
        return self._jwks.get().document

    def signing_keys(self) -> Mapping[str, PublicKey]:
        """Return our own public keys by kid."""
        return self._jwks.get().keys

    def refresh_jwks(self) -> None:
        """Read the public keys anew at the next question, unless that was done `COOL_DOWN` seconds ago."""
        now = self._clock()
        with self._lock:
            if now - self._refreshed < COOL_DOWN:
                return
            self._refreshed = now
        self._jwks.expire()

    def _kept(self, load: Callable[[], Any]) -> Kept[Any]:
        return Kept(load, self._seconds, self._clock, STALE, self._pause)

    def _record(self, kind: type[Entity], record_id: str) -> Entity | None:
        at = (kind.KIND, record_id)
        kept = self._records.get(at)
        found: Entity | None
        if kept is None:
            fresh = self._kept(lambda: self._load(kind, record_id))
            found = fresh.get()
            if found is not None:
                self._keep(at, fresh)
            return found
        found = kept.get()
        if found is None:
            with self._lock:
                self._records.pop(at, None)
        return found

    def _keep(self, at: tuple[str, str], fresh: Kept[Any]) -> None:
        with self._lock:
            if len(self._records) >= MOST:
                del self._records[next(iter(self._records))]
            self._records[at] = fresh

    def _load(self, kind: type[Entity], record_id: str) -> Entity | None:
        begun = self._wall() if self._wall is not None else 0.0
        record = self._registry.get(kind.KIND, record_id)
        found: Any = decode(kind, record.id, record.body) if record is not None else None
        if isinstance(found, Service):
            found = replace(found, seen=int(begun))
        return found  # type: ignore[no-any-return] # of the kind that was asked for

    def _load_roots(self) -> dict[str, list[Root]]:
        found: dict[str, list[Root]] = {}
        for record in self._registry.listing(Root.KIND):
            root = decode(Root, record.id, record.body)
            found.setdefault(root.domain, []).append(root)
        return found

    def _load_revoked(self) -> frozenset[str]:
        return frozenset(record.id for record in self._registry.listing(Revoked.KIND))

    def _load_jwks(self) -> _Published:
        from sentinel.core.jws import public_keys

        record = self._registry.get(*JWKS)
        told = orjson.loads(record.body) if record is not None else {"keys": []}
        keys = public_keys(told)
        # Only members that are public by their names: whatever was stored, nothing else gets out.
        document = {"keys": [{k: v for k, v in key.items() if k in PUBLIC} for key in told["keys"]]}
        return _Published(document, keys)
