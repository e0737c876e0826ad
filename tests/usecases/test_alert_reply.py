"""alert.reply: what is said, what is refused, and what each product's own ways ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from sentinel import actions
from sentinel.accounts import AccountConfig, load
from sentinel.actions.alert_reply import LONGEST_MUTE, MOST_LOOKS, problem
from sentinel.core.replies import MAX_COMMENT, harmless, mark
from sentinel.core.steps import Again, Done, Failed, Nothing, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed
from tests import reply_targets as targets
from tests.action_targets import NOW
from tests.contracts.test_accounts import KINDS, Bench
from tests.reply_targets import SECRET, told


def _bench(kind: str) -> Iterator[Bench]:
    made = Bench(KINDS[kind])
    yield made
    made.http.close()
    made.product.server.stop()


@pytest.fixture
def sentry() -> Iterator[Bench]:
    """Give a bench before Sentry."""
    yield from _bench("sentry")


@pytest.fixture
def datadog() -> Iterator[Bench]:
    """Give a bench before Datadog."""
    yield from _bench("datadog")


def of_sentry(bench: Bench) -> targets.Sentry:
    """Return its product."""
    assert isinstance(bench.product, targets.Sentry)
    return bench.product


def of_datadog(bench: Bench) -> targets.Datadog:
    """Return its product."""
    assert isinstance(bench.product, targets.Datadog)
    return bench.product


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "to: Field required"),
        ({"to": "../x"}, "to: "),
        ({"to": "it", "colour": 1}, "colour: Extra inputs"),
        ({"to": "it", "mute": "59s"}, "mute: "),
        ({"to": "it", "mute": "25h"}, "mute: "),
        ({"to": "it", "link": "http://a.example.com"}, "link: "),
        ({"to": "it", "link": "https://me:canary@a.example.com/"}, "link: "),
        ({"to": "it", "comment": {"a": 1}}, "comment: "),
        ({"to": "it", "comment": "x" * 20_001}, "comment: "),
        ({"to": "it", "resolve": True, "mute": "1h"}, "one of resolve, mute and unmute"),
        ({"to": "it", "unmute": True, "mute": "1h"}, "one of resolve, mute and unmute"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(sentry: Bench, inputs: dict[str, Any], words: str) -> None:
    """`check` says what to change and quotes nothing; a day is the longest mute."""
    with pytest.raises(Malformed, match=r"alert\.reply: ") as refused:
        sentry.action.check(inputs)
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)
    assert LONGEST_MUTE == 24 * 3600 * SECOND


def test_an_account_does_what_its_kind_can(sentry: Bench) -> None:
    """What a recipe asks of an account is checked by its kind, before it runs and when it does."""
    text = "accounts: {s: {kind: sentry, token: t, organization: acme}, d: {kind: datadog, token: t}}"
    known = load("x", text.encode())
    assert problem(known, {"to": "s", "resolve": True}) == ""
    assert problem(known, {"to": "d", "mute": "1h"}) == ""
    assert "no account 'x'" in problem(known, {"to": "x"})
    assert problem(known, {"to": "s", "mute": "1h"}).endswith("cannot mute; it can: resolve")
    assert problem(known, {"to": "d", "resolve": True}).endswith("cannot resolve; it can: mute, unmute")
    other = {"o": AccountConfig(kind="other", token="t")}
    assert "takes no replies" in problem(other, {"to": "o"})
    nothing: Any = None
    action = actions.build(nothing, nothing, nothing, dict, accounts=lambda: known)["alert.reply"]
    run = sentry.run(inputs={"to": "s", "resolve": False, "mute": "1h"})
    assert action.perform(run) == Failed("an account of the kind sentry cannot mute; it can: resolve")


@pytest.mark.parametrize(
    "text", ["@team", "http://evil", "[x](y)", "%%% x %%%", "<!here>", "`a`", "a\u202eb\x1b[1m"]
)
def test_what_an_entry_says_does_nothing_at_the_product(text: str) -> None:
    """Mentions, links, markup, control and direction characters of a value are shown, and have no effect."""
    shown = harmless(text)
    assert not any(each in shown for each in ("@t", "://", "](", "%%%", "<", ">", "`", "\u202e", "\x1b"))
    assert shown
    assert len(harmless("x" * 9000)) == MAX_COMMENT
    assert harmless("a\n\n b\r\nc") == "a\nb\nc"


def test_the_recipes_own_link_is_one(sentry: Bench) -> None:
    """`link` takes no expression and is told as it is; a comment that is a number is its text."""
    link = "https://runbooks.example.com/disk"
    assert isinstance(sentry.drive(inputs={"comment": 42, "link": link}), Done)
    (text,) = sentry.product.texts
    assert text.splitlines()[:2] == ["Sentinel: 42", link]


def test_an_issue_that_came_back_is_left_alone(sentry: Bench) -> None:
    """Where an earlier attempt resolved it, and it regressed since, it stays so; the comment is posted."""
    product = of_sentry(sentry)
    product.trouble.instead = {3: told(500)}
    assert isinstance(sentry.action.perform(sentry.run()), Again)
    assert (product.status, product.updates) == ("resolved", 1)
    product.status, product.substatus = "unresolved", "regressed"
    outcome = sentry.action.perform(sentry.run(resumed=True, tries=1))
    assert outcome == Done({"comment": "posted", "issue": "left alone: it came back"})
    assert (product.status, product.updates) == ("unresolved", 1)
    product.substatus = "ongoing"
    assert sentry.action.perform(sentry.run(resumed=True, tries=2)) == Done({"comment": "found"})
    assert (product.updates, len(product.texts)) == (1, 1)


def test_a_comment_is_found_behind_many_others(sentry: Bench) -> None:
    """All pages are looked through, the newest first."""
    assert isinstance(sentry.drive(), Done)
    of_sentry(sentry).texts += [f"other {number}" for number in range(170)]
    before = len(sentry.asked)
    assert isinstance(sentry.drive(tries=1), Done)
    assert len(sentry.asked) - before == 4
    assert sum("Sentinel: fixed" in text for text in sentry.product.texts) == 1


def test_sentry_says_until_when_to_wait(sentry: Bench) -> None:
    """`X-Sentry-Rate-Limit-Reset` is an instant; within 15 minutes it is kept to."""
    for reset, seconds in ((NOW / SECOND + 30, 30), (NOW / SECOND - 5, 0), (NOW / SECOND + 9000, 900)):
        sentry.product.trouble.instead = {
            len(sentry.asked) + 1: told(429, **{"X-Sentry-Rate-Limit-Reset": f"{reset:.1f}"})
        }
        outcome = sentry.action.perform(sentry.run())
        assert isinstance(outcome, Again)
        assert outcome.after == seconds * SECOND


def test_a_mute_always_ends(datadog: Bench) -> None:
    """It is of one monitor, of the alert's scope, and ends when the recipe says, a day later at most."""
    assert isinstance(datadog.drive(), Done)
    (made,) = of_datadog(datadog).downtimes.values()
    assert made["monitor_identifier"] == {"monitor_id": 5001}
    assert made["scope"] == "env:prod AND host:web-1"
    assert datetime.fromisoformat(made["schedule"]["end"]).timestamp() == NOW / SECOND + 7200
    assert mark(datadog.run().key) in made["message"]


