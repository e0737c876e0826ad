"""The own CA: issuing, renewing on time, revoking, and how one root follows another."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core.access import Issued, Revoked, Root, Service, encode
from sentinel.core.certificates import ClientCertificate, check, read
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.ports_doors import Record, Signer
from sentinel.usecases.certify import SUCCESSORS, Authority
from sentinel.usecases.roots import LEAD, OVERLAP
from tests import pki
from tests.pki import DAY, DOMAIN, NOW, Ca, pem


class Key:
    """A CA key in memory."""

    def __init__(self) -> None:
        self.key = pki.p256()
        self.signed = 0

    def public_key(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.DER, form)

    def sign(self, data: bytes) -> bytes:
        assert len(data) <= 4_096
        self.signed += 1
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Scene:
    """An authority on a registry in memory, with a clock that stands until it is set."""

    now: int = NOW
    keys: dict[str, Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = SqliteRegistry(":memory:")
        self.authority = Authority(
            self.registry, self.signer, DOMAIN, lambda: self.now + 0.5, secrets.token_bytes
        )
        for service in ("checkout", "billing"):
            self.add(service)
        self.add("old", disabled=True)

    def add(self, service: str, **changes: Any) -> None:
        body = encode(Service(service, **changes))
        assert self.registry.put(Record(Service.KIND, service, body))

    def signer(self, key: str, *, create: bool = False) -> Signer:
        if create:
            self.keys.setdefault(key, Key())
        return self.keys[key]

    def issue(self, service: str = "checkout", **changes: Any) -> ClientCertificate:
        return read(self.authority.issue(service, pki.request(pki.p256()), **changes))

    def counts(self, certificate: ClientCertificate) -> bool:
        try:
            check(certificate, self.authority.roots(), self.now)
        except Unauthenticated:
            return False
        return not self.authority.is_revoked(certificate.thumbprint)

    def renew(self, current: ClientCertificate, service: str = "checkout") -> ClientCertificate:
        return read(self.authority.renew(current, service, pki.request(pki.p256())))


@pytest.fixture
def scene() -> Scene:
    """Set a scene with a CA."""
    found = Scene()
    found.authority.create_root("root-1")
    return found


def test_without_a_ca_nothing_is_issued() -> None:
    """The message says which command makes it."""
    with pytest.raises(Missing, match="sentinel ca publish"):
        Scene().issue()


def test_a_certificate_is_recorded_before_it_is_given_out(scene: Scene) -> None:
    """Whose it is, its serial number, its root and its times are in the registry."""
    made = scene.issue()
    assert scene.counts(made)
    (record,) = scene.authority.issued("checkout")
    root = scene.authority.signing()
    assert record == Issued(
        made.thumbprint, "checkout", made.serial, root.id, made.not_before, made.not_after
    )
    assert made.not_after - made.not_before == 90 * DAY
    assert scene.authority.issued("billing") == []
    stored = scene.registry.get(Issued.KIND, made.thumbprint)
    assert stored is not None
    assert stored.expires > made.not_after


def test_a_certificate_that_cannot_be_recorded_is_not_given_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could not be found to be revoked."""
    monkeypatch.setattr(scene.registry, "put", lambda record: False)
    with pytest.raises(Unavailable):
        scene.issue()


@pytest.mark.parametrize(
    ("service", "error"), [("nobody", Missing), ("old", Forbidden), ("", Missing), ("a/b", Missing)]
)
def test_only_known_services_in_force_get_certificates(
    scene: Scene, service: str, error: type[Exception]
) -> None:
    """An unknown service is added first; a disabled one gets nothing."""
    with pytest.raises(error):
        scene.issue(service)


@pytest.mark.parametrize("days", [0, -1, 91])
def test_lifetimes_are_bounded(scene: Scene, days: int) -> None:
    """A certificate lives at most 90 days."""
    with pytest.raises(Malformed, match="1 to 90 days"):
        scene.issue(days=days)


