"""Splunk's Event Collector at its function: API Gateway events in, Splunk's answers out, entries sealed."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core import hec, hec_tokens
from sentinel.core.access import Service, encode
from sentinel.errors import Unavailable
from sentinel.ports_doors import Record
from sentinel.routes import COLLECTOR, COLLECTOR_ROUTES
from tests.functions.hec_senders import SENDERS
from tests.functions.test_api_handlers import event, load, stored

CHANNEL = "22c50c8e-7a3f-4b0a-9d7c-0a1b2c3d4e5f"
EVENT = b'{"event":"a","time":1}'
NAMED = {"X-Splunk-Request-Channel": CHANNEL}
EVENTS = COLLECTOR + "/event"
GUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Desk:
    """An application with the service `shop` and three of its webhooks: plain, with acks, named by a GUID."""

    app: App
    tokens: dict[str, str]
    handler: Callable[[dict[str, Any], Any], dict[str, Any]]

    def send(
        self, body: bytes = EVENT, path: str = EVENTS, token: str = "plain", method: str = "POST", **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """Send a request as `Authorization: Splunk TOKEN`; "" shows none. Return status and answer."""
        headers = {"Authorization": f"Splunk {self.tokens.get(token, token)}"} if token else {}
        sent = event(method, path, body, headers={**headers, **more.pop("headers", {})}, **more)
        del sent["requestContext"]["authorizer"]
        answer = self.handler(sent, None)
        self.headers = answer["headers"]
        return answer["statusCode"], orjson.loads(answer["body"])

    def entries(self, lane: int = 0) -> list[bytes]:
        """Return what is stored, after verifying it."""
        return stored(self.app, f"shop/{lane}")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Begin a deployment."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_LIMITS", "false")
    bootstrap.cache_clear()
    app = bootstrap()
    app.registry.put(Record("service", "shop", encode(Service("shop"))))
    tokens = {}
    for name, options in (("plain", {}), ("acks", {"ack": "true"}), ("1a2b3c4d", {"query_token": "true"})):
        added = app.services.add_hook(name, "shop", hec_tokens.SOURCE, options=options)
        tokens[name] = hec_tokens.token(name, added.secret)
    yield Desk(app, tokens, load("receive"))
    bootstrap.cache_clear()


def refused(reply: hec.Reply, **more: object) -> tuple[int, dict[str, Any]]:
    """Return the answer of a refusal."""
    return reply.status, {"text": reply.text, "code": reply.code, **more}


@pytest.mark.parametrize("name", SENDERS)
def test_what_senders_send_is_sealed(desk: Desk, name: str) -> None:
    """Each sender's request, as its source makes it, is answered 200 and 0, and stored event by event."""
    sent = SENDERS[name]
    token = "acks" if sent.ack else "plain"
    status, told = desk.send(sent.packed, sent.path, token, headers=sent.sent, query=dict(sent.query) or None)
    ack = told.pop("ackId", None)
    assert (status, told) == (200, {"text": "Success", "code": 0})
    assert (ack is not None) is sent.ack
    assert [each.decode() for each in desk.entries()] == list(sent.entries)
    context = orjson.loads(desk.app.ledger.head("shop/0").opened.context)  # type: ignore[union-attr]
    hook = f"hook/splunk-hec/{token}"
    channel = sent.headers.get("X-Splunk-Request-Channel", "")
    assert context["subject"] == hook
    assert context["instance"] == (f"{hook}/{channel}" if channel else hook)
    assert context["endpoint"] == sent.path


