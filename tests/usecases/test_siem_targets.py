"""siem.send to each kind of SIEM end to end: refusals, throttling, partial failures and lost replies."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from examples.loopback_hec import Collector, Server
from sentinel import actions, siem
from sentinel.actions.siem_send import PARKED
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.steps import Action, Again, Done, Failed, Nothing, Outcome, Probing, Unknown
from sentinel.core.tasks import SECOND
from sentinel.siem.microsoft_sentinel import COLUMNS
from tests.loopback import Asked, Told
from tests.siem_targets import Application, Datadog, Elastic, MicrosoftSentinel, Target
from tests.steps import step_run

KEY = "canary-4f6d1c"
TENANT = "00000000-0000-4000-8000-00000000000a"
CLIENT = "00000000-0000-4000-8000-00000000000b"
RULE = f"dcr-{'0' * 31}1"
STREAM = "Custom-SentinelAlerts_CL"


class Deployment:
    """What siem.send works with; `now` is the time of tokens."""

    def __init__(self, folder: Path) -> None:
        (folder / "secrets").mkdir()
        self.folder = folder
        self.secret("key", KEY)
        self.now = 0
        self.http = HttpClient(Hosts(["127.0.0.1"], private=True))
        self.sinks: dict[str, siem.SinkConfig] = {}
        self.action: Action = actions.build(
            self.http,
            AppendFiles(folder / "files"),
            FileSecrets(folder / "secrets"),
            lambda: self.sinks,
            clock=lambda: self.now,
            sleep=lambda _: None,
        )["siem.send"]

    def secret(self, name: str, value: str) -> None:
        """Store a secret."""
        path = self.folder / "secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def configure(self, **told: Any) -> None:
        """Push a sink document with the one sink `it`."""
        body = {"sinks": {"it": {"token": "key", "timeout": 2, **told}}}
        self.sinks = siem.load("sinks", json.dumps(body).encode())

    def send(self, count: int = 3, previous: Outcome | None = None, **more: Any) -> Outcome:
        """Carry the step out, after `previous` in the next try; no outcome may hold a secret or a body."""
        entries = more.pop("entries", None) or [b'{"n":%d}' % number for number in range(count)]
        if isinstance(previous, Again):
            done = orjson.loads(orjson.dumps(previous.done))
            more |= {"done": done, "resumed": True, "tries": 1}
        found = self.action.perform(step_run("siem.send", {"to": ["it"]}, entries, **more))
        assert "canary" not in repr(found)
        return found


@pytest.fixture
def it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Deployment]:
    """Give a deployment; afterwards no log line and no output may hold a secret."""
    caplog.set_level(logging.DEBUG)
    found = Deployment(tmp_path)
    yield found
    found.http.close()
    assert "canary" not in caplog.text
    assert "canary" not in "".join(capfd.readouterr())


@pytest.fixture
def elastic(it: Deployment) -> Iterator[Elastic]:
    """Give an Elasticsearch that the sink is set up for."""
    found = Elastic(f"ApiKey {KEY}")
    it.configure(kind="elastic", url=found.url)
    yield found
    found.server.stop()


@pytest.fixture
def datadog(it: Deployment) -> Iterator[Datadog]:
    """Give a log intake that the sink is set up for."""
    found = Datadog(KEY)
    it.configure(kind="datadog", url=found.url, tags=["env:test"])
    yield found
    found.server.stop()


@pytest.fixture
def microsoft(it: Deployment) -> Iterator[MicrosoftSentinel]:
    """Give a data collection rule, and Entra, that the sink is set up for."""
    found = MicrosoftSentinel(Application(TENANT, CLIENT, KEY), RULE, STREAM)
    _configure(it, found)
    yield found
    found.server.stop()


@pytest.fixture
def crowdstrike(it: Deployment) -> Iterator[Server]:
    """Give a connector that the sink is set up for."""
    server = Server(Collector(KEY))
    server.start()
    it.configure(kind="crowdstrike", url=server.url)
    yield server
    server.shutdown()
    server.server_close()


def _configure(it: Deployment, to: MicrosoftSentinel, **more: str) -> None:
    told = {"rule": RULE, "stream": STREAM, "tenant": TENANT, "client": CLIENT}
    it.configure(kind="microsoft_sentinel", endpoint=to.url, authority=to.url, **(told | more))


def test_elastic_gets_each_document_once_in_batches(it: Deployment, elastic: Elastic) -> None:
    """2,001 entries are three requests and 2,001 documents, of the data stream's fields and in ECS."""
    assert it.send(2001) == Done({"delivered": 2001, "sinks": ["it"]})
    assert elastic.requests == [1000, 1000, 1]
    assert [each["event"]["sequence"] for each in elastic.documents.values()] == list(range(2001))
    first = next(iter(elastic.documents.values()))
    assert first["data_stream"] == {"type": "logs", "dataset": "sentinel.alerts", "namespace": "default"}
    assert first["event"]["original"] == '{"n":0}'
    assert first["rule"] == {"id": "rule-1", "name": "A burst"}


