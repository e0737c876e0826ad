"""Who sends a request behind the authorizer: its context, the connection's certificate, a proxy's header."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.access import SCOPES
from sentinel.core.certificates import thumbprint
from sentinel.core.lanes import DEFAULT, Lanes
from sentinel.core.pem import unwrap
from sentinel.entrypoints.identity import certificate_of, identity_of
from sentinel.entrypoints.web import Identity
from sentinel.errors import Forbidden, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.routes import HOOK_ROUTES, ROUTES, Route
from tests.doors import Ca

CA = Ca()
PEM, OTHER = CA.leaf(), CA.leaf()
EVERY = " ".join(SCOPES)
XFCC = "x-forwarded-client-cert"
BEHIND = [route for route in ROUTES if route.door == "token"]
ELSE = [route for route in (*ROUTES, *HOOK_ROUTES) if route.door != "token"]


def path_of(route: Route) -> str:
    """Name a route in a test's id."""
    return f"{route.method} {route.path}"


def event(route: Route, pem: str = PEM, headers: dict[str, str] | None = None, **door: Any) -> dict[str, Any]:
    """Return the event of a request to a route; `door` changes the authorizer's context, None takes away."""
    context = {
        "service": "checkout",
        "subject": "s",
        "certificate": thumbprint(PEM),
        "scopes": EVERY,
        "tier": "high",
        "lanes": "4",
        "encryption": "own",
        **door,
    }
    return {
        "resource": route.path,
        "httpMethod": "PUT" if route.method == "ANY" else route.method,
        "headers": headers or {},
        "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()},
        "requestContext": {
            "identity": {"sourceIp": "192.0.2.7", **({"clientCert": {"clientCertPem": pem}} if pem else {})},
            "authorizer": {name: value for name, value in context.items() if value is not None},
        },
    }


@pytest.mark.parametrize("route", BEHIND, ids=path_of)
def test_the_authorizers_word_counts(route: Route) -> None:
    """All but the address and the certificate, which are the connection's, is the authorizer's."""
    scopes = frozenset(EVERY.split())
    expected = Identity("checkout", "s", thumbprint(PEM), "192.0.2.7", scopes, "high", Lanes(4), "own", PEM)
    assert identity_of(event(route), "") == expected


@pytest.mark.parametrize("route", BEHIND, ids=path_of)
def test_no_route_behind_a_token_is_reached_without_one(route: Route) -> None:
    """Without an authorizer's context, or without a service in it, every such route is 401."""
    for sent in (event(route, service=None), event(route, service="")):
        with pytest.raises(Unauthenticated):
            identity_of(sent, "")
    without = event(route)
    nothing: tuple[dict[str, str] | None, ...] = (None, {})
    for context in nothing:
        without["requestContext"]["authorizer"] = context
        with pytest.raises(Unauthenticated):
            identity_of(without, "")


@pytest.mark.parametrize("route", BEHIND, ids=path_of)
def test_a_decision_for_another_certificate_is_refused(route: Route) -> None:
    """API Gateway may have kept what was decided for a stolen token: the connection's certificate tells."""
    sent = [event(route, OTHER), event(route, ""), event(route, PEM, certificate=""), event(route, "x")]
    sent += [event(route, certificate=None), event(route, certificate=thumbprint(PEM)[:-1])]
    for each in sent:
        with pytest.raises(Unauthenticated):
            identity_of(each, "")


@pytest.mark.parametrize("route", [route for route in BEHIND if route.scope], ids=path_of)
def test_every_route_needs_its_own_scope(route: Route) -> None:
    """All scopes but the route's, none, and names that only look like it: 403."""
    others = " ".join(scope for scope in EVERY.split() if scope != route.scope)
    for scopes in (others, "", None, route.scope.upper(), f"{route.scope}x", f"{route.scope},"):
        with pytest.raises(Forbidden):
            identity_of(event(route, scopes=scopes), "")
    assert identity_of(event(route, scopes=route.scope), "").scopes == {route.scope}


def test_a_door_without_certificates_is_one_throughout() -> None:
    """Where neither the authorizer nor the connection knows a certificate, there is none: `--insecure`."""
    found = identity_of(event(ROUTES[0], "", certificate=""), "")
    assert (found.service, found.certificate, found.pem) == ("checkout", "", "")


@pytest.mark.parametrize("route", ELSE, ids=path_of)
def test_other_doors_let_strangers_to_their_function(route: Route) -> None:
    """No service, whatever an event says of one; the certificate for those that are behind mutual TLS."""
    found = identity_of(event(route), "")
    behind = route.door in {"key", "certificate"} or route.path == "/.well-known/jwks.json"
    assert found == Identity("", address="192.0.2.7", pem=PEM if behind else "")


@pytest.mark.parametrize(
    ("method", "resource"), [("GET", "/v1/entries"), ("POST", "/nothing"), ("ANY", "/v1/entries"), ("", "")]
)
def test_what_is_no_route_is_missing(method: str, resource: str) -> None:
    """A route that is not on the list has no door."""
    sent = event(ROUTES[0])
    sent |= {"httpMethod": method, "resource": resource}
    with pytest.raises(Missing):
        identity_of(sent, "")