def test_who_shows_no_token_or_a_wrong_one(desk: Desk) -> None:
    """2 without, 3 for what is no such header, 4 for everything else; nothing is stored."""
    wrong = {"Authorization": "Digest x"}
    assert desk.send(token="") == refused(hec.NO_TOKEN)
    assert desk.send(token="", headers=wrong) == refused(hec.BAD_AUTHORIZATION)
    assert desk.send(token="", headers={"Authorization": "Splunk"}) == refused(hec.BAD_AUTHORIZATION)
    for token in (
        "plain.x",
        "x",
        "nobody.x",
        desk.tokens["plain"] + "x",
        desk.tokens["acks"][5:],
        "1a2b3c4d-",
    ):
        assert desk.send(token=token) == refused(hec.BAD_TOKEN)
    desk.app.services.disable_hook("plain")
    desk.app.directory._records.clear()
    assert desk.send() == refused(hec.BAD_TOKEN)
    assert list(desk.app.ledger.chains()) == []


def test_each_way_of_showing_a_token(desk: Desk) -> None:
    """Splunk, Bearer, and Basic with the token as the password; a GUID in capitals is one, too."""
    token = desk.tokens["plain"]
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    for value in (f"Splunk {token}", f"Bearer {token}", f"Basic {basic}"):
        assert desk.send(token="", headers={"Authorization": value})[0] == 200
    assert desk.send(token=desk.tokens["1a2b3c4d"].upper())[0] == 200


def test_a_token_in_the_query_counts_where_it_may(desk: Desk) -> None:
    """16 where the webhook does not allow it, which only its owner learns; a header goes before it."""
    assert desk.send(token="", query={"token": desk.tokens["1a2b3c4d"]})[0] == 200
    assert desk.send(token="", query={"token": desk.tokens["plain"]}) == refused(hec.NO_QUERY_TOKEN)
    assert desk.send(token="", query={"token": "plain.x"}) == refused(hec.BAD_TOKEN)
    assert desk.send(token="x.y", query={"token": desk.tokens["1a2b3c4d"]}) == refused(hec.BAD_TOKEN)


def test_two_tokens_count_while_one_is_rotated(desk: Desk) -> None:
    """The old one counts on for the overlap, and each form of token stays what it was."""
    for name in ("plain", "1a2b3c4d"):
        assert desk.send(token=name)[0] == 200
        old = desk.tokens[name]
        desk.app.rotation.now(desk.app.settings.hook_prefix + name)
        new = hec_tokens.token(name, desk.app.services.hook_secret(name))
        assert new != old
        assert [hec_tokens.parse(shown).hook for shown in (new, old)] == [name, name]
        assert [bool(GUID.fullmatch(shown)) for shown in (new, old)] == [name != "plain"] * 2
        bootstrap.cache_clear()
        assert [desk.send(token=token)[0] for token in (old, new)] == [200, 200]
        desk.app = bootstrap()


def test_a_token_of_another_collector_goes_on(desk: Desk) -> None:
    """A GUID that forwarders have already is taken over as it is: its first group is the webhook's id."""
    guid = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"
    shown = hec_tokens.parse(guid)
    desk.app.services.add_hook(shown.hook, "shop", hec_tokens.SOURCE, shown.secret)
    assert desk.send(token=guid)[0] == 200
    assert desk.send(token=guid.lower())[0] == 200


def test_events_before_a_bad_one_are_stored(desk: Desk) -> None:
    """As Splunk has it: the answer has the bad one's number, what stands before it counts, and it alone."""
    body = b'{"event":"a","time":1}{"event":"b","time":2}{"event":""}{"event":"c","time":3}'
    for _ in range(2):  # Docker's driver sends the same again
        status, told = desk.send(body)
        assert (status, told["code"], told["invalid-event-number"]) == (400, 13, 2)
    assert desk.entries() == [b'{"event":"a","time":1}', b'{"event":"b","time":2}']
    assert desk.send(b'{"time":1}') == refused(hec.NO_EVENT, **{"invalid-event-number": 0})
    assert desk.send(b"") == refused(hec.NO_DATA)
    assert len(desk.entries()) == 2