@pytest.mark.parametrize("lost", [{1}, {2}, {3}, {1, 2, 3, 4, 5}, {1, 3, 5, 7}], ids=str)
def test_lost_replies_leave_each_document_once_at_elastic(
    it: Deployment, elastic: Elastic, lost: set[int]
) -> None:
    """Whichever replies are lost, what was taken is not taken again, and each try ends well or waits."""
    elastic.trouble.lost = frozenset(lost)
    found = it.send(2500)
    tries = 1
    while isinstance(found, Again):
        assert not found.unsure  # so that an at-most-once step goes on by itself too
        found = it.send(2500, found)
        tries += 1
    assert found == Done({"delivered": 2500, "sinks": ["it"]})
    assert tries > 1
    assert len(elastic.requests) == 3 + tries - 1
    assert len(elastic.documents) == 2500


@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_elastic_has_each_document_once(
    it: Deployment, elastic: Elastic, seed: int
) -> None:
    """Lost replies, busy and odd documents, throttling and workers that died: each event is counted once.

    What is not refused is there once, and the step's end says how many are missing.
    """
    rng = random.Random(seed)
    count = rng.randrange(1, 2_300)
    odd = frozenset(rng.sample(range(count), rng.randrange(min(4, count))))
    elastic.trouble.odd = odd
    elastic.trouble.busy = [rng.randrange(count) for _ in range(rng.randrange(4))]
    elastic.trouble.lost = frozenset(rng.sample(range(1, 9), rng.randrange(5)))
    elastic.trouble.answers = [Told(rng.choice([429, 502, 503])) for _ in range(rng.randrange(3))]
    found: Outcome | None = None
    for _ in range(30):
        before = found
        found = it.send(count, found, **({} if isinstance(found, Again) else {"resumed": True}))
        if not isinstance(found, Again):
            break
        if rng.random() < 0.2:
            found = before  # the worker died before it could record the try
    sequences = sorted(each["event"]["sequence"] for each in elastic.documents.values())
    assert sequences == sorted(set(range(count)) - odd)
    if odd:
        assert isinstance(found, Failed)
        assert found.reason.startswith(f"it refuses {len(odd)} of {count} events for good: ")
    else:
        assert found == Done({"delivered": count, "sinks": ["it"]})


def test_a_worker_that_died_doubles_nothing_at_elastic(it: Deployment, elastic: Elastic) -> None:
    """A step that is taken up with nothing recorded, or asked about, may do all of it again."""
    it.send(1500)
    assert isinstance(it.action, Probing)
    assert it.action.probe(step_run("siem.send", {"to": ["it"]})) == Nothing()
    assert it.send(1500, resumed=True) == Done({"delivered": 1500, "sinks": ["it"]})
    assert len(elastic.documents) == 1500


def test_documents_that_elastic_is_too_busy_for_come_again(it: Deployment, elastic: Elastic) -> None:
    """429 for some items: the others are taken and not counted twice, the next try brings what is missing."""
    elastic.trouble.busy = [3, 700]
    found = it.send(1000)
    assert isinstance(found, Again)
    assert found.reason == "it: es rejected execution (429)"
    assert found.done["it"] == {
        "delivered": 3,
        "last": list(elastic.documents)[2],
        "refused": [],
        "refusals": 0,
        "complete": False,
    }
    assert len(elastic.documents) == 998
    assert it.send(1000, found) == Done({"delivered": 1000, "sinks": ["it"]})
    assert sorted(each["event"]["sequence"] for each in elastic.documents.values()) == list(range(1000))