@pytest.mark.parametrize(
    ("other", "covers"),
    [
        ({"scope": "*"}, True),
        ({"scope": "env:prod"}, True),
        ({"scope": "host:web-1 AND env:prod"}, True),
        ({"scope": "env:prod AND host:web-1 AND disk:a"}, False),
        ({"scope": "host:web-2"}, False),
        ({"scope": "host:web-1 OR host:web-2"}, False),
        ({"scope": "host:web-2 OR env:prod", "groups": ["host:web-1,env:prod"]}, True),
        ({"scope": "team:x", "monitor_identifier": {"monitor_tags": ["*"]}}, False),
        ({"scope": "env:prod", "monitor_identifier": {"monitor_tags": ["*"]}}, True),
        ({"scope": "*", "monitor_identifier": {"monitor_id": 5002}}, False),
    ],
)
def test_what_is_muted_is_not_muted_again(datadog: Bench, other: dict[str, Any], covers: bool) -> None:
    """A downtime of somebody else that covers all of the alert is enough, and none of theirs is touched."""
    product = of_datadog(datadog)
    theirs = {"message": "planned work", "monitor_identifier": {"monitor_id": 5001}, **other}
    name = product.add(theirs)
    outcome = datadog.action.perform(datadog.run())
    assert isinstance(outcome, Done)
    assert (outcome.result["mute"] == "already muted") is covers
    assert len(product.downtimes) == (1 if covers else 2)
    assert product.downtimes[name] == theirs