def test_what_is_sent_again_is_stored_once_where_events_have_times(desk: Desk) -> None:
    """Of one webhook and channel; without times the same body is another happening, and never swallowed."""
    for headers in ({}, {}, NAMED, NAMED):
        assert desk.send(b'{"event":"a","time":1}{"event":"a","time":"1"}', headers=headers)[0] == 200
    assert desk.send(b'{"event":"a","time":1}{"event":"a","time":"1"}', token="1a2b3c4d")[0] == 200
    assert len(desk.entries()) == 6
    for _ in range(2):
        assert desk.send(b'{"event":"a","time":1}{"event":"b"}')[0] == 200
        assert desk.send(b"one line", path=COLLECTOR + "/raw", query={"time": "1"})[0] == 200
    assert len(desk.entries()) == 12


def test_many_events_are_several_batches(desk: Desk) -> None:
    """More than one batch holds, in order, and once also when sent again."""
    body = b"".join(b'{"event":%d,"time":%d}' % (n, n) for n in range(25_000))
    for _ in range(2):
        assert desk.send(gzip.compress(body), headers={"Content-Encoding": "gzip"})[0] == 200
    assert [orjson.loads(each)["event"] for each in desk.entries()] == list(range(25_000))


def test_acks(desk: Desk) -> None:
    """An id that was given out on this channel is acked, at once and by any process; others are not."""
    status, told = desk.send(token="acks", headers=NAMED)
    assert status == 200
    assert set(told) == {"text", "code", "ackId"}
    number = told["ackId"]
    assert desk.send(token="acks", headers=NAMED)[1]["ackId"] == number  # sent again: the same events
    bootstrap.cache_clear()
    asked = orjson.dumps({"acks": [number, 0, number + 1]})
    path = COLLECTOR + "/ack"
    wanted = {"acks": {str(number): True, "0": False, str(number + 1): False}}
    assert desk.send(asked, path, "acks", headers=NAMED) == (200, wanted)
    assert desk.send(asked, path, "acks", query={"channel": CHANNEL.upper()}) == (200, wanted)
    other = {"X-Splunk-Request-Channel": CHANNEL.replace("2", "3")}
    assert set(desk.send(asked, path, "acks", headers=other)[1]["acks"].values()) == {False}
    assert desk.send(asked, path, "acks") == refused(hec.NO_CHANNEL)
    assert desk.send(asked, path, "plain", headers=NAMED) == refused(hec.NO_ACKS)
    assert desk.send(asked, path, "") == refused(hec.NO_TOKEN)
    for body in (b"", b"[]", b"{}", b'{"acks":1}', b'{"acks":["1"]}', b'{"acks":[true]}', b'{"acks":[1.5]}'):
        assert desk.send(body, path, "acks", headers=NAMED)[1]["code"] == 6


def test_channels(desk: Desk) -> None:
    """A GUID, needed with acks; in the header or the query."""
    assert desk.send(token="acks") == refused(hec.NO_CHANNEL)
    assert desk.send(token="acks", query={"channel": CHANNEL})[0] == 200
    for token in ("acks", "plain"):
        status, told = desk.send(token=token, query={"channel": "x"})
        assert (status, told["code"]) == (400, 11)


def test_a_channel_has_a_lane(desk: Desk) -> None:
    """Workers with channels of their own spread over a service's lanes; what is sent again finds its own."""
    desk.app.registry.put(Record("service", "shop", encode(Service("shop", lanes=8)), 1))
    desk.app.directory._records.clear()
    channels = [CHANNEL[:-1] + digit for digit in "0123456789abcdef"]
    for channel in channels * 2:
        assert desk.send(headers={"X-Splunk-Request-Channel": channel})[0] == 200
    sizes = [len(desk.entries(lane)) for lane in range(8)]
    assert sum(sizes) == len(channels)
    assert sum(map(bool, sizes)) > 4


def test_health(desk: Desk) -> None:
    """Healthy to everybody; with a token it says whether that is good, and 503 where nobody can say."""
    for path in ("/health", "/health/1.0"):
        ask: dict[str, Any] = {"path": COLLECTOR + path, "method": "GET", "body": b""}
        healthy = (200, {"text": "HEC is healthy", "code": 17})
        assert desk.send(token="", **ask) == healthy
        assert desk.send(**ask, query={"ack": "1"}) == healthy
        assert desk.send(token="plain.x", **ask) == refused(hec.SICK_TOKEN)
        assert desk.send(token="", **ask, headers={"Authorization": "x"}) == refused(hec.SICK_TOKEN)
        assert desk.send(token="", **ask, query={"token": desk.tokens["plain"]})[1]["code"] == 16


