"""The CAs that vouch for clients: our own roots, how one follows another, and those of others.

A root is trusted from the moment its record is there until `until`, and signs from `since`: doors and trust
stores know it before its first certificate appears. Of our own roots the newest signs whose `since` has come,
provided that the one before it has an end; a roll-over that stopped halfway therefore changes nothing about
who signs, and running it again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from cryptography.hazmat.primitives import serialization

from sentinel.core.access import Root, decode, encode
from sentinel.core.certificates import CLOCK_SKEW, root_certificate
from sentinel.core.issuing import DAY, ROOT_DAYS, Issuer, SignerKey, Terms, build_root
from sentinel.core.spiffe import check_domain
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.ports_doors import Record, Registry, Signer

# From publishing a root to signing with it: doors may be 60 s behind, a domain of API Gateway some minutes.
LEAD = 3_600
OVERLAP = 90 * DAY


class Signers(Protocol):
    """Gives the CA's keys by name (`bootstrap_doors.Doors.ca_signer`)."""

    def __call__(self, key: str, *, create: bool = False) -> Signer:
        """Return a key; `create` makes it where it can be made here and is missing."""


class Roots:
    """The roots of the registry. `clock` is epoch seconds, `nonce` gives random bytes."""

    def __init__(
        self,
        registry: Registry,
        ca_signer: Signers,
        trust_domain: str,
        clock: Callable[[], float],
        nonce: Callable[[int], bytes],
    ) -> None:
        self._registry = registry
        self._ca_signer = ca_signer
        self._domain = check_domain(trust_domain)
        self._clock = clock
        self._nonce = nonce
        self._keys: dict[str, SignerKey] = {}

    def roots(self) -> list[Root]:
        """Return the roots in force, our own and others', the oldest first."""
        now = self._now()
        return [root for root in self._stored() if not root.until or now < root.until]

    def published(self) -> list[str]:
        """Return what a TLS layer is to trust: the certificates of the roots in force, PEM."""
        return sorted({root.pem for root in self.roots()})

    def signing(self) -> Root:
        """Return the root that signs now. Raises `Missing` where there is no CA yet."""
        now, own = self._now(), self._own()
        final = next((root for root in own if not root.until), None)
        ready = [root for root in own if root.since <= now and (root.until or root is final)]
        if not ready:
            raise Missing("there is no CA yet: `sentinel ca publish` makes its first root")
        return ready[-1]

    def create_root(self, key: str) -> Root:
        """Make the first root with the CA key named `key`; the same again returns it.

        Raises `Conflict` where there is a root with another key: one root follows another by `rollover`.
        """
        own = self._own()
        if any(root.key == key for root in own):
            return next(root for root in own if root.key == key)
        if own:
            raise Conflict("there is a CA already: `sentinel ca rollover` makes its next root")
        return self._make(key)

    def rollover(
        self,
        key: str,
        publish: Callable[[Sequence[str]], object],
        lead: int = LEAD,
        overlap: int = OVERLAP,
    ) -> Root:
        """Let a new root with the CA key named `key` follow the one that signs; return the new one.

        It is recorded, then given to `publish` together with all others, and only then set to sign, `lead`
        seconds from now; the old one is trusted for `overlap` more. After any failure run it again; where
        only the time to sign has not come, a shorter `lead` or `overlap` hurries it.
        """
        if self.signing().key == key:
            raise Conflict("this root signs already: name another key for the next one")
        fresh = next((root for root in self._own() if root.key == key), None) or self._make(key)
        if fresh.until:
            raise Conflict("this key was used for a root before: name a new one")
        ending = [root for root in self._own() if root.id != fresh.id and not root.until]
        publish(self.published())
        if not ending:
            return self._sooner(fresh, lead, overlap)
        fresh = self._change(fresh, since=max(fresh.since, self._now() + lead))
        for root in ending:
            self._change(root, until=fresh.since + overlap)
        return fresh

    def _sooner(self, fresh: Root, lead: int, overlap: int) -> Root:
        """Hurry a roll-over whose time to sign has not come; it is never put off, nor trust prolonged."""
        old = self.signing()
        since = max(self._now() + lead, old.since + 1)
        if since < fresh.since:
            fresh = self._change(fresh, since=since)
        if fresh.since + overlap < old.until:
            self._change(old, until=fresh.since + overlap)
        return fresh

    def next_key(self) -> str:
        """Return the name of a sealed key for the next root: that of a roll-over under way, or a new one."""
        own = [root for root in self._stored() if root.key and root.domain == self._domain]
        under_way = [root for root in self._own() if not root.until and root != self.signing()]
        return under_way[-1].key if under_way else f"root-{len(own) + 1}"

    def trust(self, domain: str, pem: str) -> Root:
        """Let another's CA vouch for the SPIFFE ids of its own trust domain; the same again changes nothing.

        Raises `Malformed` for what is no CA's certificate in force, `Conflict` for our own trust domain.
        """
        if check_domain(domain) == self._domain:
            raise Conflict("that is this deployment's own trust domain, for which only its own CA vouches")
        found = root_certificate(pem)
        if not self._now() <= found.not_valid_after_utc.timestamp():
            raise Malformed("the root has run out")
        text = found.public_bytes(serialization.Encoding.PEM).decode()
        identifier = _id_of(found.public_bytes(serialization.Encoding.DER))
        stored = self._store(Root(identifier, domain, text, since=self._now()))
        if stored.domain != domain:
            raise Conflict("this root is trusted for another trust domain: distrust it there first")
        return self._change(stored, until=0) if stored.until else stored

    def distrust(self, root_id: str) -> Root:
        """Let a CA vouch for nobody any more, from now on. Raises `Missing`."""
        found = next((root for root in self._stored() if root.id == root_id), None)
        if found is None:
            raise Missing("there is no root of this id: `sentinel ca show` lists them")
        return self._change(found, until=self._now())

    def _now(self) -> int:
        return int(self._clock())

    def _issuer(self, root: Root) -> Issuer:
        key = self._keys.get(root.key)
        if key is None:
            signer = self._ca_signer(root.key)
            key = self._keys[root.key] = SignerKey(signer.public_key(), signer.sign)
        return Issuer(root_certificate(root.pem), key)

    def _serial(self) -> int:
        return int.from_bytes(b"\x01" + self._nonce(16), "big")

    def _make(self, key: str) -> Root:
        signer = self._ca_signer(key, create=True)
        public, now = signer.public_key(), self._now()
        # Backdated, so that a clock which is a little behind does not refuse what is brand new.
        terms = Terms(self._serial(), now - CLOCK_SKEW, now - CLOCK_SKEW + ROOT_DAYS * DAY)
        pem = build_root(self._domain, terms, SignerKey(public, signer.sign))
        # Later than those before it, also within their second: the order of roots is that of their times.
        since = max([now, *(root.since + 1 for root in self._own())])
        return self._store(Root(_id_of(public), self._domain, pem, key, since=since))

    def _store(self, root: Root) -> Root:
        """Record a root, or return the one that is there: its id is its key's, so both are the same CA."""
        if self._registry.put(Record(Root.KIND, root.id, encode(root))):
            return root
        found = self._registry.get(Root.KIND, root.id)
        if found is None:
            raise Unavailable("somebody changes the same root: try again")
        return decode(Root, root.id, found.body)

    def _change(self, root: Root, **fields: int) -> Root:
        for _ in range(8):
            found = self._registry.get(Root.KIND, root.id)
            if found is None:
                raise Missing("the root is gone")
            changed = replace(decode(Root, root.id, found.body), **fields)  # type: ignore[arg-type]
            if self._registry.put(replace(found, body=encode(changed))):
                return changed
        raise Unavailable("somebody changes the same root: try again")

    def _own(self) -> list[Root]:
        return [root for root in self.roots() if root.key and root.domain == self._domain]

    def _stored(self) -> list[Root]:
        found = (decode(Root, each.id, each.body) for each in self._registry.listing(Root.KIND))
        return sorted(found, key=lambda root: (root.since, root.id))


def _id_of(data: bytes) -> str:
    return sha256(data).hexdigest()[:32]
