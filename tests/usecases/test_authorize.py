"""Who comes in: certificate, token, binding, service and scopes, each attacked alone and in time."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import certificates, tokens
from sentinel.core.access import Alias, Issued, Revoked, Root, Service
from sentinel.core.ring import Key
from sentinel.errors import Forbidden, SentinelError, Unauthenticated, Unavailable
from sentinel.usecases.authorize import bearer
from tests.doors import DAY, DOMAIN, NOW, Ca, World, private_key


@pytest.fixture
def world() -> World:
    """A deployment with the service checkout."""
    return World()


class Away:
    """A registry that can be away; counts its readings."""

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        self.away = False
        self.asked: list[tuple[str, ...]] = []

    def get(self, *about: str) -> Any:
        """Answer, or not."""
        self.asked.append(about)
        if self.away:
            raise Unavailable("away")
        return self.registry.get(*about)

    def listing(self, *about: str) -> Any:
        """Answer, or not."""
        self.asked.append(about)
        if self.away:
            raise Unavailable("away")
        return self.registry.listing(*about)


def test_a_certificate_and_its_token_come_in(world: World) -> None:
    """The grant names the service, the subject, the certificate's thumbprint and the scopes."""
    grant = world.admit(world.token())
    assert (grant.service.id, grant.subject, grant.certificate) == ("checkout", "checkout", world.thumbprint)
    assert grant.scopes == {"ingest", "tasks:read"}


def test_scopes_are_those_of_the_token_that_the_registry_still_has(world: World) -> None:
    """A token allows no more than it names, and no more than its service may do now."""
    assert world.admit(world.token(scope="ingest")).scopes == {"ingest"}
    assert world.admit(world.token(scope="ingest admin")).scopes == {"ingest"}
    token = world.token()
    world.put(Service("checkout", scopes=("tasks:read",)))
    world.later(10)
    assert world.admit(token).scopes == {"tasks:read"}
    assert world.admit(world.token(scope=None)).scopes == {"tasks:read"}


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic abc", "bearer", "Bearer a b", "Token x"]
)
def test_without_a_token_nobody_comes_in(world: World, authorization: str) -> None:
    """No header, another scheme, no token in it."""
    with pytest.raises(Unauthenticated):
        world.authorizer.admit(world.pem, authorization)
    assert bearer("bEaReR x") == "x"


def test_a_token_over_another_certificate_is_refused(world: World) -> None:
    """A stolen token is worth nothing, neither with another service's certificate nor a newer own one."""
    world.put(Service("billing"))
    token = world.token()
    for pem in (world.leaf("/service/billing"), world.leaf()):
        with pytest.raises(Unauthenticated, match="another client certificate"):
            world.admit(token, pem)


def test_a_token_of_another_service_is_refused(world: World) -> None:
    """A token that is bound to this certificate and names another service is nobody's."""
    world.put(Service("billing"))
    with pytest.raises(Unauthenticated, match="same service"):
        world.admit(world.token(sub="billing", client_id="billing"))


def test_times_are_the_clocks(world: World) -> None:
    """900 seconds and 30 for clocks that differ, then the token has expired; certificates have ends, too."""
    token = world.token()
    world.later(929)
    assert world.admit(token)
    world.later(1)
    with pytest.raises(Unauthenticated, match="expired"):
        world.admit(token)
    world.later(90 * DAY)
    with pytest.raises(Unauthenticated, match="run out"):
        world.admit(world.token())


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "a" * 20_000,
        Ca().leaf(),
        Ca("elsewhere.example").leaf(),
    ],
    ids=["none", "text", "garbage", "long", "same name, another key", "foreign"],
)
def test_without_a_certificate_that_counts_nobody_comes_in(world: World, pem: str) -> None:
    """No certificate, none that can be read, none of a root of ours."""
    with pytest.raises(Unauthenticated):
        world.authorizer.admit(pem, f"Bearer {world.token()}")


def test_a_root_vouches_for_its_own_domain_only(world: World) -> None:
    """A mesh's CA that signs an id of our domain is refused, though its root is registered."""
    mesh = Ca("mesh.example")
    world.put(mesh.root())
    stranger = Ca(DOMAIN, key=mesh.key)
    with pytest.raises(Unauthenticated):
        world.admit(world.token(), stranger.leaf())


def test_another_cas_identity_stands_for_a_service_by_its_alias(world: World) -> None:
    """A mesh's id comes in once it is registered for a service, bound to a token as any other."""
    mesh = Ca("mesh.example")
    world.put(mesh.root())
    pem = mesh.leaf("/ns/shop/sa/checkout")
    token = world.token(cnf={"x5t#S256": certificates.thumbprint(pem)})
    with pytest.raises(Unauthenticated, match="no service"):
        world.admit(token, pem)
    world.put(Alias("spiffe://mesh.example/ns/shop/sa/checkout", "checkout"))
    assert world.admit(token, pem).service.id == "checkout"


