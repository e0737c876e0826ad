"""The own CA at work: issues, renews and revokes the certificates of services.

Every certificate has a record, made before the certificate is handed out. Revoking writes to the deny list
that the doors read; a revoked certificate gets no successor, and neither does a service that is disabled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from sentinel.core.access import Issued, Revoked, Service, decode, encode
from sentinel.core.certificates import (
    CLOCK_SKEW,
    ClientCertificate,
    check,
    read,
    service_of,
    thumbprints,
)
from sentinel.core.issuing import (
    CLIENT_DAYS,
    DAY,
    Terms,
    build_client,
    build_server,
    public_key,
    read_request,
)
from sentinel.core.x509_bounds import PublicKey
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.ports_doors import Record
from sentinel.usecases.roots import Roots

# Records of certificates stay this long after their end, for who looks back.
KEPT = 365 * DAY
# Successors of one certificate that may count at one time: an answer may get lost, and the one after it.
SUCCESSORS = 3
ROUNDS = 8


class Authority(Roots):
    """The own CA; see `Roots` for how it is made."""

    def issue(self, service: str, csr_pem: bytes, *, days: int = CLIENT_DAYS) -> str:
        """Issue a client certificate for a service that is known; return it as PEM.

        `days` is 1 to 90. Raises `Malformed` for a request that is none, `Missing` for an unknown service,
        `Forbidden` for a disabled one.
        """
        if not 1 <= days <= CLIENT_DAYS:
            raise Malformed(f"a certificate lives 1 to {CLIENT_DAYS} days")
        key = read_request(csr_pem)
        self._known(service)
        pem, made = self._make_client(service, key, days * DAY)
        self._record(made)
        return pem

    def renew(self, current: ClientCertificate, service: str, csr_pem: bytes) -> str:
        """Issue the successor of `current`, which lives as long; return it as PEM.

        Allowed after two thirds of its life, for its own service only. Sending the same request twice gives
        two certificates of the same key, both good. Raises `Conflict` before that day, saying when it is, and
        where `SUCCESSORS` of `current` count already; `Unauthenticated` for one that does not count,
        `Forbidden` for one of another CA or service.
        """
        key = read_request(csr_pem)
        self._renewable(current, service)
        self._known(service)
        self._room(current.thumbprint)
        lifetime = current.not_after - current.not_before
        pem, fresh = self._make_client(service, key, lifetime, current.thumbprint)
        self._promise(current.thumbprint, fresh.id)
        self._record(fresh)
        # Whoever revokes looks for certificates, then writes, then looks again; so do we the other way round.
        if self.is_revoked(current.thumbprint):
            self._revoke([fresh], "its predecessor is revoked")
            raise Unauthenticated("the client certificate is revoked: have a new one issued")
        return pem

    def server(self, spki: bytes, days: int = CLIENT_DAYS) -> str:
        """Issue the certificate of the gateway on this machine for a public key; return it as PEM."""
        root, now = self.signing(), self._now() - CLOCK_SKEW
        terms = Terms(self._serial(), now, now + days * DAY)
        return build_server(public_key(spki), terms, self._issuer(root))

    def issued(self, service: str = "") -> list[Issued]:
        """Return the records of certificates, of one service or of all, the oldest first."""
        found = self._registry.listing(Issued.KIND, service)
        records = (decode(Issued, each.id, each.body) for each in found)
        return sorted(records, key=lambda each: (each.since, each.id))

    def revoke(self, what: str, reason: str = "") -> list[Issued]:
        """Revoke by thumbprint, by serial number, or all certificates of a service; return those it is about.

        Doors refuse them once they have read the deny list again. Revoking twice changes nothing. Raises
        `Missing` for what is none of them.
        """
        serial = what.replace(":", "").lower().lstrip("0")
        every = self.issued()
        found = [each for each in every if each.id == what or each.serial.lstrip("0") == serial]
        if found:
            return self._revoke(found, reason)
        if not any(each.service == what for each in every) and self._registry.get(Service.KIND, what) is None:
            raise Missing("there is no certificate of this thumbprint or serial number, and no such service")
        return self._revoke_service(what, reason)

    def revoke_other(self, certificate: ClientCertificate, reason: str = "") -> None:
        """Revoke a certificate that has no record here, in every form that its signature can be written in.

        Such is one of another's CA, and one that somebody had our own CA's key sign behind our back.
        """
        for each in thumbprints(certificate):
            self._deny(each, certificate.not_after, reason)

    def has_issued(self, thumbprint: str) -> bool:
        """Whether there is a record of a certificate of our own CA with this thumbprint."""
        return self._registry.get(Issued.KIND, thumbprint) is not None

    def is_revoked(self, thumbprint: str) -> bool:
        """Whether a certificate is on the deny list, as of now."""
        return self._registry.get(Revoked.KIND, thumbprint) is not None

    def _renewable(self, current: ClientCertificate, service: str) -> None:
        now = self._now()
        check(current, self.roots(), now)
        owner = service_of(current.spiffe, self._domain)
        if owner is None:
            raise Forbidden("the client certificate is of another CA, which is the one to renew it")
        record = self._registry.get(Issued.KIND, current.thumbprint)
        if owner != service or record is None or record.service != service:
            raise Forbidden("a service renews its own certificates, with the one in use")
        if self.is_revoked(current.thumbprint):
            raise Unauthenticated("the client certificate is revoked: have a new one issued")
        start = current.renewable_from()
        if now < start:
            raise Conflict(
                f"the certificate may be renewed from {_moment(start)} on; it runs out at "
                f"{_moment(current.not_after)}"
            )

    def _known(self, service: str) -> Service:
        found = self._registry.get(Service.KIND, service)
        if found is None:
            raise Missing("there is no such service: `sentinel services add` makes one")
        known = decode(Service, service, found.body)
        if known.disabled:
            raise Forbidden("the service is disabled: it gets no certificates")
        return known

    def _room(self, predecessor: str) -> tuple[Record, Issued, list[str]]:
        """Return a certificate's record with the successors that count. Raises `Conflict` at `SUCCESSORS`."""
        record = self._registry.get(Issued.KIND, predecessor)
        if record is None:
            raise Forbidden("a service renews its own certificates, with the one in use")
        known = decode(Issued, predecessor, record.body)
        live = [each for each in known.successors if self._counts(each)]
        if len(live) >= SUCCESSORS:
            raise Conflict(
                f"{SUCCESSORS} successors of this certificate were issued already: use one of them; where "
                "none is left, have those revoked or a new certificate issued"
            )
        return record, known, live

    def _counts(self, successor: str) -> bool:
        record = self._registry.get(Issued.KIND, successor)
        if record is None:
            return True  # it is being made, or whoever made it died
        known = decode(Issued, successor, record.body)
        return not known.revoked and self._now() <= known.until

    def _promise(self, predecessor: str, successor: str) -> None:
        """Write a successor down at its predecessor, before it is recorded: of many at once, so many do."""
        for _ in range(ROUNDS):
            record, known, live = self._room(predecessor)
            known = replace(known, successors=(*live, successor))
            if self._registry.put(replace(record, body=encode(known))):
                return
        raise Unavailable("others renew the same certificate: try again")

    def _make_client(
        self, service: str, key: PublicKey, seconds: int, renews: str = ""
    ) -> tuple[str, Issued]:
        root, since = self.signing(), self._now() - CLOCK_SKEW
        terms = Terms(self._serial(), since, since + seconds)
        pem = build_client(service, self._domain, key, terms, self._issuer(root))
        made = read(pem)
        check(made, [root], self._now())  # a key that is not its root's shows here, not at the doors
        times = (terms.since, terms.until)
        return pem, Issued(made.thumbprint, service, made.serial, root.id, *times, renews=renews)

    def _record(self, made: Issued) -> None:
        """Record a certificate: only then it counts."""
        record = Record(Issued.KIND, made.id, encode(made), service=made.service, expires=made.until + KEPT)
        if not self._registry.put(record):
            raise Unavailable("the certificate could not be recorded: try again")

    def _revoke_service(self, service: str, reason: str) -> list[Issued]:
        told: dict[str, Issued] = {}
        while fresh := [each for each in self.issued(service) if not each.revoked]:
            told |= {each.id: each for each in self._revoke(fresh, reason)}
        return list(told.values()) or self.issued(service)

    def _revoke(self, found: Iterable[Issued], reason: str) -> list[Issued]:
        return [self._revoke_one(each, reason) for each in found]

    def _revoke_one(self, issued: Issued, reason: str) -> Issued:
        self._deny(issued.id, issued.until, reason)
        for _ in range(ROUNDS):
            record = self._registry.get(Issued.KIND, issued.id)
            if record is None:
                return issued
            known = decode(Issued, issued.id, record.body)
            if known.revoked:
                return known
            known = replace(known, revoked=self._now(), reason=reason)
            if self._registry.put(replace(record, body=encode(known))):
                return known
        raise Unavailable("somebody changes the same certificate: try again")

    def _deny(self, thumbprint: str, until: int, reason: str) -> None:
        # A record that may go counts for as long as the certificate could, clocks that are off included.
        body = encode(Revoked(thumbprint, self._now(), until, reason))
        self._registry.put(Record(Revoked.KIND, thumbprint, body, expires=until + DAY))


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
