"""What every account that takes replies promises: one suite over all, each with its product beside it."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import accounts
from sentinel.accounts.replying import Replying
from sentinel.actions.alert_reply import PATIENCE, AlertReply
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core.replies import mark
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, StepRun, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import HttpRequest, HttpResponse
from tests import reply_targets as targets
from tests.action_targets import NOW, Clock, Killed
from tests.loopback import Asked
from tests.reply_targets import SECRET, TENANT, WORKSPACE, ReplyTarget, Trouble, told
from tests.steps import step_run

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "accounts"


@dataclass(frozen=True)
class Kind:
    """One kind of account: its product, its document, and an alert that it is replied about."""

    product: Callable[[], ReplyTarget]
    document: str
    source: str
    alert: dict[str, Any]
    name: str  # of the field that says what the alert is about there: a label, or the fingerprint
    secret: str = SECRET
    inputs: dict[str, Any] = field(default_factory=dict)
    asks: bool = True  # it can be asked whether it has the reply
    alone: bool = False  # two workers at the same moment leave one reply


AZURE = f"{WORKSPACE}/providers/Microsoft.SecurityInsights/Incidents/{targets.Microsoft.INCIDENT.upper()}"
KINDS = {
    "sentry": Kind(
        targets.Sentry,
        "kind: sentry, organization: acme, url: 'URL'",
        "sentry",
        {"fingerprint": "700100200", "labels": {"issue_id": targets.Sentry.ISSUE}},
        "issue_id",
        inputs={"resolve": True},
        alone=True,
    ),
    "datadog": Kind(
        targets.Datadog,
        "kind: datadog, url: 'URL'",
        "datadog",
        {"fingerprint": "cycle-1", "labels": {"monitor": "5001", "scope": "host:web-1,env:prod"}},
        "monitor",
        secret=f'{{"api_key": "api-{SECRET}", "app_key": "app-{SECRET}"}}',
        inputs={"mute": "2h"},
    ),
    "pagerduty": Kind(
        targets.PagerDuty,
        "kind: pagerduty, user: kim@example.com, url: 'URL'",
        "pagerduty",
        {"fingerprint": "PGR0VU2"},
        "fingerprint",
    ),
    "microsoft_sentinel": Kind(
        targets.Microsoft,
        f"kind: microsoft_sentinel, workspace: '{WORKSPACE}', tenant: {TENANT}, "
        "client: 00000000-0000-4000-8000-00000000000b, url: 'URL', authority: 'URL'",
        "microsoft-sentinel",
        {"fingerprint": targets.Microsoft.INCIDENT, "labels": {"incident": AZURE}},
        "incident",
        alone=True,
    ),
    "splunk": Kind(
        targets.Splunk,
        "kind: splunk, url: 'URL'",
        "elastic",
        {"fingerprint": "x" * 32, "severity": "error"},
        "",
        asks=False,
    ),
}


class Bench:
    """An action before one product: it tries a step as the worker does, and counts what it did."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.product = kind.product()
        self.clock = Clock()
        self.secret = kind.secret
        self.http = HttpClient(Hosts(["127.0.0.1"], private=True))
        self.action = self.made(self.http)

    def made(self, http: Any) -> AlertReply:
        """Return the action over a port."""
        url = self.product.url
        text = self.kind.document.replace("URL", url)
        found = accounts.load("x", f"accounts: {{it: {{token: creds, {text}}}}}".encode())
        return AlertReply(http, self, lambda: found, clock=self.clock)

    def get(self, name: str) -> str:
        """Return the secret."""
        assert name == "creds"
        return self.secret

    def run(self, alert: dict[str, Any] | None = None, **more: Any) -> StepRun:
        """Return a try of the step."""
        inputs = {"to": "it", "comment": "fixed", **self.kind.inputs, **more.pop("inputs", {})}
        more.setdefault("hook", f"{self.kind.source}/h")
        return step_run("alert.reply", inputs, [entry(self.kind, alert or {})], **more)

    def drive(self, action: AlertReply | None = None, tries: int = 0, **more: Any) -> Outcome:
        """Try it until it has ended; the clock goes on by what is asked for."""
        done: dict[str, object] = {}
        for attempt in range(tries, tries + 40):
            run = self.run(resumed=attempt > 0, tries=attempt, done=done, **more)
            try:
                outcome = (action or self.action).perform(run)
            except Killed:
                continue
            if not isinstance(outcome, Again):
                return outcome
            done = dict(outcome.done) or done
            self.clock.now += outcome.after if outcome.after is not None else SECOND
        raise AssertionError("it does not end")

    @property
    def asked(self) -> list[Asked]:
        """What the product was asked."""
        return self.product.server.asked