def test_a_revoked_certificate_is_refused_within_the_doors_seconds(world: World) -> None:
    """Its tokens with it: a replay after the revocation gets nowhere."""
    token = world.token()
    world.admit(token)
    world.put(Revoked(world.thumbprint, NOW, NOW + DAY, "stolen"))
    world.later(10)
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="revoked"):
            world.admit(token)


def test_a_certificate_of_our_own_ca_has_to_be_on_record(world: World) -> None:
    """What the CA's key signed behind our back opens nothing, and is let in as soon as it is on record."""
    pem = world.ca.leaf()
    token = world.token(cnf={"x5t#S256": certificates.thumbprint(pem)})
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="not on record"):
            world.admit(token, pem)
    at = (certificates.thumbprint(pem), "checkout", "00", "root", NOW, NOW + DAY)
    world.put(Issued(*at))
    assert world.admit(token, pem).service.id == "checkout"
    world.put(Issued(*at, revoked=NOW))
    world.later(10)
    with pytest.raises(Unauthenticated, match="not on record"):
        world.admit(token, pem)


def test_a_record_is_of_one_service(world: World) -> None:
    """A certificate of another service than its record says is refused, as is an id that is no service's."""
    world.put(Service("billing"))
    world.put(Alias("spiffe://sentinel.local/ns/other", "checkout"))
    for path in ("/service/billing", "/ns/other"):
        pem = world.ca.leaf(path)
        world.put(Issued(certificates.thumbprint(pem), "checkout", "00", "root", NOW, NOW + DAY))
        with pytest.raises(Unauthenticated, match="not on record"):
            world.authorizer.certificate(pem)


def test_a_disabled_service_is_forbidden_within_the_doors_seconds(world: World) -> None:
    """And an unknown one is nobody."""
    token = world.token()
    world.admit(token)
    world.put(Service("checkout", disabled=True))
    world.later(10)
    with pytest.raises(Forbidden, match="disabled"):
        world.admit(token)
    world.registry.drop("service", "checkout")
    world.later(10)
    with pytest.raises(Unauthenticated, match="not known"):
        world.admit(token)


def test_a_root_that_is_gone_vouches_no_more(world: World) -> None:
    """That a root signed a certificate is kept only until the roots are read again."""
    token = world.token()
    world.admit(token)
    world.registry.drop(Root.KIND, world.ca.root().id)
    world.later(10)
    with pytest.raises(Unauthenticated):
        world.admit(token)


def test_a_new_key_is_found_and_an_old_one_counts_to_its_end(world: World) -> None:
    """Rotation: tokens of both keys come in during the overlap, the old key's none after it."""
    old = world.token()
    world.admit(old)
    world.ring = world.ring.rotated(Key("k2", private_key()), NOW, lead=0, overlap=600)
    world.publish()
    fresh = world.token()
    assert tokens.read(fresh).kid == "k2"
    assert world.admit(fresh)
    assert world.admit(old)
    world.later(600)
    assert world.admit(fresh)
    with pytest.raises(Unauthenticated, match="out of use"):
        world.admit(old)


def test_unknown_kids_are_looked_up_once_in_a_while(world: World) -> None:
    """A flood of invented kids makes one reading of the keys each five seconds."""
    registry: Any = Away(world.registry)
    world.directory._registry = registry
    signing = tokens.SigningKey("invented", "ES256", tokens.signing_key(world.ring.keys[0]).key)
    token = tokens.sign(world.claims(), signing)
    for _ in range(50):
        with pytest.raises(Unauthenticated, match="not known"):
            world.admit(token)
    assert registry.asked.count(("jwks", "keys")) == 2  # the first reading, and one more
    world.later(5)
    with pytest.raises(Unauthenticated):
        world.admit(token)
    assert registry.asked.count(("jwks", "keys")) == 3


def test_the_doors_shut_when_the_registry_is_away(world: World) -> None:
    """What was read is used for 60 seconds at most; a door that was never open stays shut at once."""
    registry: Any = Away(world.registry)
    world.directory._registry = registry
    token = world.token()
    registry.away = True
    with pytest.raises(Unavailable):
        world.admit(token)
    registry.away = False
    world.later(1)
    world.admit(token)
    registry.away = True
    world.later(59)
    assert world.admit(token)
    world.later(1)
    with pytest.raises(Unavailable):
        world.admit(token)
    registry.away = False
    world.later(1)
    assert world.admit(token)


