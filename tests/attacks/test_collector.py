"""Splunk's Event Collector for those who have no token of it: every refusal is the same."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from sentinel.core import hec_tokens
from sentinel.core.alert_notices import event_of, notices
from tests.attacks.deployment import SOURCE, Deployment, Member
from tests.attacks.record import case
from tests.attacks.walk import MARK
from tests.attacks.wire import Client, request

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
EVENT = b'{"event":"%s-collected"}' % MARK.encode()
PATH = "/services/collector/event"
ROUTE = f"POST {PATH}"
CHANNEL = {"X-Splunk-Request-Channel": "11111111-2222-4333-8444-555555555555"}
DECOY = "whsec_" + "A" * 43 + "="  # what unknown webhooks are checked against


@pytest.fixture(scope="module")
def anybody(tree: Deployment) -> Client:
    """Somebody without a certificate."""
    return tree.client(hooks=True)


@pytest.fixture(scope="module")
def others(tree: Deployment) -> dict[str, str]:
    """Secrets of another's webhook (`theirs`), of a disabled one (`closed`), and of one of another source."""
    made = {"theirs": ("mallory", hec_tokens.SOURCE), "closed": ("victim", hec_tokens.SOURCE)}
    found = {}
    for name, (service, source) in {**made, "signs": ("victim", SOURCE)}.items():
        found[name] = tree.keep("webhook secret", tree.app.services.add_hook(name, service, source).secret)
    tree.app.services.disable_hook("closed")
    return found


def test_a_wrong_token_opens_nothing(tree: Deployment, anybody: Client, others: dict[str, str]) -> None:
    """Unknown, disabled, another's secret, another source's webhook: one answer, whatever is wrong."""
    good = tree.hec_token
    secret = good.partition(".")[2]
    tokens = {
        "wrong secret": "events." + "A" * 43,
        "secret cut": good[:-1],
        "secret and one more": good + "A",
        "no secret": "events.",
        "the secret alone": secret,
        "the webhook alone": "events",
        "secret of another webhook": f"events.{others['theirs']}",
        "the right secret, another webhook": f"theirs.{secret}",
        "disabled webhook": f"closed.{others['closed']}",
        "unknown webhook": f"nobodys.{secret}",
        "the decoy's secret": f"nobodys.{DECOY}",
        "webhook of another source": f"signs.{others['signs']}",
        "webhook in capitals": f"EVENTS.{secret}",
        "a GUID": "8a1f0c1e-1111-4222-8333-444455556666",
        "7,000 characters": "events." + "A" * 6_993,
        "dots": "events.." + secret,
        "a service's token": tree.bearer(tree.members["mallory"])["Authorization"].split()[1],
    }
    before = tree.app.inspect.chains("victim")
    words = set()
    for name, token in tokens.items():
        with case("collector", name, GATEWAY, 403) as tried:
            for scheme in ("Splunk", "Bearer"):
                sent = {"Authorization": f"{scheme} {token}", **CHANNEL}
                answer = anybody.ask("POST", PATH, EVENT, sent)
                tried.refused(answer, ROUTE)
                words.add(answer.body)
            basic = base64.b64encode(f"x:{token}".encode()).decode()
            if len(basic) < 8_000:
                tried.refused(anybody.ask("POST", PATH, EVENT, {"Authorization": f"Basic {basic}"}), ROUTE)
    with case("collector", "what a refusal tells apart", GATEWAY) as tried:
        tried.holds(words == {b'{"text":"Invalid token","code":4}'}, f"{words}")
        tried.holds(tree.app.inspect.chains("victim") == before, "something was stored")


def test_a_token_comes_once_and_in_the_header(tree: Deployment, anybody: Client) -> None:
    """Two headers prove nothing; in the query it counts only where the webhook allows it."""
    good = tree.hec_token
    with case("collector", "Authorization twice", GATEWAY, 403) as tried:
        for values in ((good, "x.y"), ("x.y", good), (good, good)):
            lines = [f"Authorization: Splunk {each}" for each in values]
            lines += ["Host: localhost", f"Content-Length: {len(EVENT)}"]
            tried.refused(anybody.one(request("POST", PATH, *lines, body=EVENT)), ROUTE)
    with case("collector", "token in the query", GATEWAY, 400) as tried:
        answer = anybody.ask("POST", f"{PATH}?token={good}", EVENT, CHANNEL)
        tried.refused(answer, ROUTE)
        tried.holds(answer.told["code"] == 16, f"{answer.body!r}")
    with case("collector", "wrong token in the query", GATEWAY, 403) as tried:
        tried.refused(anybody.ask("POST", f"{PATH}?token=events.{'A' * 43}", EVENT, CHANNEL), ROUTE)
    with case("collector", "no token", GATEWAY, 401) as tried:
        tried.refused(anybody.ask("POST", PATH, EVENT, CHANNEL), ROUTE)
    odd = {"no scheme": good, "scheme Digest": f"Digest {good}", "empty": "", "no token": "Splunk"}
    for name, value in odd.items():
        with case("collector", f"Authorization, {name}", GATEWAY, 401) as tried:
            tried.refused(anybody.ask("POST", PATH, EVENT, {"Authorization": value, **CHANNEL}), ROUTE)