@pytest.mark.parametrize(("days", "first"), [(90, 60), (30, 20), (1, 2 / 3)])
def test_the_day_of_renewal(scene: Scene, days: int, first: float) -> None:
    """Day 60 of 90, two thirds of other lifetimes; a second earlier it is refused, saying when."""
    made = scene.issue(days=days)
    day = made.not_before + int(first * DAY)
    scene.now = day - 1
    with pytest.raises(Conflict, match=r"from 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ on"):
        scene.renew(made)
    scene.now = day
    fresh = scene.renew(made)
    assert fresh.not_after - fresh.not_before == days * DAY
    assert fresh.spiffe == made.spiffe
    assert fresh.thumbprint != made.thumbprint
    assert scene.counts(made)
    assert scene.counts(fresh)


def test_the_last_second_of_renewal(scene: Scene) -> None:
    """A certificate that has run out is renewed by nobody."""
    made = scene.issue()
    scene.now = made.not_after
    assert scene.counts(scene.renew(made))
    scene.now += 1
    with pytest.raises(Unauthenticated, match="run out"):
        scene.renew(made)


def test_the_same_request_again_is_safe(scene: Scene) -> None:
    """Whose answer was lost asks again; both certificates are of the same key, and both are on record."""
    made = scene.issue()
    scene.now = made.renewable_from()
    request = pki.request(pki.p256())
    first, second = (read(scene.authority.renew(made, "checkout", request)) for _ in range(2))
    assert scene.counts(first)
    assert scene.counts(second)
    assert {each.id for each in scene.authority.issued()} == {
        each.thumbprint for each in (made, first, second)
    }


def test_a_certificate_has_few_successors_that_count(scene: Scene) -> None:
    """The fourth is refused and told to use the others; one that was revoked or ran out makes room."""
    made = scene.issue()
    scene.now = made.renewable_from()
    request = pki.request(pki.p256())
    fresh = [read(scene.authority.renew(made, "checkout", request)) for _ in range(SUCCESSORS)]
    signed = sum(key.signed for key in scene.keys.values())
    with pytest.raises(Conflict, match="use one of them"):
        scene.renew(made)
    assert sum(key.signed for key in scene.keys.values()) == signed, "a refusal costs no signature"
    records = {each.id: each for each in scene.authority.issued()}
    assert records.keys() == {each.thumbprint for each in (made, *fresh)}
    assert {records[each.thumbprint].renews for each in fresh} == {made.thumbprint}
    assert records[made.thumbprint].renews == ""
    scene.authority.revoke(fresh[1].thumbprint)
    assert scene.counts(scene.renew(made))
    with pytest.raises(Conflict):
        scene.renew(made)
    assert len(scene.authority.revoke("checkout")) == 1 + SUCCESSORS
    assert not any(scene.counts(each) for each in (made, *fresh))


