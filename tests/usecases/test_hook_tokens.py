"""Access tokens at webhooks: given for a secret, taken of an outside issuer, and all that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core import tokens
from sentinel.core.access import Hook, Service
from sentinel.core.hook_tokens import LIFETIME, audience
from sentinel.core.ring import Key, Ring
from sentinel.errors import Malformed, Unauthenticated, Unavailable
from sentinel.ports_doors import Record
from sentinel.usecases.directory import JWKS
from sentinel.usecases.hook_secrets import COOL_DOWN, FRESH
from sentinel.usecases.hook_tokens import HookTokenIssuer
from sentinel.usecases.receive import MAX_BODY
from sentinel.usecases.signing_keys import SigningKeys
from sentinel.webhooks import SOURCES
from sentinel.webhooks.proofs import SHOWN
from tests.doors import ISSUER, NOW, World, private_key
from tests.usecases.test_outside_issuers import DISCOVERY, Issuer, client, issuer
from tests.usecases.test_receive import Bench
from tests.webhooks.test_standard import OTHER, SECRET

__all__ = ["client", "issuer"]  # fixtures

OAUTH2 = {"auth": "oauth2"}
TAKING = sorted(name for name, kind in SOURCES.items() if set(SHOWN) <= set(kind.options))
BODY = b'{"title":"disk full"}'


class Given(Bench):
    """A deployment with signing keys and the webhook `billing`, which takes tokens."""

    def __post_init__(self) -> None:
        self.ring = Ring((Key("k1", private_key()),))
        super().__post_init__()
        self.secrets.real.create("signing-keys", self.ring.encode())
        told = orjson.dumps(tokens.jwks(self.ring, NOW))
        assert self.registry.put(Record(*JWKS, told))
        self.option(OAUTH2)

    def option(self, options: Mapping[str, str], source: str = "datadog", hook: str = "billing") -> None:
        """Give a webhook options."""
        self.put(Hook(hook, "payments", source, "hooks.billing", options=options))

    def give(self, *given: str, hook: str = "billing") -> str:
        """Return the token that a secret gives."""
        keys = SigningKeys(self.directory, self.secrets.real, "signing-keys", lambda: self.now)
        made = HookTokenIssuer(self.sources, self.kept, keys, ISSUER, lambda: self.now)
        told = made.token(hook, given or [SECRET])
        assert {**told, "access_token": ""} == {
            "access_token": "", "token_type": "Bearer", "expires_in": LIFETIME, "scope": "hook",
        }  # fmt: skip
        return str(told["access_token"])

    def made(self, **changes: Any) -> str:
        """Return a token that is good but for changes of its claims; None takes one away."""
        good = {
            "iss": ISSUER, "aud": audience(ISSUER), "sub": "billing", "client_id": "billing",
            "iat": NOW, "exp": NOW + LIFETIME, "jti": "j" * 22, "scope": "hook",
        }  # fmt: skip
        told = {name: value for name, value in {**good, **changes}.items() if value is not None}
        return tokens.sign(told, tokens.signing_key(self.ring.keys[-1]))

    def passes(self, token: str, source: str = "datadog", hook: str = "billing") -> bool:
        """Whether a message with a token is taken."""
        try:
            self.receiver.admit(source, hook, {"authorization": f"Bearer {token}"}, BODY)
        except Unauthenticated:
            return False
        return True


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A fresh deployment."""
    return Given(tmp_path, NOW)


@pytest.mark.parametrize("source", TAKING)
def test_every_source_that_takes_a_secret_takes_a_token(given: Given, source: str) -> None:
    """With the one option; then the secret itself opens nothing, in whatever header."""
    given.option(OAUTH2, source)
    token = given.give()
    assert given.passes(token, source)
    assert given.passes(token, source)
    assert not given.passes(SECRET, source)
    for headers in ({"x-sentinel-key": SECRET}, {}, {"authorization": f"Basic {token}"}):
        with pytest.raises(Unauthenticated):
            given.receiver.admit(source, "billing", headers, BODY)
    with pytest.raises(Unauthenticated):
        given.receiver.admit(source, "billing", {"authorization": f"Bearer {token}"}, BODY, {"authorization"})
    # A source that ships one day with a secret of its own is to have this, too.
    assert len(TAKING) >= 12