def test_a_registry_that_is_away_is_asked_once_a_second(world: World) -> None:
    """Not by each request, and not for each of the records that a request needs."""
    registry: Any = Away(world.registry)
    world.directory._registry = registry
    token = world.token()
    world.admit(token)
    registry.away = True
    world.later(10)
    for second in range(1, 4):
        registry.asked.clear()
        for _ in range(5):
            assert world.admit(token)
        assert len(registry.asked) == 1, second
        world.later(1)
    registry.asked.clear()
    for _ in range(5):
        with pytest.raises(Unavailable):
            world.admit(token, world.leaf())
    assert len(registry.asked) == 1


def test_each_part_of_the_registry_is_needed(world: World) -> None:
    """Whatever single reading fails, nobody comes in."""
    token, kinds = world.token(), {"root", "revoked", "certificate", "jwks", "service"}
    for missing in kinds:
        fresh = World()
        fresh.registry, fresh.ring, fresh.pem = world.registry, world.ring, world.pem

        class Partly(Away):
            kind = missing

            def get(self, *about: str) -> Any:
                self.away = about[0] == self.kind
                return super().get(*about)

            def listing(self, *about: str) -> Any:
                self.away = about[0] == self.kind
                return super().listing(*about)

        partly: Any = Partly(world.registry)
        fresh.directory._registry = partly
        with pytest.raises(Unavailable):
            fresh.admit(token)


def test_no_answer_about_a_token_is_kept(world: World) -> None:
    """The signature of every call is verified: the same token with another signature is refused at once."""
    token = world.token()
    world.admit(token)
    other = world.token().rpartition(".")[2]
    with pytest.raises(Unauthenticated, match="does not verify"):
        world.admit(f"{world.token(jti='other').rpartition('.')[0]}.{other}")


def test_certificates_and_records_that_are_kept_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand callers take no more room than the bound."""
    monkeypatch.setattr("sentinel.usecases.authorize.MOST", 3)
    monkeypatch.setattr("sentinel.usecases.directory.MOST", 3)
    for number in range(8):
        name = f"s{number}"
        world.put(Service(name))
        pem = world.leaf(f"/service/{name}")
        token = world.token(sub=name, client_id=name, cnf={"x5t#S256": certificates.thumbprint(pem)})
        assert world.admit(token, pem).service.id == name
    assert len(world.authorizer._certificates) == 3
    assert len(world.directory._records) == 3


def test_threads_share_an_authorizer(world: World) -> None:
    """Many at once get the same answer, while what is kept runs out under them."""
    token, failures = world.token(), []

    def work() -> None:
        for _ in range(40):
            try:
                world.admit(token)
                world.monotonic.now += 3
            except SentinelError as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


_WORLD = World()
_GOOD = _WORLD.token()


@given(st.text(max_size=60), st.integers(0, len(_GOOD)), st.integers(0, 40))
def test_whatever_is_done_to_a_token_only_unauthenticated_comes_out(put: str, at: int, cut: int) -> None:
    """Text put into a good token in the place of some of it: refused, unless it is the good one still."""
    edited = _GOOD[:at] + put + _GOOD[at + cut :]
    if edited == _GOOD:
        return
    with pytest.raises(Unauthenticated):
        _WORLD.admit(edited)


@given(st.binary(max_size=400), st.integers(0, len(_WORLD.pem)))
def test_whatever_is_done_to_a_certificate_only_unauthenticated_comes_out(put: bytes, at: int) -> None:
    """The same with the certificate: no text in its place breaks anything."""
    edited = _WORLD.pem[:at] + put.decode("latin-1") + _WORLD.pem[at + len(put) :]
    if edited == _WORLD.pem:
        return
    try:
        _WORLD.admit(_GOOD, edited)
    except Unauthenticated:
        return
    assert certificates.read(edited).der == certificates.read(_WORLD.pem).der


def test_messages_hold_nothing_of_what_was_sent(world: World) -> None:
    """No refusal quotes the token, its claims or its kid."""
    marker = f"m{os.urandom(4).hex()}"
    signing = tokens.signing_key(world.ring.keys[0])
    for token in (
        world.token(iss=f"https://{marker}"),
        world.token(sub=marker, client_id=marker),
        world.token(aud=marker),
        tokens.sign(world.claims(), tokens.SigningKey(marker, "ES256", signing.key)),
        world.token() + marker,
        marker,
    ):
        with pytest.raises(Unauthenticated) as caught:
            world.admit(token)
        assert marker not in str(caught.value)