def entry(kind: Kind, alert: dict[str, Any]) -> bytes:
    """Return the entry of an alert."""
    told = {"title": "Disk full", "severity": "error", "status": "firing", **kind.alert, **alert}
    about = {"source": kind.source, "hook": "h", "id": "m", "alert": 0}
    return orjson.dumps({"webhook": about, "alert": told})


@pytest.fixture
def bench(kind: str, caplog: pytest.LogCaptureFixture) -> Iterator[Bench]:
    """Give a bench; nothing that it logged holds a secret or an answer's body."""
    caplog.set_level(logging.DEBUG)
    made = Bench(KINDS[kind])
    yield made
    made.http.close()
    made.product.server.stop()
    assert "canary" not in caplog.text


each_kind = pytest.mark.parametrize("kind", KINDS)


def test_every_account_that_takes_replies_is_in_this_suite() -> None:
    """Whoever adds such an account adds its product here."""
    replying = {name for name, config in accounts.ACCOUNTS.items() if hasattr(config, "talk")}
    assert replying == set(KINDS) == {path.stem for path in GOLDENS.glob("*.json")}
    for kind in KINDS.values():
        text = kind.document.replace("URL", "https://a.example.com")
        (made,) = accounts.load("x", f"accounts: {{it: {{token: creds, {text}}}}}".encode()).values()
        assert isinstance(made, Replying)


@each_kind
def test_an_account_sends_the_bytes_of_its_golden(kind: str, bench: Bench) -> None:
    """Its requests, the first time and when it looks for them, are its golden: the wire shows in the diff."""
    assert isinstance(bench.drive(), Done)
    first = len(bench.asked)
    assert isinstance(bench.drive(tries=1), Done)
    shown = [_shown(each) for each in bench.asked]
    found = {"first": shown[:first], "again": shown[first:]}
    golden = GOLDENS / f"{kind}.json"
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    assert found == orjson.loads(golden.read_bytes())


def _shown(asked: Asked) -> dict[str, Any]:
    body = gzip.decompress(asked.body) if asked.headers.get("Content-Encoding") == "gzip" else asked.body
    dull = {"Host", "Accept-Encoding", "Content-Length", "User-Agent", "Connection"}
    headers = {name: value for name, value in asked.headers.items() if name not in dull}
    return {"request": f"{asked.method} {asked.path}", "headers": headers, "body": body.decode()}


@each_kind
def test_a_reply_is_made_once(bench: Bench) -> None:
    """It has the comment, the task and the mark; done again nothing is added, where that can be."""
    assert isinstance(bench.drive(), Done)
    (text,) = bench.product.texts
    run = bench.run()
    assert "Sentinel: fixed" in text
    assert run.task.id in text
    assert mark(run.key) in text
    assert isinstance(bench.drive(tries=1), Done)
    assert len(bench.product.texts) == 1 if bench.kind.asks else set(bench.product.texts) == {text}