def test_one_of_what_was_given_is_enough(given: Given) -> None:
    """A secret may come in two spellings; none at all, another's, and half of it give nothing."""
    assert given.passes(given.give("x" * 40, SECRET))
    for wrong in ("", OTHER, SECRET[:-1], SECRET + "A", "\ud800"):
        with pytest.raises(Unauthenticated):
            given.give(wrong)


def test_what_gives_no_token(given: Given) -> None:
    """A webhook with other proofs, one that is disabled or not there, another service's end: one refusal."""
    given.put(Hook("plain", "payments", "datadog", "hooks.billing"))
    given.put(Hook("signed", "payments", "standard-webhooks", "hooks.billing"))
    given.put(Hook("shut", "payments", "datadog", "hooks.billing", disabled=True, options=OAUTH2))
    given.option({"auth": "jwt", "issuer": "https://x", "audience": "a", "parties": "p"}, hook="outside")
    given.put(Service("ended", disabled=True))
    given.put(Hook("of-ended", "ended", "datadog", "hooks.billing", options=OAUTH2))
    words = set()
    for hook in ("plain", "signed", "shut", "outside", "of-ended", "nobodys", "", "x" * 65):
        with pytest.raises(Unauthenticated) as refused:
            given.give(hook=hook)
        words.add(str(refused.value))
    with pytest.raises(Unauthenticated) as refused:
        given.give(OTHER)
    assert words == {str(refused.value)}


def test_a_secret_that_is_too_short_gives_none(given: Given) -> None:
    """As it proves nothing at the webhook itself."""
    given.rotate("short")
    with pytest.raises(Unauthenticated):
        given.give("short")


def test_a_secret_that_was_rotated(given: Given) -> None:
    """Both give tokens until the old one ends; what it gave counts until it ends by itself."""
    token = given.give()
    given.now += FRESH + COOL_DOWN
    given.rotate(OTHER, overlap=100)
    assert given.passes(given.give(OTHER))
    assert given.passes(given.give(SECRET))
    given.now += 101
    with pytest.raises(Unauthenticated):
        given.give(SECRET)
    assert given.passes(token)
    given.now = NOW + LIFETIME + tokens.SKEW
    assert not given.passes(token)


def test_a_webhook_that_is_disabled_refuses_its_tokens(given: Given) -> None:
    """At once, though they count for longer."""
    token = given.give()
    given.put(Hook("billing", "payments", "datadog", "hooks.billing", disabled=True, options=OAUTH2))
    assert not given.passes(token)


def test_a_signing_key_that_ended_ends_its_tokens(given: Given) -> None:
    """A token of a key that is published no more is none."""
    token = given.give()
    record = given.registry.get(*JWKS)
    assert record is not None
    assert given.registry.put(Record(*JWKS, b'{"keys":[]}', record.version))
    given.now += 10
    assert not given.passes(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "other", "client_id": "other"},
        {"client_id": "other"},
        {"aud": "sentinel"},
        {"aud": f"{ISSUER}/approve"},
        {"aud": None},
        {"iss": "https://other.example"},
        {"exp": NOW - tokens.SKEW, "iat": NOW - 600},
        {"exp": NOW + 1_000},
        {"iat": NOW + tokens.SKEW + 1},
        {"nbf": NOW + tokens.SKEW + 1},
        {"iat": None},
        {"jti": None},
        {"cnf": {"x5t#S256": "A" * 43}},
        {"cnf": {}},
    ],
    ids=str,
)
def test_a_token_that_is_good_but_for_one_claim(given: Given, changes: dict[str, Any]) -> None:
    """Signed with our own key, and refused; the one without changes passes."""
    assert given.passes(given.made())
    assert not given.passes(given.made(**changes))