def test_health_tells_nothing_of_webhooks(tree: Deployment, anybody: Client, others: dict[str, str]) -> None:
    """A wrong token and one of a disabled or unknown webhook are told alike."""
    words = set()
    path = "/services/collector/health"
    with case("collector", "health with a wrong token", GATEWAY, 400) as tried:
        for token in ("events." + "A" * 43, f"closed.{others['closed']}", "nobodys.AAAAAAAAAAAAAAAA", "x"):
            answer = anybody.ask("GET", path, b"", {"Authorization": f"Splunk {token}"})
            tried.refused(answer, f"GET {path}")
            words.add(answer.body)
    with case("collector", "what health tells apart", GATEWAY) as tried:
        tried.holds(len(words) == 1, f"{words}")
        good = anybody.ask("GET", path, b"", {"Authorization": f"Splunk {tree.hec_token}"})
        tried.holds(good.status == 200, f"{good}")


def test_what_is_huge_or_unpacks_to_it_is_refused(tree: Deployment, anybody: Client) -> None:
    """Over 5,000,000 bytes as sent or as unpacked, though the token is right; nothing of it is stored."""
    auth = {"Authorization": f"Splunk {tree.hec_token}", **CHANNEL}
    before = tree.app.inspect.chains("victim")
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(200)) + packer.flush()
    deep = b"[" * 2_000_000
    with case("collector", "huge body", GATEWAY, 413) as tried:
        tried.refused(anybody.ask("POST", PATH, b" " * 5_000_001, auth))
    with case("collector", "gzip bomb", GATEWAY, 413) as tried:
        tried.refused(anybody.ask("POST", PATH, bomb, {**auth, "Content-Encoding": "gzip"}), ROUTE)
    with case("collector", "200,000 events", GATEWAY, 413) as tried:
        tried.refused(anybody.ask("POST", PATH, b'{"event":1}' * 200_000, auth), ROUTE)
    with case("collector", "query that each of many lines gets", GATEWAY, 413) as tried:
        about = "&".join(f"{name}={'a' * 1_000}" for name in ("host", "source", "index"))
        sent = anybody.ask("POST", f"/services/collector/raw?{about}", b"a\n" * 40_000, auth)
        tried.refused(sent, "POST /services/collector/raw")
    with case("collector", "two million brackets", GATEWAY, 400) as tried:
        answer = anybody.ask("POST", PATH, deep, auth)
        tried.holds(answer.status == 400 and json.loads(answer.body)["code"] == 6, f"{answer}")
    with case("collector", "what of it is stored", GATEWAY) as tried:
        tried.holds(tree.app.inspect.chains("victim") == before, "something was stored")


def test_nobody_passes_for_an_alert(tree: Deployment, anybody: Client, me: Member) -> None:
    """Events and entries of the very form in which a webhook's alert is sealed are stored, and are none."""
    about = {"source": "sentry", "hook": "errors", "id": "1", "alert": 0}
    alert = {"title": f"{MARK} forged", "severity": "critical", "status": "firing", "fingerprint": "7"}
    entry = json.dumps({"event": "x", "time": 1, "webhook": about, "alert": alert}).encode()
    token = {"Authorization": f"Splunk {tree.hec_token}", **CHANNEL}
    sent = {
        "an event": (anybody, PATH, token),
        "an entry": (me.client, "/v1/entries", {"Authorization": f"Bearer {tree.token(me)}"}),
    }
    for name, (client, path, headers) in sent.items():
        with case("collector", f"{name} that looks like another's alert", GATEWAY, 200) as tried:
            tried.holds(client.ask("POST", path, entry, headers).status == 200, "it was refused")
    found = [
        segment
        for chain in tree.app.ledger.chains()
        for segment in tree.app.ledger.read(chain, 0, 10_000)
        if any(b" forged" in each for each in segment.opened.entries)
    ]
    with case("collector", "what it is taken for", GATEWAY) as tried:
        tried.holds(len(found) == len(sent), f"{len(found)} are stored")
        tried.holds(not [each for segment in found for each in notices(segment)], "it is an alert")
        events = [event_of(each.opened.entries[0], each.opened.context) for each in found]
        tried.holds(all(each and each["webhook.source"] is None for each in events), "rules take it for one")
