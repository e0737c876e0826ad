"""Webhooks that take access tokens: tokens that must not count there, and those of theirs anywhere else."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.attacks import tokens, walk
from tests.attacks.deployment import SOURCE, Deployment, Member
from tests.attacks.guessing import slowed
from tests.attacks.record import Answer, case
from tests.attacks.test_certificates import basic
from tests.attacks.tokens import ME, Mint
from tests.attacks.walk import MARK
from tests.attacks.wire import Client

pytestmark = pytest.mark.xdist_group("attacks")

FAMILY, GATEWAY = "webhook tokens", "gateway"
TOKEN, HOOK = "/oauth/token", "/hooks/datadog/monitors"
ROUTE = "POST /hooks/{source}/{hook}"
GRANT = urlencode({"grant_type": "client_credentials"}).encode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# What is wrong with these at the service API is as it should be here: no binding, or nothing of it.
BOUND = {name for name in tokens.BAD if "cnf" in name or "certificate" in name or "bound" in name}
NO_HTTP = {"over 8,192 characters": 400}


@dataclass
class HookMint(Mint):
    """Makes tokens that are good at the webhook `monitors`, but for what is changed."""

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims with changes; None takes one away."""
        good = {"aud": f"{self.issuer}/hooks", "sub": "monitors", "client_id": "monitors", "cnf": None}
        return super().claims(**{**good, "scope": "hook", **changes})


def mint(tree: Deployment) -> HookMint:
    """Return the forger, who has the deployment's signing key."""
    made = tree.mint()
    return HookMint(**{each.name: getattr(made, each.name) for each in fields(Mint)})


@pytest.fixture(scope="module")
def anybody(tree: Deployment) -> Client:
    """Somebody without a certificate."""
    return tree.client(hooks=True)


def tell(client: Client, token: str, path: str = HOOK) -> Answer:
    """Send a webhook's message with a token."""
    body = json.dumps({"title": f"{MARK}-{time.monotonic_ns()}"}).encode()
    return client.ask("POST", path, body, {"Authorization": f"Bearer {token}"})


def given(tree: Deployment, client: Client, hook: str = "monitors") -> str:
    """Return the token that a webhook's secret gives."""
    answer = client.ask("POST", TOKEN, GRANT, FORM | basic(hook, tree.token_secrets[hook]))
    assert answer.status == 200, answer
    return tree.keep("token", str(answer.told["access_token"]))


def test_a_good_token_is_served(tree: Deployment, anybody: Client) -> None:
    """One that was given, one that the forger makes, and the same one again: it is a bearer's."""
    token = given(tree, anybody)
    assert [tell(anybody, token).status for _ in range(2)] == [200, 200]
    assert tell(anybody, tree.keep("token", mint(tree).good())).status == 200


@pytest.mark.parametrize("name", sorted(set(tokens.BAD) - BOUND))
def test_a_token_that_is_good_but_for_one_thing_tells_nothing(
    tree: Deployment, anybody: Client, name: str
) -> None:
    """Signed with the deployment's own key where the case is not about that."""
    with case(FAMILY, name, GATEWAY, NO_HTTP.get(name, 401)) as tried:
        token = tree.keep("token", tokens.BAD[name](mint(tree)))
        tried.refused(tell(anybody, token), ROUTE)


def test_a_token_is_good_at_its_own_webhook_alone(tree: Deployment, anybody: Client, me: Member) -> None:
    """Not at another one, nor at one that takes secrets or is not there; and the secret itself is none."""
    mine = given(tree, anybody, "mallorys-monitors")
    words = set()
    cases = {
        "of another webhook": (HOOK, mine),
        "at a webhook that takes signatures": (f"/hooks/{SOURCE}/bills", given(tree, anybody)),
        "at a webhook that is not there": ("/hooks/datadog/nobodys", given(tree, anybody)),
        "at another source": ("/hooks/elastic/monitors", given(tree, anybody)),
        "the secret itself": (HOOK, tree.token_secrets["monitors"]),
        "of the service API": (HOOK, tree.token(me)),
        "of the service API, for our audience": (
            HOOK,
            tree.keep("token", mint(tree).good(cnf={"x5t#S256": me.held.thumbprint})),
        ),
        "a link's": (HOOK, tree.link(sub="monitors")),
    }
    for name, (path, token) in cases.items():
        with case(FAMILY, name, GATEWAY, 401) as tried:
            answer = tell(anybody, token, path)
            tried.refused(answer, ROUTE)
            words.add(answer.body)
    with case(FAMILY, "what a refusal tells apart", GATEWAY) as tried:
        tried.holds(len(words) == 1, f"{len(words)} different refusals")


def test_a_webhooks_token_opens_no_route_of_the_service_api(
    tree: Deployment, anybody: Client, me: Member
) -> None:
    """With a good client certificate, of a webhook that has the service's name, for either audience."""
    forger, issuer = mint(tree), tree.app.settings.issuer
    named = {"sub": ME, "client_id": ME, "scope": "ingest tasks:read admin"}
    made = {
        "at the service API": given(tree, anybody, "mallorys-monitors"),
        "at the service API, of its name": tree.keep("token", forger.good(**named)),
        "at the service API, for its audience": tree.keep(
            "token", forger.good(**named, aud=[tree.app.settings.audience, f"{issuer}/hooks"])
        ),
    }
    for name, token in made.items():
        with case(FAMILY, name, GATEWAY, 401) as tried:
            for target in walk.service("token"):
                headers = {**target.headers, "Authorization": f"Bearer {token}"}
                tried.refused(me.client.ask(target.method, target.path, target.body, headers), str(target))