def test_of_renewals_at_once_as_many_succeed_as_may(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals that all found room before any of them wrote are held to the bound by what they write."""
    made = scene.issue()
    scene.now = made.renewable_from()
    inner = scene.registry.put
    begun: list[str] = []

    def overtaken(record: Record) -> bool:
        if record.id == made.thumbprint and not begun:
            begun.append(record.id)
            for _ in range(SUCCESSORS):
                scene.renew(made)
        return inner(record)

    monkeypatch.setattr(scene.registry, "put", overtaken)
    with pytest.raises(Conflict, match="use one of them"):
        scene.renew(made)
    assert len(scene.authority.issued("checkout")) == 1 + SUCCESSORS


def test_a_renewal_that_died_costs_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever request to the registry fails, the next renewal works, and no more than the bound is there."""
    made = scene.issue()
    scene.now = made.renewable_from()
    inner = scene.registry.put
    for applied, kind in ((False, made.thumbprint), (True, made.thumbprint), (False, ""), (True, "")):
        with monkeypatch.context() as patched:

            def failing(record: Record, applied: bool = applied, kind: str = kind) -> bool:
                if (record.id == made.thumbprint) == bool(kind):
                    if applied:
                        inner(record)
                    raise Unavailable("injected")
                return inner(record)

            patched.setattr(scene.registry, "put", failing)
            with pytest.raises((Unavailable, Conflict)):
                scene.renew(made)
        known = [each for each in scene.authority.issued("checkout") if each.renews]
        assert len(known) <= SUCCESSORS
    with pytest.raises(Conflict, match="have those revoked or a new certificate issued"):
        scene.renew(made)  # three of the four failures cost one each


def test_a_service_renews_its_own_certificate_only(scene: Scene) -> None:
    """Neither another's, nor one that is not on record, nor one of a mesh."""
    made = scene.issue("billing")
    scene.now = made.renewable_from()
    with pytest.raises(Forbidden, match="its own"):
        scene.renew(made, "checkout")
    root, key = scene.authority.signing(), scene.keys["root-1"].key
    forger = Ca(key=key, own="root-1", title="x")
    forger.name = _name_of(root)
    while True:
        forged = read(pem(forger.leaf(until=scene.now + DAY)))
        if scene.counts(forged):
            break
    with pytest.raises(Forbidden, match="its own"):
        scene.renew(forged)
    mesh = Ca(domain="cluster.local", title="mesh")
    scene.authority.trust("cluster.local", pem(mesh.certificate))
    names = pki.names(pki.uri("spiffe://cluster.local/ns/shop/sa/checkout"))
    theirs = mesh.leaf(pki.changed(x509.SubjectAlternativeName, names), until=scene.now + DAY)
    with pytest.raises(Forbidden, match="another CA"):
        scene.renew(read(pem(theirs)))
    with pytest.raises(Unauthenticated):
        scene.renew(read(pem(Ca().leaf(until=scene.now + DAY))))


def _name_of(root: Root) -> Any:
    return x509.load_pem_x509_certificate(root.pem.encode()).subject


def test_a_disabled_service_renews_nothing(scene: Scene) -> None:
    """Disabling is enough to let its certificates run out."""
    made = scene.issue()
    record = scene.registry.get(Service.KIND, "checkout")
    assert record is not None
    body = encode(Service("checkout", disabled=True))
    assert scene.registry.put(Record(Service.KIND, "checkout", body, record.version))
    scene.now = made.renewable_from()
    with pytest.raises(Forbidden, match="disabled"):
        scene.renew(made)


@pytest.mark.parametrize("how", ["thumbprint", "serial", "colons", "service"])
def test_revoking(scene: Scene, how: str) -> None:
    """By thumbprint, by serial number as any tool writes it, or all of a service; others are untouched."""
    mine, other = scene.issue(), scene.issue("billing")
    serial = mine.serial
    pairs = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2)).upper()
    what = {"thumbprint": mine.thumbprint, "serial": serial, "colons": pairs, "service": "checkout"}[how]
    (told,) = scene.authority.revoke(what, "lost")
    assert (told.id, told.revoked, told.reason) == (mine.thumbprint, NOW, "lost")
    assert not scene.counts(mine)
    assert scene.counts(other)
    scene.now += 5
    (again,) = scene.authority.revoke(what, "twice")
    assert (again.revoked, again.reason) == (NOW, "lost")
    record = scene.registry.get(Revoked.KIND, mine.thumbprint)
    assert record is not None
    assert record.expires > mine.not_after
    scene.now = mine.renewable_from()
    with pytest.raises(Unauthenticated, match="revoked"):
        scene.renew(mine)


@pytest.mark.parametrize("what", ["", "nobody", "00", ":", "0" * 43])
def test_revoking_nothing(scene: Scene, what: str) -> None:
    """What is neither a certificate nor a service revokes nothing at all."""
    made = scene.issue()
    with pytest.raises(Missing):
        scene.authority.revoke(what)
    assert scene.counts(made)


def test_a_service_without_certificates_can_be_revoked(scene: Scene) -> None:
    """There is nothing to do, and that is fine."""
    assert scene.authority.revoke("checkout") == []