def test_unmuting_takes_back_what_is_ours(datadog: Bench) -> None:
    """Of this monitor and scope, made by us; those of others, and of other monitors and scopes, stay."""
    product = of_datadog(datadog)
    ours = {"monitor_identifier": {"monitor_id": 5001}, "scope": "env:prod AND host:web-1"}
    kept = [
        {**ours, "message": "planned work"},
        {**ours, "message": mark("cd" * 32), "scope": "env:prod"},
        {**ours, "message": mark("cd" * 32), "monitor_identifier": {"monitor_id": 5002}},
    ]
    for each in kept:
        product.add(each)
    for _ in range(PAGE_FULL):
        product.add({"message": "", "monitor_identifier": {"monitor_id": 7}, "scope": "*"})
    product.add({**ours, "message": f"Sentinel: x {mark('ef' * 32)}"})
    inputs = {"mute": None, "unmute": True}
    assert datadog.action.perform(datadog.run(inputs=inputs)) == Done({"comment": "posted", "unmute": 1})
    assert list(product.downtimes.values())[:3] == kept
    assert len(product.downtimes) == 3 + PAGE_FULL


PAGE_FULL = 100


@pytest.mark.parametrize("scope", ["", "host:*", "host:a OR env:b", "!env:prod", "web", "a:b,*", "a:b\u0661"])
def test_a_scope_that_could_be_more_is_not_muted(datadog: Bench, scope: str) -> None:
    """Only plain tags, or `*` for all of the monitor, are; without any the account has to say so."""
    labels = {"monitor": "5001", "scope": scope}
    outcome = datadog.action.perform(datadog.run({"labels": labels}))
    assert isinstance(outcome, Failed)
    assert "scope" in outcome.reason
    assert datadog.asked == []
    assert isinstance(datadog.action.perform(datadog.run({"labels": {**labels, "scope": "*"}})), Done)
    (made,) = of_datadog(datadog).downtimes.values()
    assert made["scope"] == "*"


def test_an_event_that_is_not_searchable_yet_is_waited_for(datadog: Bench) -> None:
    """A lost reply: looked for until two minutes have passed, and posted again only then."""
    product = of_datadog(datadog)
    product.indexed = False
    product.trouble.lost = frozenset({4})
    outcome = datadog.action.perform(datadog.run())
    assert isinstance(outcome, Again)
    assert outcome.unsure
    done: dict[str, object] = {}
    for look in range(3):
        outcome = datadog.action.perform(datadog.run(resumed=True, tries=1, done=done))
        assert isinstance(outcome, Again), look
        assert len(product.texts) == 1
        done = dict(outcome.done)
        datadog.clock.now += outcome.after or 0
    assert isinstance(datadog.action.probe(datadog.run(resumed=True)), Unknown)
    product.indexed = True
    outcome = datadog.action.perform(datadog.run(resumed=True, tries=1, done=done))
    assert outcome == Done({"comment": "found"})
    product.indexed = False
    datadog.clock.now += 60 * SECOND
    assert isinstance(datadog.action.perform(datadog.run(resumed=True, tries=1, done=done)), Done)
    assert len(product.texts) == 2  # with one mark: what Datadog has not shown in two minutes
    assert len(product.downtimes) == 1


def test_looking_comes_to_an_end(datadog: Bench) -> None:
    """A product that loses every reply and shows nothing is given up, and the outcome is not sure."""
    product = of_datadog(datadog)
    product.indexed = False
    done = {"asked": datadog.clock.now, "looks": MOST_LOOKS}
    outcome = datadog.action.perform(datadog.run(resumed=True, tries=1, done=done))
    assert isinstance(outcome, Failed)
    assert outcome.unsure


SPLIT = f'{{"api_key": "{SECRET}\\r\\nX: y", "app_key": "{SECRET}"}}'


@pytest.mark.parametrize("secret", ["", "abc", "{}", '{"api_key": "a"}', SPLIT])
def test_a_datadog_secret_has_two_keys(datadog: Bench, secret: str) -> None:
    """Anything else fails and says how it is written, and is quoted nowhere."""
    datadog.secret = secret
    outcome = datadog.action.perform(datadog.run())
    assert isinstance(outcome, Failed)
    assert "api_key" in outcome.reason
    assert SECRET not in outcome.reason
    assert datadog.asked == []


def test_a_probe_before_a_mute_finds_nothing(datadog: Bench) -> None:
    """Where the mute is not there, nor is the event, which comes after it."""
    assert isinstance(datadog.action.probe(datadog.run(resumed=True)), Nothing)