@pytest.mark.parametrize("lanes", ["-1", "100", "4.0", "\u0664", "x"])
def test_odd_lanes_are_malformed(lanes: str) -> None:
    """The number of lanes is what the authorizer writes, or nothing."""
    with pytest.raises(Malformed):
        identity_of(event(ROUTES[0], lanes=lanes), "")
    assert identity_of(event(ROUTES[0], lanes=None), "").lanes == DEFAULT


def rfc9440(pem: str) -> str:
    """Return a certificate as RFC 9440's header has it."""
    return f":{base64.b64encode(unwrap(pem, 'CERTIFICATE')).decode()}:"


def envoy(pem: str) -> str:
    """Return a certificate as Envoy's header has it, among what else is in there."""
    cert = quote(pem, safe="")
    return f'By=spiffe://a/b;Hash=0011;Cert="{cert}";Subject="CN=a,O=\\"b;c\\"";URI=spiffe://a/ns/x'.replace(
        ",y", ""
    )


HEADERS = [
    ("client-cert", rfc9440(PEM)),
    ("Client-Cert", rfc9440(PEM)),
    ("X-Forwarded-Client-Cert", envoy(PEM)),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_proxys_header_counts_where_the_deployment_names_it(name: str, value: str) -> None:
    """RFC 9440's and Envoy's form; without the setting the header is nothing."""
    sent = event(ROUTES[0], "", {name: value})
    assert thumbprint(certificate_of(sent, name)) == thumbprint(PEM)
    assert identity_of(sent, name).certificate == thumbprint(PEM)
    assert certificate_of(sent, "") == ""
    with pytest.raises(Unauthenticated):
        identity_of(sent, "")


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_header_never_overrules_the_connection(name: str, value: str) -> None:
    """Where TLS ended at our own door, its certificate counts, not what somebody wrote."""
    sent = event(ROUTES[0], OTHER, {name: value})
    assert certificate_of(sent, name) == OTHER
    with pytest.raises(Unauthenticated):
        identity_of(sent, name)


def test_a_header_that_is_there_twice_is_refused() -> None:
    """In one spelling or in two: one of them may be the sender's own."""
    for name, value in HEADERS:
        sent = event(ROUTES[0], "", {name: value})
        sent["multiValueHeaders"] = {name: [value, value]}
        with pytest.raises(Unauthenticated):
            certificate_of(sent, name)
        sent["multiValueHeaders"] = {name: [value], name.upper(): [value], name.lower(): [value]}
        with pytest.raises(Unauthenticated):
            certificate_of(sent, name)


BAD_9440 = [
    "",
    ":",
    "::",
    "x",
    PEM,
    rfc9440(PEM)[:-1],
    rfc9440(PEM) + ", " + rfc9440(PEM),
    rfc9440(PEM) + ";a=1",
]
BAD_9440 += [":AAA:", ":====:", f":{'A' * 40_000}:", f":{'A' * 12_000}:", " " + rfc9440(PEM)]
BAD_ENVOY = ["", "x", "Cert=", 'Cert=""', envoy(PEM) + "," + envoy(PEM), envoy(OTHER) + "," + envoy(PEM)]
BAD_ENVOY += ["By=a;Hash=b", envoy(PEM) + ";" + envoy(OTHER), f"Cert={'a' * 17_000}", f"cert={'a' * 33_000}"]
BAD_ENVOY += ['Cert="%ff"', 'Cert="abc', "Hash=1;;Cert=x", "=x", ";"]


@pytest.mark.parametrize(
    ("name", "value"), [("client-cert", each) for each in BAD_9440] + [(XFCC, each) for each in BAD_ENVOY]
)
def test_an_odd_header_is_refused(name: str, value: str) -> None:
    """Several elements are several proxies' words, of which one may be the sender's, like nonsense."""
    with pytest.raises(Unauthenticated):
        certificate_of(event(ROUTES[0], "", {name: value}), name)


@given(
    st.sampled_from(["client-cert", XFCC]), st.text(st.sampled_from('Cert="\\;,:=%0aA/+ ') | st.characters())
)
def test_whatever_a_header_holds_only_unauthenticated_comes_out(name: str, value: str) -> None:
    """Any text as a proxy's header: refused, or text of bounded size that a certificate is read from."""
    try:
        found = certificate_of(event(ROUTES[0], "", {name: value}), name)
    except Unauthenticated:
        return
    assert 0 < len(found) <= 16_384


@given(st.text(st.sampled_from('Cert="\\;,=% ') | st.characters(), max_size=40))
def test_nothing_before_or_behind_envoys_element_changes_whose_it_is(text: str) -> None:
    """Text before or behind one proxy's element: refused, or the same certificate."""
    for value in (text + envoy(PEM), envoy(PEM) + text):
        try:
            found = certificate_of(event(ROUTES[0], "", {XFCC: value}), XFCC)
        except Unauthenticated:
            continue
        assert found == PEM


def test_lanes_come_with_those_of_before() -> None:
    """What the authorizer says of earlier numbers is read; what cannot be read is not the sender's fault."""
    told = Lanes(4, ((1, 1_764_000_600),), 1_764_000_000)
    assert identity_of(event(ROUTES[0], spread=told.text()), "").lanes == told
    assert identity_of(event(ROUTES[0], spread=""), "").lanes == Lanes(4)  # an answer of an earlier version
    for wrong in ("4", "4 1<2", "x @1", "4 @1 1<2"):
        with pytest.raises(Unavailable):
            identity_of(event(ROUTES[0], spread=wrong), "")