def test_the_service_api_refuses_tokens_of_webhooks() -> None:
    """For want of an audience, and for want of a binding where the audience were its own."""
    world = World()
    for aud in (audience(ISSUER), "sentinel", [audience(ISSUER), "sentinel"]):
        with pytest.raises(Unauthenticated):
            world.admit(world.token(aud=aud, cnf=None, scope="hook"))
    with pytest.raises(Unauthenticated):
        world.admit(world.token(aud=audience(ISSUER)))
    assert world.admit(world.token())


def test_all_refusals_have_the_same_words(given: Given) -> None:
    """A wrong token, a good one elsewhere, no webhook, none at all: nothing says which it was."""
    given.put(Hook("plain", "payments", "elastic", "hooks.billing"))
    token, words = given.give(), set()
    for source, hook, headers in (
        ("datadog", "billing", {"authorization": f"Bearer {token}x"}),
        ("datadog", "billing", {}),
        ("datadog", "nobodys", {"authorization": f"Bearer {token}"}),
        ("elastic", "plain", {"authorization": f"Bearer {token}"}),
        ("elastic", "billing", {"authorization": f"Bearer {token}"}),
    ):
        with pytest.raises(Unauthenticated) as refused:
            given.receiver.admit(source, hook, headers, BODY)
        words.add(str(refused.value))
    assert len(words) == 1