@each_kind
@pytest.mark.parametrize("how", ["lost", "killed", "refused"])
def test_whatever_breaks_off_there_is_one_reply(kind: str, bench: Bench, how: str) -> None:
    """At each request: its reply is lost, the worker dies behind it, or it never arrives."""
    assert isinstance(bench.drive(), Done)
    for at in range(1, len(bench.asked) + 1):
        again = Bench(KINDS[kind])
        action = again.made(Breaking(again.http, at, how))
        assert isinstance(again.drive(action), Done), at
        texts = again.product.texts
        assert len(set(texts)) == 1
        assert len(texts) == 1 or (not again.kind.asks and how != "refused")
        if isinstance(again.product, targets.Datadog):
            assert len(again.product.downtimes) == 1
        again.http.close()
        again.product.server.stop()


class Breaking:
    """The port before another, of which request `at` breaks off."""

    def __init__(self, http: HttpClient, at: int, how: str) -> None:
        self._http, self._at, self._how, self._sent = http, at, how, 0

    def send(self, request: HttpRequest) -> HttpResponse:
        self._sent += 1
        if self._sent == self._at and self._how == "refused":
            error = Unavailable("nobody listens")
            error.unsent = True
            raise error
        response = self._http.send(request)
        if self._sent == self._at:
            raise Killed if self._how == "killed" else Unavailable("no answer")
        return response


@each_kind
def test_a_second_worker_at_the_same_moment(kind: str, bench: Bench) -> None:
    """Each has looked before the other acts: one reply where the product can tell, else two with one mark."""
    held = Held(bench.http, lambda: bench.drive(tries=1))
    assert isinstance(bench.drive(bench.made(held), tries=1), Done)
    assert held.met
    assert len(set(bench.product.texts)) == 1
    assert (len(bench.product.texts) == 1) is bench.kind.alone
    if isinstance(bench.product, targets.Sentry):
        assert bench.product.refused == 1


class Held:
    """The port before another, which lets somebody else do all of it just before it leaves a text."""

    def __init__(self, http: HttpClient, meanwhile: Callable[[], object]) -> None:
        self._http, self._meanwhile, self.met = http, meanwhile, False

    def send(self, request: HttpRequest) -> HttpResponse:
        acts = b"Sentinel: fixed" in request.body or request.headers.get("Content-Encoding") == "gzip"
        if acts and b'"schedule"' not in request.body and not self.met:
            self.met = True
            self._meanwhile()
        return self._http.send(request)


@each_kind
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_product_that_is_busy_is_waited_for(kind: str, bench: Bench, status: int) -> None:
    """Whichever request it is: after `Retry-After`, and then it is done, once."""
    assert isinstance(bench.drive(), Done)
    for at in range(1, len(bench.asked) + 1):
        again = Bench(KINDS[kind])
        again.product.trouble.instead[at] = told(status, **{"Retry-After": "7"})
        outcome = again.action.perform(again.run())
        assert isinstance(outcome, Again), at
        assert outcome.after == 7 * SECOND
        assert "canary" not in repr(outcome)
        assert isinstance(again.drive(tries=1), Done)
        assert len(again.product.texts) == 1
        again.http.close()
        again.product.server.stop()


@each_kind
def test_wrong_credentials_fail_with_what_to_change(bench: Bench) -> None:
    """The reason quotes neither the secret nor the answer; nothing was left."""
    bench.secret = bench.kind.secret.replace("canary", "other")
    outcome = bench.action.perform(bench.run())
    assert isinstance(outcome, Failed)
    assert any(word in outcome.reason for word in ("token", "key", "application"))
    assert "canary" not in outcome.reason
    assert "other" not in outcome.reason
    assert bench.product.texts == []


@each_kind
@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_refusal_fails(kind: str, bench: Bench, status: int) -> None:
    """What will not be taken however often it is sent is not sent again; the reason has the status."""
    del kind
    bench.product.trouble.instead = {number: told(status) for number in range(1, 9)}
    outcome = bench.action.perform(bench.run())
    assert isinstance(outcome, Failed)
    assert str(status) in outcome.reason
    assert "canary" not in outcome.reason