def test_a_document_that_elastic_refuses_is_named(it: Deployment, elastic: Elastic) -> None:
    """All others are taken at once, with nothing narrowed down; busy ones beside it do not hide it."""
    elastic.trouble.odd = frozenset({1, 4})
    elastic.trouble.busy = [2]
    found = it.send(6)
    assert isinstance(found, Again)
    found = it.send(6, found)
    assert isinstance(found, Failed)
    assert found.reason == ("it refuses 2 of 6 events for good: checkout/0 entry 1: document parsing (400)")
    assert sorted(each["event"]["sequence"] for each in elastic.documents.values()) == [0, 2, 3, 5]


def test_what_the_failure_store_took_counts_as_refused(it: Deployment, elastic: Elastic) -> None:
    """201 with `failure_store: used` is no document of the data stream."""
    elastic.failure_store = []
    elastic.trouble.odd = frozenset({1})
    found = it.send(3)
    assert isinstance(found, Failed)
    assert "entry 1: kept in the failure store (201)" in found.reason
    assert (len(elastic.documents), len(elastic.failure_store)) == (2, 1)


def test_elastic_takes_any_entry(it: Deployment, elastic: Elastic) -> None:
    """Entries that name a field twice, are no JSON or nest deeply cannot be refused: they are one text."""
    deep = b"[" * 900 + b"]" * 900
    entries = [b'{"a":1,"a":2}', b"\xff\x00", deep, b'{"@timestamp":"x","event":5}', b'"x"']
    assert it.send(entries=entries) == Done({"delivered": 5, "sinks": ["it"]})
    assert next(iter(elastic.documents.values()))["event"]["original"] == '{"a":1,"a":2}'


def test_elastic_takes_basic_credentials_too(it: Deployment) -> None:
    """`auth: basic` sends user and password as RFC 7617 says."""
    target = Elastic("Basic d3JpdGVyOnBhc3M6d29yZA==")
    it.secret("key", "writer:pass:word")
    it.configure(kind="elastic", url=target.url, auth="basic")
    assert isinstance(it.send(), Done)
    target.server.stop()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token": "wrong"}, "the credentials are refused"),
        ({"index": "logs-other-default"}, "status 404 with no answer of a bulk request"),
    ],
)
def test_an_elastic_sink_that_is_set_up_wrongly_waits(
    it: Deployment, elastic: Elastic, change: dict[str, str], words: str
) -> None:
    """Nothing is lost: the step waits for a person and says what to look at."""
    it.secret("wrong", "canary-wrong")
    it.configure(kind="elastic", url=elastic.url, **change)
    _parked(it.send(), words)
    assert elastic.documents == {}


def test_datadog_gets_logs_in_batches(it: Deployment, datadog: Datadog) -> None:
    """1,001 entries are two requests; a log has its place, its rule and its entry."""
    assert it.send(1001) == Done({"delivered": 1001, "sinks": ["it"]})
    assert datadog.requests == [1000, 1]
    first = datadog.logs[0]
    assert first["message"] == "Sentinel: A burst"
    assert (first["ddtags"], first["status"], first["entry"]) == ("level:high,env:test", "error", {"n": 0})
    assert len({each["event_id"] for each in datadog.logs}) == 1001


def test_datadog_drops_nothing_after_a_long_outage(it: Deployment, datadog: Datadog) -> None:
    """Entries of long ago arrive, since a log does not name their time as its date; that is a choice."""
    assert isinstance(it.send(), Done)
    assert len(datadog.logs) == 3
    it.configure(kind="datadog", url=datadog.url, time="ledger")
    assert isinstance(it.send(), Done)
    assert len(datadog.logs) == 3


def test_a_log_that_datadog_refuses_is_found(it: Deployment, datadog: Datadog) -> None:
    """A 400 does not say which: smaller requests find it, and all others are taken once."""
    datadog.trouble.odd = frozenset({5})
    found = it.send(40)
    assert isinstance(found, Failed)
    assert "refuses 1 of 40 events for good: checkout/0 entry 5: the request is refused (400)" in found.reason
    assert [each["seq"] for each in datadog.logs] == [number for number in range(40) if number != 5]