def test_what_cannot_be_read_now_is_busy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and 9 with Retry-After, and 18 from health: senders keep what they have."""

    def away(*_: object) -> None:
        raise Unavailable("the registry does not answer", 7.2)

    monkeypatch.setattr(desk.app.registry, "get", away)
    assert desk.send() == refused(hec.BUSY, message="the registry does not answer")
    assert desk.headers["Retry-After"] == "8"
    assert desk.send(b"", COLLECTOR + "/health", method="GET") == refused(hec.UNHEALTHY)


def test_over_the_limits_senders_come_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and 9, of the service's tier, bad requests counted too; whose limits they are is not told."""
    monkeypatch.setattr(desk.app, "settings", replace(desk.app.settings, limits=True))
    desk.app.registry.put(Record("service", "shop", encode(Service("shop", "trial")), 1))
    answers = [desk.send(b"x") for _ in range(20)]
    assert answers[0][1]["code"] == 6
    assert answers[-1] == refused(hec.BUSY, message=answers[-1][1]["message"])
    assert int(desk.headers["Retry-After"]) >= 1
    told = " ".join([str(answers[-1]), *desk.headers, *desk.headers.values()]).lower()
    assert "ratelimit" not in told


def test_what_is_packed_badly_or_unpacks_to_too_much(desk: Desk) -> None:
    """Not gzip and cut off are 6; over the limit is 413; nothing is stored."""
    packed = gzip.compress(EVENT)
    for body, encoding in ((EVENT, "gzip"), (packed[:-3], "gzip"), (EVENT, "br")):
        status, told = desk.send(body, headers={"Content-Encoding": encoding})
        assert (status, told["code"]) == (400, 6)
    bomb = gzip.compress(b" " * 50_000_000)
    status, told = desk.send(bomb, headers={"Content-Encoding": "gzip"})
    assert (status, told["text"]) == (413, "Invalid data format")
    assert list(desk.app.ledger.chains()) == []


def test_docker_sees_that_somebody_is_there(desk: Desk) -> None:
    """Its driver asks OPTIONS without a token before a container starts, and wants a 200."""
    for path in ("", "/event", "/event/1.0"):
        assert desk.send(b"", COLLECTOR + path, "", "OPTIONS")[0] == 200
        assert desk.headers["Allow"] == "POST, OPTIONS"


def test_every_answer_is_of_the_table() -> None:
    """No two replies have one code, but the one that is too large; and all routes are there."""
    codes = [reply.code for reply in hec.REPLIES]
    assert sorted(codes) == sorted([*set(codes), 6])
    assert len(COLLECTOR_ROUTES) == 11


def test_a_webhook_of_alerts_takes_no_events_and_the_other_way_round(desk: Desk) -> None:
    """The token's webhook must be of this source, and `/hooks/splunk-hec/plain` is nothing."""
    added = desk.app.services.add_hook("alerts", "shop", "generic", options={"mapping": "axiom"})
    assert desk.send(token=f"alerts.{added.secret}") == refused(hec.BAD_TOKEN)
    params = {"source": "splunk-hec", "hook": "plain"}
    assert desk.send(path="/hooks/{source}/{hook}", params=params)[0] == 401


def test_a_secret_that_is_damaged_is_nothing_of_the_senders(desk: Desk) -> None:
    """503 and 9: it sends again once somebody has mended it."""
    name = desk.app.settings.hook_prefix + "plain"
    desk.app.door_secrets.put(name, "0" * 32, "not a ring")
    desk.app.door_secrets.promote(name, "0" * 32)
    assert desk.send()[1]["code"] == 9