@each_kind
def test_an_answer_of_somebody_else_is_never_taken_for_nothing(bench: Bench) -> None:
    """A page of a proxy in the place of a list: nothing is left, since it may be there already."""
    bench.product.trouble.instead = {number: told(200, "canary-body") for number in range(1, 4)}
    outcome = bench.action.perform(bench.run(resumed=True, tries=1))
    assert bench.product.texts == []
    if bench.kind.asks and bench.kind.name != "incident":
        assert isinstance(outcome, Again)


HOSTILE = ["", "../../users/1", "1/../2", "1%2f..", "1?x=1", "1#", "1 2", "1\n2", "1\0", "\u0661", "x" * 500]


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.name])
@pytest.mark.parametrize("text", HOSTILE)
def test_what_names_nothing_enters_no_url(bench: Bench, text: str) -> None:
    """Only an id that has its product's form is asked for; the reason quotes nothing of another."""
    name = bench.kind.name
    if name == "fingerprint":
        alert: dict[str, Any] = {name: text}
    else:
        labels = bench.kind.alert["labels"]
        alert = {
            "labels": {**labels, name: f"{AZURE.rpartition('/')[0]}/{text}" if "/" in labels[name] else text}
        }
    outcome = bench.action.perform(bench.run(alert))
    assert isinstance(outcome, Failed)
    assert "the alert" in outcome.reason
    assert len(text) < 5 or text not in outcome.reason
    assert bench.asked == []


@each_kind
def test_what_sentinel_did_itself_is_not_replied_to(kind: str, bench: Bench) -> None:
    """An alert that echoes a mark, or is labelled as our doing, ends the loop; so does a task without one."""
    labels = {**KINDS[kind].alert.get("labels", {}), "by": "sentinel"}
    for alert in ({"description": f"event: {mark('ab' * 32)}"}, {"labels": labels}):
        outcome = bench.action.perform(bench.run(alert))
        assert isinstance(outcome, Failed)
        assert "what Sentinel did itself" in outcome.reason
    hook = f"{bench.kind.source}/h"
    for entries, by, words in (
        ([b"{}", b"no JSON", b"[1]"], hook, "hold no alert"),
        ([entry(bench.kind, {}), entry(bench.kind, {"fingerprint": "Q123456"})], hook, "several problems"),
        ([entry(replace(bench.kind, source="x"), {})], "x/h", "hold no alert" if bench.kind.name else ""),
    ):
        run = replace(bench.run(), entries=step_run("x", {}, entries, hook=by).entries)
        outcome = bench.action.perform(run)
        assert words == "" or (isinstance(outcome, Failed) and words in outcome.reason)
    assert bench.kind.source == "elastic" or bench.asked == []


@each_kind
def test_what_no_webhook_told_is_not_replied_to(bench: Bench) -> None:
    """Whoever writes an entry of that form by another door, or in another webhook's name, moves nothing."""
    source = bench.kind.source
    for hook in ("", source, f"{source}/other", "generic/h", f"/{source}/h"):
        outcome = bench.action.perform(bench.run(hook=hook))
        assert isinstance(outcome, Failed), hook
        assert "hold no alert" in outcome.reason
    assert bench.asked == []


@each_kind
def test_a_probe_changes_nothing(bench: Bench) -> None:
    """It says whether the reply is there, or that nobody can know; a product that is away is asked later."""
    before = bench.action.probe(bench.run())
    assert bench.product.texts == []
    assert isinstance(before, Nothing if bench.kind.asks else Unknown)
    assert isinstance(bench.drive(), Done)
    count = len(bench.product.texts)
    after = bench.action.probe(bench.run(resumed=True))
    exact = bench.kind.name == "incident"  # putting it again changes nothing
    assert isinstance(after, Nothing if exact else Done if bench.kind.asks else Unknown)
    assert len(bench.product.texts) == count
    if bench.kind.asks and not exact:
        bench.product.trouble.instead = {len(bench.asked) + 1: told(503)}
        with pytest.raises(Unavailable):
            bench.action.probe(bench.run(resumed=True))