def test_large_logs_stay_below_datadogs_limit(it: Deployment, datadog: Datadog) -> None:
    """100 entries of the largest size are 6.5 MB, and so two requests."""
    assert isinstance(it.send(entries=[b'{"m":"%s"}' % (b"x" * 65_000)] * 100), Done)
    assert datadog.requests == [76, 24]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_target_that_is_busy_is_tried_again(it: Deployment, datadog: Datadog, status: int) -> None:
    """The batch comes again after `Retry-After`; it may have been taken where the status does not say."""
    datadog.trouble.answers = [Told(status, b"", {"Retry-After": "7"})]
    found = it.send()
    assert isinstance(found, Again)
    assert (found.reason, found.after) == (f"it: status {status}", 7 * SECOND)
    assert found.unsure == (status not in {429, 503})
    assert isinstance(it.send(3, found), Done)
    assert len(datadog.logs) == 3


def test_a_reply_that_datadog_lost_gives_the_same_ids_again(it: Deployment, datadog: Datadog) -> None:
    """At least once, and recognisable; whether it was taken cannot be asked."""
    datadog.trouble.lost = frozenset({1})
    found = it.send()
    assert isinstance(found, Again)
    assert found.unsure
    assert isinstance(it.send(3, found), Done)
    ids = [each["event_id"] for each in datadog.logs]
    assert ids[:3] == ids[3:]
    assert isinstance(it.action, Probing)
    assert isinstance(it.action.probe(step_run("siem.send", {"to": ["it"]})), Unknown)


def test_a_wrong_api_key_is_parked(it: Deployment, datadog: Datadog) -> None:
    """403 is for a person; the key is in no reason."""
    it.secret("key", "canary-other")
    _parked(it.send(), "the API key is refused, or is another site's (403)")
    assert datadog.logs == []


