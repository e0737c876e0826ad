"""The parts of the local gateway that need no socket: paths, policies, names, and what is kept fresh."""

from __future__ import annotations

import fnmatch
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.bootstrap import App
from sentinel.core.access import Service
from sentinel.core.certificates import read
from sentinel.local import clients, doors
from sentinel.local.door import DEFAULT_SERVICE, OpenDoor
from sentinel.local.fronts import open_routes
from sentinel.local.paths import Paths
from sentinel.local.peer import distinguished
from sentinel.local.policies import decision_of, wildcard
from sentinel.local.refusals import Refusal
from sentinel.routes import HOOK_ROUTES, ROUTES, Route
from sentinel.settings import Settings

DAY = 86_400


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "/v1/tasks/a%2Fb", {"task": "a/b"}),
        ("PATCH", "/v1/proxy/shop/a/b", {"upstream": "shop", "path": "a/b"}),
        ("GET", "/v1/proxy/shop/%2e%2e/x", {"upstream": "shop", "path": "../x"}),
        ("GET", "/v1/proxy/shop//x", {"upstream": "shop", "path": "/x"}),
        ("GET", "/.well-known/jwks.json", {}),
    ],
)
def test_paths_find_their_routes(method: str, path: str, params: dict[str, str]) -> None:
    """A parameter is one segment, a greedy one the rest; both reach the function decoded."""
    assert Paths.of(ROUTES).find(method, path)[1] == params


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/proxy/shop", 404),
        ("GET", "/v1/proxy/shop/", 404),
        ("GET", "/v1/tasks/a/b", 404),
        ("GET", "/x.well-known/jwks.json", 404),
        ("GET", "/-well-known/jwks.json", 404),
        ("GET", "/v1/entries", 405),
        ("POST", "/hooks/a/b", 404),
        ("GET", "/v1/entries/", 404),
        ("GET", "//v1/entries", 404),
    ],
)
def test_paths_that_are_none(method: str, path: str, status: int) -> None:
    """Whatever is no route is 404, another method of one 405; a dot is a dot."""
    with pytest.raises(Refusal) as refused:
        Paths.of(ROUTES).find(method, path)
    assert refused.value.status == status


def test_a_path_that_is_spelled_out_goes_first() -> None:
    """However the routes are ordered, the most particular one is found."""
    routes = [Route("GET", "/a/{b+}", "greedy"), Route("GET", "/a/{b}", "one"), Route("GET", "/a/b", "exact")]
    found = [Paths.of(routes).find("GET", path)[0].function for path in ("/a/b", "/a/c", "/a/c/d")]
    assert found == ["exact", "one", "greedy"]


@given(st.text("ab*?/.[]\\+\n", max_size=12), st.text("ab*?/.[]\\+\n", max_size=12))
def test_wildcards_are_star_and_question_mark_alone(pattern: str, text: str) -> None:
    """A resource of a policy means what a shell's pattern without brackets does, slashes included."""
    escaped = pattern.replace("[", "[[]")
    assert bool(wildcard(pattern).fullmatch(text)) == bool(re.match(fnmatch.translate(escaped), text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=4),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["principalId", "policyDocument", "Statement", "Effect", "Action", "Resource", "context"]
                ),
                x,
            )
        ),
        max_leaves=12,
    )
)
def test_an_authorizers_answer_of_any_form_is_a_decision_or_an_error(answer: object) -> None:
    """Nothing that a function may return breaks the gateway, and nonsense allows nothing."""
    try:
        decision = decision_of(answer)
    except ValueError:
        return
    assert not decision.allows("arn:aws:execute-api:local:000000000000:local/live/GET/v1/chains")


def test_names_are_told_as_openssl_and_api_gateway_do() -> None:
    """RFC 4514: the last part first, and what has a meaning is escaped."""
    name = ((("countryName", "DE"),), (("organizationName", "a+b, c"), ("commonName", " x ")))
    assert distinguished(name) == "O=a\\+b\\, c+CN=\\ x\\ ,C=DE"
    assert distinguished(((("1.2.3", "#\0"),),)) == "1.2.3=\\#\\00"