@each_kind
def test_a_plan_says_it_all_and_asks_nobody(bench: Bench) -> None:
    """A plan is JSON with the whole text; it reads no secret."""
    bench.secret = "not read"
    plan = bench.action.plan(bench.run(inputs={"comment": "see @here"}))
    assert "see @\u200bhere" in str(plan["text"])
    assert orjson.dumps(plan)
    assert bench.asked == []
    with pytest.raises(Malformed, match="hold no alert"):
        bench.action.plan(step_run("alert.reply", {"to": "it"}, [b"{}"]))


class Dragging:
    """The port before another, each request of which takes its time."""

    def __init__(self, http: HttpClient, clock: Clock, seconds: int) -> None:
        self._http, self._clock, self._seconds = http, clock, seconds

    def send(self, request: HttpRequest) -> HttpResponse:
        self._clock.now += self._seconds * SECOND
        return self._http.send(request)


@pytest.mark.parametrize("kind", ["sentry", "datadog"])
def test_a_try_ends_before_its_lease(bench: Bench) -> None:
    """A talk that drags on, or whose task was taken away, stops between requests, and goes on later."""
    action = bench.made(Dragging(bench.http, bench.clock, 15))
    first = action.perform(bench.run())
    assert isinstance(first, Again)
    assert len(bench.asked) == 2
    stopped = bench.action.perform(replace(bench.run(), stopped=lambda: True))
    assert isinstance(stopped, Again)
    assert not stopped.unsure
    assert len(bench.asked) == 2
    assert isinstance(bench.drive(tries=1), Done)
    assert len(bench.product.texts) == 1


@pytest.mark.parametrize("kind", ["sentry"])
def test_a_slow_product_is_asked_again(bench: Bench) -> None:
    """It took the comment and answered too late: the next try finds it."""
    bench.kind = replace(bench.kind, document=bench.kind.document + ", timeout: 1", inputs={})
    bench.product.trouble = Trouble(slow=1.3)
    action = bench.made(bench.http)
    first = action.perform(bench.run())
    assert isinstance(first, Again)
    bench.product.trouble.slow = 0
    assert isinstance(bench.drive(action, tries=1), Done)
    assert len(bench.product.texts) == 1
    assert bench.clock.now - NOW < PATIENCE


@pytest.mark.parametrize("kind", ["microsoft_sentinel"])
def test_a_token_is_kept_and_replaced_when_it_is_refused(bench: Bench) -> None:
    """One sign-in for several replies; a token that Entra has taken back costs one more."""
    product = bench.product
    assert isinstance(product, targets.Microsoft)
    for _ in range(2):
        assert isinstance(bench.action.perform(bench.run()), Done)
    assert product.issued == 1
    product.revoked = 1
    assert isinstance(bench.action.perform(bench.run()), Done)
    assert product.issued == 2
    bench.clock.now += 3600 * SECOND
    assert isinstance(bench.action.perform(bench.run()), Done)
    assert product.issued == 3
    assert len(product.texts) == 1


@pytest.mark.parametrize("kind", ["microsoft_sentinel"])
def test_only_incidents_of_the_workspace_are_commented(bench: Bench) -> None:
    """Another subscription, group or workspace in the alert is refused, whatever the application may do."""
    for part in ("rg-siem", "acme-siem", "00000000000c"):
        outcome = bench.action.perform(bench.run({"labels": {"incident": AZURE.replace(part, "other")}}))
        assert isinstance(outcome, Failed)
        assert "not of the account's workspace" in outcome.reason
    assert bench.asked == []


@pytest.mark.parametrize("kind", ["microsoft_sentinel"])
def test_a_conflict_is_looked_into(bench: Bench) -> None:
    """409, as while another attempt puts the same comment: done where it is there, else later."""
    bench.product.trouble.instead = {2: told(409)}
    assert isinstance(bench.action.perform(bench.run()), Again)
    assert isinstance(bench.action.perform(bench.run(resumed=True)), Done)
    bench.product.trouble.instead = {len(bench.asked) + 1: told(409)}
    assert isinstance(bench.action.perform(bench.run(resumed=True)), Done)
    assert len(bench.product.texts) == 1