def test_no_token_without_the_secret(tree: Deployment, anybody: Client) -> None:
    """A wrong secret, another's, a webhook that takes no tokens or is not there: one and the same refusal."""
    mine = tree.token_secrets["mallorys-monitors"]
    clients = {
        "wrong secret": ("monitors", mine[:-4] + "AAA="),
        "another webhook's secret": ("monitors", mine),
        "no secret": ("monitors", ""),
        "a webhook that takes signatures": ("bills", tree.hook_secret),
        "a webhook that is not there": ("nobodys", mine),
        "the decoy's secret": ("nobodys", "A" * 50),
        "a service and its key": (ME, tree.members[ME].api_key),
        "webhook in capitals": ("MALLORYS-MONITORS", mine),
    }
    words: dict[str, bytes] = {}
    for name, (hook, secret) in clients.items():
        with case(FAMILY, name, GATEWAY, 401) as tried:
            answer = anybody.ask("POST", TOKEN, GRANT, FORM | basic(hook, secret))
            tried.refused(answer, f"POST {TOKEN}")
            words[name] = answer.body
    del words["no secret"]
    with case(FAMILY, "what a refusal of a secret tells apart", GATEWAY) as tried:
        tried.holds(len(set(words.values())) == 1, f"{words}")
    forms = {
        "another grant": {"grant_type": "password"},
        "no grant": {"scope": "hook"},
        "client named twice": {"grant_type": "client_credentials", "client_secret": mine},
    }
    for name, form in forms.items():
        with case(FAMILY, name, GATEWAY, 400) as tried:
            body = urlencode(form).encode()
            answer = anybody.ask("POST", TOKEN, body, FORM | basic("mallorys-monitors", mine))
            tried.refused(answer, f"POST {TOKEN}")


def test_guessing_a_webhooks_secret_is_slowed(tree: Deployment, anybody: Client) -> None:
    """Ten wrong secrets a minute of one webhook, then not even the right one; others are not held up."""
    made = tree.app.services.add_hook("guessed", ME, "datadog", options={"auth": "oauth2"})
    right = tree.keep("webhook secret", made.secret)
    with case(FAMILY, "brute force", GATEWAY, 401, 429) as tried:

        def ask(secret: str) -> Answer:
            return anybody.ask("POST", TOKEN, GRANT, FORM | basic("guessed", secret))

        slowed(tried, lambda number: ask(f"whsec_{number:044}"), lambda: ask(right), f"POST {TOKEN}")
        tried.holds(given(tree, anybody), "another webhook is held up")


def test_a_webhook_that_is_disabled_takes_no_token(tree: Deployment, anybody: Client) -> None:
    """Nor gives one: what was given before ends with it."""
    made = tree.app.services.add_hook("ended", ME, "datadog", options={"auth": "oauth2"})
    tree.token_secrets["ended"] = tree.keep("webhook secret", made.secret)
    token = given(tree, anybody, "ended")
    assert tell(anybody, token, "/hooks/datadog/ended").status == 200
    tree.app.services.disable_hook("ended")
    time.sleep(max(0.0, tree.fresh() - time.monotonic()))
    with case(FAMILY, "of a webhook that was disabled", GATEWAY, 401) as tried:
        tried.refused(tell(anybody, token, "/hooks/datadog/ended"), ROUTE)
        answer = anybody.ask("POST", TOKEN, GRANT, FORM | basic("ended", tree.token_secrets["ended"]))
        tried.refused(answer, f"POST {TOKEN}")


ORIGINS = {
    "another origin": ("cloudevents/cloud", "evil.example"),
    "no origin": ("cloudevents/cloud", ""),
    "all origins": ("cloudevents/cloud", "*"),
    "an origin below": ("cloudevents/cloud", "x.sender.example"),
    "a line more": ("cloudevents/cloud", "sender.example, evil.example"),
    "a webhook that is not there": ("cloudevents/nobodys", "sender.example"),
    "another source's webhook": (f"{SOURCE}/bills", "sender.example"),
    "an unknown source": ("nothing/cloud", "sender.example"),
}


def test_who_may_not_send_is_not_told_why(tree: Deployment, anybody: Client) -> None:
    """The handshake of CloudEvents says no in one way, whether there is such a webhook or not."""
    words = set()
    for name, (path, origin) in ORIGINS.items():
        with case("handshake", name, GATEWAY, 405) as tried:
            headers = {"WebHook-Request-Origin": origin, "WebHook-Request-Callback": "https://evil.example/"}
            answer = anybody.ask("OPTIONS", f"/hooks/{path}", b"", headers)
            tried.refused(answer, "OPTIONS /hooks/{source}/{hook}")
            tried.holds(not answer.header("webhook-allowed-origin"), f"{answer}")
            words.add((answer.body, answer.header("allow")))
    with case("handshake", "what a refusal tells apart", GATEWAY) as tried:
        tried.holds(len(words) == 1, f"{words}")