def test_a_renewal_does_not_slip_past_a_revocation(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever revokes a service while one of its certificates is being renewed gets the new one, too."""
    made = scene.issue()
    scene.now = made.renewable_from()
    put = scene.registry.put
    done: list[str] = []

    def late(record: Record) -> bool:
        if record.kind == Issued.KIND and record.id != made.thumbprint and not done:
            done.append(record.id)
            scene.authority.revoke("checkout")  # all that is on record by now
        return put(record)

    monkeypatch.setattr(scene.registry, "put", late)
    with pytest.raises(Unauthenticated, match="revoked"):
        scene.renew(made)
    assert all(each.revoked for each in scene.authority.issued("checkout"))
    assert len(scene.authority.issued("checkout")) == 2


def test_anothers_certificate_is_revoked_in_both_its_forms(scene: Scene) -> None:
    """A mesh's certificate can be respelled by whoever holds it."""
    found = read(pem(Ca().leaf()))
    scene.authority.revoke_other(found, "lost")
    denied = {each.id for each in scene.registry.listing(Revoked.KIND)}
    assert found.thumbprint in denied
    assert len(denied) >= 2


def test_one_root_follows_another(scene: Scene) -> None:
    """The new root is published before it signs; both are trusted while the old one's certificates live."""
    first = scene.authority.signing()
    old = scene.issue()
    published: list[list[str]] = []
    scene.now += DAY
    second = scene.authority.rollover("root-2", lambda roots: published.append(list(roots)))
    assert published == [sorted([first.pem, second.pem])]
    assert scene.authority.signing().id == first.id
    assert scene.authority.next_key() == "root-2"
    late = _at(scene, NOW + DAY + LEAD - 1)
    assert {each.root for each in scene.authority.issued()} == {first.id}
    fresh = _at(scene, NOW + DAY + LEAD)
    assert scene.authority.signing().id == second.id
    assert scene.authority.next_key() == "root-3"
    assert [each.root for each in scene.authority.issued()].count(second.id) == 1
    assert all(scene.counts(each) for each in (old, late, fresh))
    scene.now = late.not_after
    assert scene.counts(late)
    scene.now = NOW + DAY + LEAD + OVERLAP
    assert [root.id for root in scene.authority.roots()] == [second.id]
    assert scene.authority.published() == [second.pem]


def _at(scene: Scene, now: int) -> ClientCertificate:
    scene.now = now
    return scene.issue()


def test_renewal_moves_to_the_new_root(scene: Scene) -> None:
    """A certificate of the old root is renewed by the new one, and nobody has to do anything."""
    made = scene.issue()
    scene.authority.rollover("root-2", lambda _: None)
    scene.now = made.renewable_from()
    fresh = scene.renew(made)
    scene.now = NOW + LEAD + OVERLAP
    assert scene.counts(fresh)


@pytest.mark.parametrize("fails", [1, 2, 3, 4])
@pytest.mark.parametrize("applied", [False, True])
def test_a_rollover_that_stops_anywhere_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fails: int, applied: bool
) -> None:
    """At each of its writes and at publishing: certificates go on counting, and running it again ends it."""
    first, steps = scene.authority.signing(), 0
    put = scene.registry.put

    def step() -> bool:
        nonlocal steps
        steps += 1
        return steps == fails

    def failing(record: Record) -> bool:
        stop = record.kind == Root.KIND and step()
        done = put(record) if applied or not stop else False
        if stop:
            raise Unavailable("injected")
        return done

    def publish(_: Sequence[str]) -> None:
        if step():
            raise Unavailable("injected")

    monkeypatch.setattr(scene.registry, "put", failing)
    with pytest.raises(Unavailable):
        scene.authority.rollover(scene.authority.next_key(), publish)
    assert scene.counts(scene.issue())
    scene.now += 2 * LEAD
    assert scene.counts(scene.issue())
    # A switch that was decided counts, though its answer was lost; anything earlier has changed nothing.
    assert (scene.authority.signing().id != first.id) is (fails == 4 and applied)
    if not (fails == 4 and applied):
        scene.authority.rollover(scene.authority.next_key(), publish)
    scene.now += LEAD
    assert scene.authority.signing().key == "root-2"
    assert scene.counts(scene.issue())
    assert len(scene.keys) == 2