def test_microsoft_sentinel_signs_in_once(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """Three tries and many batches are one sign-in; rows have all columns that the stream declares."""
    for _ in range(3):
        assert isinstance(it.send(1500), Done)
    assert microsoft.signed_in == 1
    assert microsoft.requests == [1000, 500] * 3
    assert list(microsoft.rows[0]) == list(COLUMNS)


def test_a_token_is_renewed_before_it_ends(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """A token of 3,599 s serves four fifths of them, to the second."""
    it.send()
    it.now = int(3599 * 0.8) * SECOND
    it.send()
    assert microsoft.signed_in == 1
    it.now += SECOND
    it.send()
    assert microsoft.signed_in == 2


def test_a_token_that_was_revoked_is_replaced_at_once(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """A refusal of a kept token costs one more sign-in and no wait, and doubles nothing."""
    it.send()
    microsoft.tokens.clear()
    assert isinstance(it.send(), Done)
    assert (microsoft.signed_in, len(microsoft.rows)) == (2, 6)


def test_another_secret_is_another_sign_in(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """A secret that was exchanged does not go on with the token that the old one bought."""
    it.send()
    it.secret("key", "canary-new")
    _parked(it.send(), f"Entra refuses the application {CLIENT}: invalid_client (401)")
    microsoft.application.secret = "canary-new"
    assert isinstance(it.send(), Done)
    assert microsoft.signed_in == 2


def test_a_role_that_is_not_there_yet_is_waited_for(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """403 names the role and says that it takes a while; once it counts, all rows arrive."""
    microsoft.application.assigned = False
    found = it.send()
    _parked(found, "Monitoring Metrics Publisher")
    microsoft.application.assigned = True
    assert isinstance(it.send(3, found), Done)
    assert len(microsoft.rows) == 3


def test_rows_stay_below_one_megabyte_before_compression(
    it: Deployment, microsoft: MicrosoftSentinel
) -> None:
    """40 entries of the largest size are three requests, though gzip would make one of them."""
    assert isinstance(it.send(entries=[b'{"m":"%s"}' % (b"x" * 65_000)] * 40), Done)
    assert microsoft.requests == [15, 15, 10]


@pytest.mark.parametrize(
    ("answer", "words", "after"),
    [
        (Told(503, b"", {"Retry-After": "9"}), "the sign-in at Entra: status 503", 9 * SECOND),
        (Told(lost=True), "gave no answer", None),
        (Told(200, b"<html>canary"), "no token (200)", int(PARKED * SECOND)),
        (Told(400, b'{"error":"canary"}'), "no token (400)", int(PARKED * SECOND)),
    ],
)
def test_a_sign_in_that_fails_sends_no_rows(
    it: Deployment, microsoft: MicrosoftSentinel, answer: Told, words: str, after: int | None
) -> None:
    """Nothing is unsure then: none of the batch was sent."""
    microsoft.sign_in_answers = [answer]
    found = it.send()
    assert isinstance(found, Again)
    assert words in found.reason
    assert (found.after, found.unsure) == (after, False)
    assert isinstance(it.send(3, found), Done)
    assert len(microsoft.rows) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rule": f"dcr-{'0' * 31}2"}, "there is no such rule or stream at this endpoint (404)"),
        ({"client": TENANT}, f"Entra refuses the application {TENANT}: invalid_client (401)"),
        ({"audience": "https://monitor.azure.cn"}, "invalid_scope (400)"),
    ],
)
def test_a_microsoft_sink_that_is_set_up_wrongly_waits(
    it: Deployment, microsoft: MicrosoftSentinel, change: dict[str, str], words: str
) -> None:
    """The reason says which of the many parts is wrong."""
    _configure(it, microsoft, **change)
    _parked(it.send(), words)
    assert microsoft.rows == []


def test_a_throttled_rule_gets_its_rows_later(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """429 with `Retry-After` is kept to, and nothing of that batch was taken."""
    microsoft.trouble.answers = [Told(429, b"", {"Retry-After": "60"})]
    found = it.send()
    assert isinstance(found, Again)
    assert (found.after, found.unsure) == (60 * SECOND, False)
    assert isinstance(it.send(3, found), Done)
    assert len(microsoft.rows) == 3


def test_crowdstrike_takes_a_bearer(it: Deployment, crowdstrike: Server) -> None:
    """The events of HEC, under the connector's key."""
    assert it.send() == Done({"delivered": 3, "sinks": ["it"]})
    assert [each["event"] for each in crowdstrike.collector.events] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert crowdstrike.collector.events[0]["sourcetype"] == "json"
    it.secret("key", "canary-other")
    _parked(it.send(), "invalid token (403/4)")


def test_crowdstrike_that_lost_a_reply_gets_the_same_ids(it: Deployment, crowdstrike: Server) -> None:
    """At least once, as HEC."""
    crowdstrike.collector.trouble.lost_replies = 1
    found = it.send()
    assert isinstance(found, Again)
    assert found.unsure
    assert isinstance(it.send(3, found), Done)
    ids = [each["fields"]["sentinel_event_id"] for each in crowdstrike.collector.events]
    assert ids[:3] == ids[3:]


def test_a_plan_says_all_that_would_be_sent(it: Deployment, microsoft: MicrosoftSentinel) -> None:
    """The sign-in too, with the names of secrets in their place; nothing is sent."""
    planned = it.action.plan(step_run("siem.send", {"to": ["it"]}))
    told = json.dumps(planned)
    assert "canary" not in told
    assert "%3Csecret+key%3E" in told
    assert "Bearer <token of key>" in told
    assert microsoft.server.asked == []


def _parked(found: Outcome, words: str) -> None:
    assert isinstance(found, Again)
    assert words in found.reason
    assert found.after == int(PARKED * SECOND)
    assert not found.unsure


def test_targets_are_all_tested(elastic: Target, datadog: Target, microsoft: Target) -> None:
    """A target that would take anything proves nothing: each refuses a request without credentials."""
    for target, path in ((elastic, "/logs-sentinel.alerts-default/_bulk"), (datadog, "/api/v2/logs")):
        assert _status(target, path) in {401, 403}
    assert _status(microsoft, microsoft.path) == 401  # type: ignore[attr-defined]


def _status(target: Target, path: str) -> int:
    return target.take(Asked("POST", path, {}, b"[]")).status