def test_without_doors_there_are_no_routes_about_them() -> None:
    """`--insecure` has no tokens, certificates or keys, and every other route."""
    told = {route.path for route in ROUTES} - {route.path for route in open_routes(ROUTES)}
    assert told == {"/v1/token", "/v1/certificate", "/.well-known/jwks.json"}
    signed = [route.path for route in HOOK_ROUTES if route.door == "signature"]
    assert signed[0] == "/hooks/{source}/{hook}"
    assert all(path.startswith("/services/collector") for path in signed[1:])
    assert DEFAULT_SERVICE == "local"
    assert OpenDoor() == OpenDoor()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with everything that the doors need."""
    made = Settings(home=str(tmp_path / "home"))
    doors.prepare(made)
    return made


def test_door_seconds_are_never_more_than_was_asked_for() -> None:
    """What the functions keep and what the gateway keeps are together at most the setting."""
    for seconds in range(61):
        kept = doors.directory_seconds(seconds)
        gateway = doors.DECISION_SECONDS if kept > 0 else 0
        assert 0 <= kept + gateway <= seconds


def _aged(settings: Settings, days: int) -> App:
    """Return an application whose clock is so many days behind."""
    app = App(settings)
    app.authority._clock = lambda: time.time() - days * DAY
    return app


def test_what_is_due_is_renewed_and_what_was_rotated_is_written_down(tmp_path: Path) -> None:
    """Past day 60 both kinds of certificates are new ones; a rotated API key reaches its file."""
    settings = Settings(home=str(tmp_path / "home"))
    old = _aged(settings, 61)
    doors._make(old)
    old.services.add(Service("shop"))
    folder = clients.folder_of(old.home, "shop")
    from sentinel.local.certificates import clients_pair

    pair = clients_pair(old.home, "shop")
    with pair.locked():
        pair.finish(old.authority.issue("shop", pair.begin()))
    server, client = (
        (old.home / name).read_bytes() for name in ("tls/server.pem", "clients/shop/certificate.pem")
    )
    app = App(settings)
    app.rotation.now(app.services.secret_of("shop"))
    told: list[str] = []
    doors.tend(settings, told.append)
    assert (old.home / "tls" / "server.pem").read_bytes() != server
    fresh = (folder / "certificate.pem").read_bytes()
    assert fresh != client
    assert read(fresh.decode()).not_after > time.time() + 89 * DAY
    key = (folder / "api-key").read_text()
    assert key == app.door_secrets.value(app.services.secret_of("shop"))
    again = [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    doors.tend(settings, told.append)
    assert [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()] == again
    assert told == []


def test_tending_does_not_undo_what_was_taken_away(settings: Settings) -> None:
    """A revoked certificate and one of a disabled service get no successor by themselves."""
    app = App(settings)
    for service in ("revoked", "disabled"):
        clients.enrol(app, service, lambda _: None)
    before = {
        each: (app.home / "clients" / each / "certificate.pem").read_bytes()
        for each in ("revoked", "disabled")
    }
    app.authority.revoke("revoked")
    app.services.disable("disabled")
    told: list[str] = []
    doors.tend(settings, told.append)
    assert sorted(each.split(":")[0] for each in told) == ["revoked"]
    for service, pem in before.items():
        assert (app.home / "clients" / service / "certificate.pem").read_bytes() == pem


def test_a_store_that_is_away_is_told_and_tried_again(settings: Settings) -> None:
    """Looking after the doors never ends the supervisor."""
    tls = Path(settings.home) / "tls"
    tls.rename(tls.with_name("kept"))
    tls.touch()
    told: list[str] = []
    doors.tend(settings, told.append)
    assert len(told) == 1
    assert "could not be looked after" in told[0]
    tls.unlink()
    tls.with_name("kept").rename(tls)
    doors.tend(settings, told.append)
    assert len(told) == 1


def test_a_folder_that_is_no_service_is_left_alone(settings: Settings) -> None:
    """What somebody put below `clients/` by hand is told, and hinders nothing else."""
    for name in (".odd", "unknown"):
        (Path(settings.home) / "clients" / name).mkdir(parents=True)
    clients.enrol(App(settings), "shop", lambda _: None)
    shop = Path(settings.home) / "clients" / "shop" / "api-key"
    shop.write_text("lost")
    told: list[str] = []
    doors.tend(settings, told.append)
    assert sorted(each.split(":")[0] for each in told) == [".odd", "unknown"]
    assert shop.read_text() != "lost"