def test_a_rollover_after_a_theft(scene: Scene) -> None:
    """Without lead and overlap the old root counts no more at once."""
    old = scene.issue()
    scene.now += 1
    scene.authority.rollover("root-2", lambda _: None, lead=0, overlap=0)
    assert not scene.counts(old)
    assert scene.counts(scene.issue())
    assert len(scene.authority.published()) == 1


def test_a_theft_while_a_rollover_waits_for_its_time(scene: Scene) -> None:
    """A roll-over that is under way is hurried by a shorter lead and overlap, and put off by nothing."""
    old = scene.issue()
    published: list[object] = []
    fresh = scene.authority.rollover("root-2", lambda _: None)
    scene.now += 10
    hurried = scene.authority.rollover("root-2", published.append, lead=0, overlap=0)
    assert hurried.id == fresh.id
    assert published
    assert scene.authority.signing().id == fresh.id
    assert not scene.counts(old)
    assert scene.counts(scene.issue())
    third = scene.authority.rollover("root-3", lambda _: None, lead=60)
    assert scene.authority.rollover("root-3", lambda _: None, lead=9_000, overlap=9_000 * DAY) == third
    assert {root.until for root in scene.authority.roots()} == {0, third.since + OVERLAP}


def test_rollovers_that_are_none(scene: Scene) -> None:
    """A root does not follow itself, and a key that is used up stays so; running one twice is one."""
    with pytest.raises(Conflict, match="signs already"):
        scene.authority.rollover("root-1", lambda _: None)
    fresh = scene.authority.rollover("root-2", lambda _: None)
    scene.now += 10
    assert scene.authority.rollover("root-2", lambda _: None) == fresh
    scene.now += LEAD
    with pytest.raises(Conflict, match="used for a root before"):
        scene.authority.rollover("root-1", lambda _: None)


def test_the_first_root_is_made_once(scene: Scene) -> None:
    """The same key again is the same root; another key is a roll-over."""
    assert scene.authority.create_root("root-1") == scene.authority.signing()
    with pytest.raises(Conflict, match="rollover"):
        scene.authority.create_root("root-9")
    assert len(scene.authority.roots()) == 1


def test_another_ca_is_trusted_and_distrusted(scene: Scene) -> None:
    """For its own trust domain, with a certificate that is a CA's and in force; again after it was not."""
    mesh = Ca(domain="cluster.local", title="mesh")
    root = scene.authority.trust("cluster.local", pem(mesh.certificate))
    assert scene.authority.trust("cluster.local", pem(mesh.certificate)) == root
    assert root in scene.authority.roots()
    assert scene.authority.signing().key == "root-1"
    with pytest.raises(Conflict, match="another trust domain"):
        scene.authority.trust("other.local", pem(mesh.certificate))
    scene.authority.distrust(root.id)
    assert root.id not in {each.id for each in scene.authority.roots()}
    scene.authority.trust("cluster.local", pem(mesh.certificate))
    assert root.id in {each.id for each in scene.authority.roots()}
    with pytest.raises(Missing):
        scene.authority.distrust("nothing")


def test_cas_that_are_not_trusted(scene: Scene) -> None:
    """Not for our own trust domain, no leaf, and none that has run out."""
    mesh = Ca(title="mesh")
    with pytest.raises(Conflict, match="own trust domain"):
        scene.authority.trust(DOMAIN, pem(mesh.certificate))
    with pytest.raises(Malformed):
        scene.authority.trust("cluster.local", pem(mesh.leaf()))
    with pytest.raises(Malformed):
        scene.authority.trust("Cluster.Local", pem(mesh.certificate))
    scene.now = NOW + 5_000 * DAY
    with pytest.raises(Malformed, match="run out"):
        scene.authority.trust("cluster.local", pem(mesh.certificate))


def test_a_key_that_is_not_the_roots_signs_nothing(scene: Scene) -> None:
    """Somebody put another key in its place: it shows at issuing, not at the doors."""
    scene.keys["root-1"] = Key()
    with pytest.raises(Malformed, match="not the one of its root"):
        scene.issue()
    assert scene.authority.issued() == []