def test_a_refusal_is_worked_for_alike(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of proofs are looked at, whichever kind a webhook takes and whether or not there is one."""
    given.option({}, "pagerduty", "signed")
    given.option(OAUTH2, "pagerduty", "taking")
    body = b"x" * MAX_BODY
    headers = {
        "authorization": f"Bearer {given.made(sub='x', client_id='x')}",
        "x-pagerduty-signature": "v1=0",
    }
    done: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            done.append(name)
            return real(*arguments, **more)

        return call

    from sentinel.core import jws
    from sentinel.webhooks import credentials

    monkeypatch.setattr(jws, "check", counted("token", jws.check))
    monkeypatch.setattr(credentials, "check_signatures", counted("mac", credentials.check_signatures))
    for hook in ("signed", "taking", "nobodys"):
        done.clear()
        given.now += 1
        with pytest.raises(Unauthenticated):
            given.receiver.admit("pagerduty", hook, headers, body)
        assert set(done) == {"token", "mac"}, hook


@pytest.fixture
def outside(tmp_path: Path, issuer: Issuer, client: HttpClient) -> Given:
    """The webhook `billing` takes tokens for `hooks-of-ours` that were given to `app-1`."""
    made = Given(tmp_path, NOW, http=client, issuers=f"{issuer.name}=api")
    made.option(taken(issuer))
    return made


def taken(issuer: Issuer, **changes: str) -> dict[str, str]:
    """Return the options of a webhook for an issuer's tokens, with changes; "" takes one away."""
    good = {"auth": "jwt", "issuer": issuer.name, "audience": "hooks-of-ours", "parties": "app-1, app-2"}
    return {name: value for name, value in {**good, **changes}.items() if value}


def test_tokens_of_an_outside_issuer(outside: Given, issuer: Issuer) -> None:
    """For the webhook's own audience, given to one of its parties under whichever name, valid for a day."""
    for claims in ({"azp": "app-1"}, {"appid": "app-2"}, {"client_id": "app-1", "azp": "app-2"}):
        assert outside.passes(issuer.token(aud="hooks-of-ours", **claims)), claims
    assert outside.passes(issuer.token(aud="hooks-of-ours", azp="app-1", exp=NOW + 86_700))
    assert issuer.asked == [DISCOVERY, "/keys"]
    outside.option(taken(issuer, parties="", subjects="build"))
    assert outside.passes(issuer.token(aud="hooks-of-ours"))
    outside.option(taken(issuer, subjects="build"))
    assert outside.passes(issuer.token(aud="hooks-of-ours", azp="app-1"))
    assert not outside.passes(issuer.token(aud="hooks-of-ours", azp="app-1", sub="other"))
    assert not outside.passes(issuer.token(aud="hooks-of-ours", azp="app-3"))


@pytest.mark.parametrize(
    "changes",
    [
        {"azp": "app-3"},
        {"azp": None},
        {"azp": "app-1", "appid": "app-3"},
        {"azp": ["app-1"]},
        {"azp": None, "sub": "app-1"},
        {"aud": "api"},
        {"aud": None},
        {"iss": "https://localhost/other"},
        {"exp": NOW - tokens.SKEW},
        {"exp": NOW + 90_001},
        {"nbf": NOW + tokens.SKEW + 1},
        {"cnf": {"x5t#S256": "A" * 43}},
        {"cnf": {"jkt": "A" * 43}},
    ],
    ids=str,
)
def test_an_outside_token_that_is_good_but_for_one_claim(
    outside: Given,
    issuer: Issuer,
    changes: dict[str, Any],
) -> None:
    """Signed by the issuer, and refused."""
    assert not outside.passes(issuer.token(**{"aud": "hooks-of-ours", "azp": "app-1", **changes}))


def test_neither_issuers_tokens_count_for_the_other(outside: Given, issuer: Issuer) -> None:
    """Ours are refused where an outside issuer's are taken, and the other way round; so is another key."""
    assert not outside.passes(outside.made())
    assert not outside.passes(outside.made(iss=issuer.name, aud="hooks-of-ours", azp="app-1"))
    outside.option(OAUTH2)
    told = {"aud": audience(ISSUER), "sub": "billing", "client_id": "billing", "jti": "j"}
    assert not outside.passes(issuer.token(**told))
    assert not outside.passes(issuer.token(**told, iss=ISSUER))


def test_no_option_of_a_webhook_makes_us_ask_anybody(tmp_path: Path, issuer: Issuer) -> None:
    """An issuer that the deployment does not list is not asked; its sender is told to come again."""
    http = HttpClient(Hosts(["localhost"], private=True), context=issuer.trust)
    bench = Given(tmp_path, NOW, http=http)
    bench.option(taken(issuer))
    with pytest.raises(Unavailable):
        bench.passes(issuer.token(aud="hooks-of-ours", azp="app-1"))
    assert issuer.asked == []
    http.close()


def test_strangers_make_us_ask_nobody(outside: Given, issuer: Issuer) -> None:
    """A token of a listed issuer is looked up at a webhook that takes it, and nowhere else."""
    outside.option({}, hook="plain")
    outside.option(OAUTH2, hook="own")
    for hook in ("plain", "own", "nobodys"):
        assert not outside.passes(issuer.token(aud="hooks-of-ours", azp="app-1"), hook=hook)
    assert not outside.passes("not.a.token")
    assert issuer.asked == []


def test_an_issuer_that_is_away(outside: Given, issuer: Issuer) -> None:
    """Its sender is told to come again, not that it is somebody else."""
    issuer.answers.clear()
    with pytest.raises(Unavailable):
        outside.passes(issuer.token(aud="hooks-of-ours", azp="app-1"))


@pytest.mark.parametrize(
    "options",
    [
        {"auth": "token"},
        {"auth": "oauth2", "header": "x-key"},
        {"auth": "oauth2", "user": "x"},
        {"auth": "oauth2", "issuer": "https://x"},
        {"issuer": "https://x"},
        {"auth": "secret", "parties": "x"},
        {"auth": "jwt"},
        {"auth": "jwt", "issuer": "https://x", "audience": "a"},
        {"auth": "jwt", "issuer": "https://x", "audience": "a", "subjects": " , "},
        {"auth": "jwt", "issuer": "https://x", "parties": "p"},
        {"auth": "jwt", "issuer": "http://x", "audience": "a", "parties": "p"},
        {"auth": "jwt", "issuer": "https://x", "audience": "a", "parties": "p", "header": "x-key"},
    ],
    ids=str,
)
@pytest.mark.parametrize("source", ["datadog", "sentry", "generic"])
def test_options_that_do_not_go_together(source: str, options: dict[str, str]) -> None:
    """Said when the webhook is added, not when its first message is refused."""
    if source == "sentry" and "auth" not in options:
        options = {**options, "auth": "signature"}
    with pytest.raises(Malformed):
        SOURCES[source].make(options)
