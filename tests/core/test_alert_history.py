"""The history of an alert: what becomes of notices, in whatever order and however often they come."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.alert_history import MOST, Record, decode, encode, fold
from sentinel.core.alert_notices import Key, Notice, alert_of, notices
from sentinel.core.alerts import Alert, Severity, Status
from sentinel.core.segment import Batch, Head, Segment
from sentinel.errors import Tampered
from tests.alert_chains import SECOND, START, alert, sealed

KEY = Key("shop", "sentry", "errors", "disk-7")


def notice(number: int, told: Alert, chain: str = "shop/0", at: int | None = None) -> Notice:
    """Return a notice, sealed `at` seconds after the start."""
    return Notice(KEY, START + (number if at is None else at) * SECOND, chain, number, told)


def folded(*told: Alert) -> Record:
    """Fold alerts that came one after the other."""
    record = fold(None, [notice(number, each) for number, each in enumerate(told)])
    assert record is not None
    return record


def known(record: Record | None) -> Record:
    """Return a record that is there."""
    assert record is not None
    return record


def after(seconds: int) -> int:
    """Return a time."""
    return START + seconds * SECOND


def test_firing_then_resolved_is_one_alert_with_a_history() -> None:
    """The record says what stands, since when and until when, and what was told in which order."""
    record = folded(
        alert(severity="warning", started=-5, resource="db-1", labels={"team": "core"}),
        alert("acknowledged", severity="critical", updated=0, link="https://example.com/7"),
        alert("resolved", severity="info", updated=2, ended=2, title="Disk is fine"),
    )
    told = record.json()
    assert told["history"] == [
        {"t": after(2), "chain": "shop/0", "seq": 2, "status": "resolved", "severity": "info"},
        {"t": after(1), "chain": "shop/0", "seq": 1, "status": "acknowledged", "severity": "critical"},
        {"t": after(0), "chain": "shop/0", "seq": 0, "status": "firing", "severity": "warning"},
    ]
    assert {name: told[name] for name in ("status", "severity", "highest", "title", "resource", "link")} == {
        "status": "resolved",
        "severity": "critical",  # what resolves says "info" of itself
        "highest": "critical",
        "title": "Disk is fine",
        "resource": "db-1",
        "link": "https://example.com/7",
    }
    assert (told["started"], told["ended"]) == (after(-5), after(2))
    assert (told["first_seen"], told["last_seen"]) == (after(0), after(2))
    assert (told["episodes"], told["messages"], told["left_out"]) == (1, 3, 0)
    assert told["labels"] == {"team": "core"}
    assert told["webhook"] == {"service": "shop", "source": "sentry", "hook": "errors"}


def test_what_fires_again_is_a_new_episode_of_the_same_alert() -> None:
    """It begins when the sender says, or when it was told; the end of the one before goes."""
    record = folded(alert(started=0), alert("resolved", ended=1), alert(started=2))
    assert (record.status, record.episodes, record.started, record.ended) == (Status.FIRING, 2, after(2), 0)
    # One that goes on saying when it was first seen began anew when it says it did, or when it was heard.
    record = folded(alert(started=0), alert("resolved", ended=1), alert(started=0, updated=2))
    assert (record.episodes, record.started) == (2, after(2))
    record = folded(alert(), alert("resolved"), alert("acknowledged"), alert("resolved"), alert("resolved"))
    assert (record.status, record.episodes, record.started, record.ended) == (
        Status.RESOLVED,
        2,
        after(2),
        after(3),
    )


@pytest.mark.parametrize(
    "late",
    [alert(started=0), alert(updated=1), alert(started=0, updated=9, severity="critical")],
    ids=["started", "updated", "both"],
)
def test_a_late_firing_does_not_open_what_was_resolved_since(late: Alert) -> None:
    """By the sender's own time, in whichever field it says it; it is counted and marked, and fills in."""
    record = fold(None, [notice(0, alert("resolved", ended=10), at=20), notice(1, late, at=30)])
    assert record is not None
    assert (record.status, record.ended, record.episodes, record.notices) == (
        Status.RESOLVED,
        after(10),
        1,
        2,
    )
    assert [each.late for each in record.history] == [False, True]
    assert record.highest is max(late.severity, Severity.ERROR, key=[*Severity][::-1].index)
    assert record.severity is Severity.ERROR


def test_a_late_one_fills_in_what_is_not_known() -> None:
    """What came first need not be what happened first: nothing that is known changes, nothing is lost."""
    first = Alert("", Severity.UNKNOWN, Status.RESOLVED, "disk-7", ended=after(10))
    record = fold(None, [notice(0, first, at=20), notice(1, alert(started=2, service="db"), at=30)])
    assert record is not None
    assert (record.title, record.severity, record.service, record.started) == (
        "Disk full",
        Severity.ERROR,
        "db",
        after(2),
    )
    again = fold(record, [notice(2, alert(started=1, service="web", title="Disk"), at=40)])
    assert again is not None
    assert (again.title, again.service, again.started) == ("Disk full", "db", after(2))


def test_a_late_resolved_does_not_close_what_fired_since() -> None:
    """The same in the other direction."""
    told = [
        notice(0, alert(updated=1), at=20),
        notice(1, alert(updated=9), at=21),
        notice(2, alert("resolved", updated=5), at=22),
    ]
    record = fold(None, told)
    assert record is not None
    assert (record.status, record.ended, record.episodes) == (Status.FIRING, 0, 1)


def test_without_times_the_ledgers_order_decides() -> None:
    """Also where both say the same second, in whatever precision: senders round one moment differently."""
    assert folded(alert(), alert("resolved"), alert()).status is Status.FIRING
    assert folded(alert(updated=0), alert("resolved"), alert(updated=0)).status is Status.FIRING
    exact = replace(alert(), updated=START + 900_000_000)
    record = fold(None, [notice(0, exact, at=5), notice(1, alert("resolved", updated=0), at=6)])
    assert record is not None
    assert record.status is Status.RESOLVED


def test_a_clock_that_is_ahead_closes_nothing_for_ever() -> None:
    """A sender's time counts up to when the ledger heard it."""
    record = folded(alert(), alert("resolved", ended=10**8, updated=10**8), alert(updated=2))
    assert (record.status, record.episodes) == (Status.FIRING, 2)
    assert folded(alert(started=10**8)).started == START
    assert folded(alert("resolved", ended=10**8)).ended == START


def test_a_notice_without_a_status_says_nothing_of_it() -> None:
    """It changes words and severity, and neither opens nor closes."""
    record = folded(alert("resolved"), alert("unknown", severity="critical", title="Comment", updated=1))
    assert (record.status, record.title, record.severity) == (
        Status.RESOLVED,
        "Comment",
        Severity.CRITICAL,
    )
    assert folded(alert("unknown"), alert()).episodes == 1


def test_a_severity_that_is_not_known_lowers_nothing() -> None:
    """`unknown` is no news; a lower one is, until which the highest stays."""
    record = folded(alert(severity="critical"), alert(severity="unknown"), alert(severity="info"))
    assert (record.severity, record.highest) == (Severity.INFO, Severity.CRITICAL)
    assert folded(alert(severity="critical"), alert(severity="unknown")).severity is Severity.CRITICAL
    assert folded(alert("resolved", severity="warning")).severity is Severity.WARNING


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 3 * MOST])
def test_a_history_is_bounded(count: int) -> None:
    """The newest stay, the others are counted; the record stays small whatever is told."""
    wide = {f"{number}": "\U0001f525" * 60 for number in range(64)}
    record = folded(*[alert(title="\U0001f525" * 500, labels=wide)] * count)
    assert (record.notices, len(record.history), record.left_out) == (
        count,
        min(count, MOST),
        max(0, count - MOST),
    )
    assert record.history[-1].seq == count - 1
    assert len(encode(record)) < 20_000
    assert len(orjson.dumps(record.json())) < 100_000


told = st.builds(
    alert,
    status=st.sampled_from([each.value for each in Status]),
    severity=st.sampled_from([each.value for each in Severity]),
    title=st.sampled_from(["", "a", "b"]),
    resource=st.sampled_from(["", "r"]),
    started=st.integers(-5, 60),
    ended=st.integers(-5, 60),
    updated=st.integers(-5, 60),
    labels=st.sampled_from([{}, {"a": "1"}, {"a": "2"}]),
)
# A stream hands over from somewhere on, and then from before there again: (from, to) of each call.
calls = st.lists(st.tuples(st.integers(0, 130), st.integers(1, 130)), max_size=8)


@given(st.lists(told, min_size=1, max_size=40), st.integers(1, 3), calls)
def test_redelivery_changes_nothing(
    alerts: list[Alert], times: int, delivered: list[tuple[int, int]]
) -> None:
    """However often a feed gives parts of a chain again, the record is as if each had come once."""
    whole = [notice(number, each) for number, each in enumerate(alerts * times)]
    once = fold(None, whole)
    record, reached = None, 0
    for start, count in [*delivered, (0, len(whole))]:
        begin = min(start, reached)  # never beyond what was reached: a feed leaves nothing out
        part = whole[begin : begin + count]
        record = decode(encode(known(fold(record, part)))) if part else record
        reached = max(reached, begin + len(part))
    record = fold(record, whole[reached:])
    assert record == once
    assert fold(record, whole) is record


@given(st.lists(told, min_size=2, max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_two_lanes_in_whatever_order_count_the_same(alerts: list[Alert], lanes: list[bool]) -> None:
    """When a hook's lane changes, which feed is ahead changes neither count nor history nor times."""
    whole = [notice(n, each, f"shop/{int(lanes[n])}") for n, each in enumerate(alerts)]
    orders = [whole, [n for n in whole if n.chain == "shop/0"] + [n for n in whole if n.chain == "shop/1"]]
    one, other = (known(fold(None, [*order, *order])) for order in orders)
    assert (one.notices, one.first, one.last, one.highest) == (
        other.notices,
        other.first,
        other.last,
        other.highest,
    )
    assert [each.place for each in one.history] == [each.place for each in other.history]


def test_the_order_of_what_has_times_does_not_matter() -> None:
    """Status, start and end are those of the sender's newest, in whatever order notices are sealed."""
    messages = [alert(started=1, updated=1), alert("acknowledged", updated=3), alert("resolved", updated=5)]
    for order in permutations(messages):
        record = fold(None, [notice(number, each, at=10 + number) for number, each in enumerate(order)])
        assert record is not None
        assert (record.status, record.ended, record.episodes) == (Status.RESOLVED, after(5), 1)


def test_a_record_is_stored_whole() -> None:
    """What is stored comes back; anything else is damage, and never a record."""
    record = folded(alert(labels={"a": "b"}, link="https://example.com"), alert("resolved", ended=1))
    assert decode(encode(record)) == record
    told: dict[str, Any] = orjson.loads(zstandard.decompress(encode(record)))
    damage: list[dict[str, Any]] = [
        {"status": "on"},
        {"notices": "2"},
        {"notices": 1},
        {"started": -1},
        {"key": {"service": "shop"}},
        {"key": {**told["key"], "hook": 7}},
        {"place": [1, "a"]},
        {"labels": {"a": 1}},
        {"labels": []},
        {"history": []},
        {"history": [1]},
        {"history": told["history"] * 40},
        {"other": 1},
    ]
    for changed in damage:
        with pytest.raises(ValueError, match="no record"):
            decode(zstandard.compress(orjson.dumps({**told, **changed})))
    for body in (b"", b"{}", zstandard.compress(b"[]"), zstandard.compress(b"{"), zstandard.compress(b"{}")):
        with pytest.raises(ValueError, match="no record"):
            decode(body)
    with pytest.raises(ValueError, match="Overflow"):
        decode(zstandard.compress(b" " * 2_000_000))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_damage(body: bytes) -> None:
    """Whatever is stored, nothing else is raised."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        decode(body)


def test_notices_are_read_from_what_webhooks_told() -> None:
    """Each alert of each message, with its place; the message itself is none."""
    (segment,) = sealed([[alert(name="a"), alert("resolved", "b", updated=-1)]])
    found = list(notices(segment))
    assert [(each.key, each.t, each.chain, each.seq) for each in found] == [
        (Key("shop", "sentry", "errors", "a"), START, "shop/0", 1),
        (Key("shop", "sentry", "errors", "b"), START, "shop/0", 2),
    ]
    assert found[1].alert == alert("resolved", "b", updated=-1)
    assert len({each.key.id for each in found}) == 2


@pytest.mark.parametrize(
    "context",
    [
        {"endpoint": "/v1/entries", "subject": "shop"},
        {"endpoint": "/v1/entries"},
        {"endpoint": "/v1/entries", "agent": "/hooks/sentry/errors"},
        {"endpoint": "/v1/logs", "instance": "hook/sentry/errors"},
        {"subject": "hook/sentry/others"},
        {"subject": "hook/pagerduty/errors"},
        {"subject": 7},
        {"endpoint": ["/hooks/"]},
        {"endpoint": None},
    ],
)
def test_what_came_through_another_door_tells_no_alert(context: dict[str, Any]) -> None:
    """A service can write such an entry by itself: it counts for what its segment says of how it came."""
    (segment,) = sealed([[alert()]], **context)
    assert list(notices(segment)) == []


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
names = ("title", "severity", "status", "fingerprint", "started", "labels", "link", "service")


@given(st.dictionaries(st.sampled_from(names), junk) | junk, junk)
def test_no_entry_breaks_the_reading(told: object, about: object) -> None:
    """Whatever stands in an entry of a webhook, it is an alert or none."""
    webhook = {"source": "sentry", "hook": "errors", "alert": about}
    entries = [orjson.dumps(each, option=orjson.OPT_NON_STR_KEYS) for each in _entries(webhook, told, about)]
    context: dict[str, object] = {"endpoint": "/hooks/sentry/errors", "subject": "hook/sentry/errors"}
    draft = Batch(bytes(16), [*entries, b"no json"], context).draft(0, bytes(32))
    segment, _ = draft.place("shop/0", Head.genesis("shop/0"), START)
    found = list(notices(segment))
    assert len(found) == isinstance(told, dict)
    assert all(fold(None, [each]) for each in found)


def _entries(webhook: object, told: object, about: object) -> list[object]:
    def bounded(value: object) -> object:
        if isinstance(value, dict):
            return {name: bounded(each) for name, each in value.items()}
        if isinstance(value, list):
            return [bounded(each) for each in value]
        return value % 2**60 if type(value) is int else value

    return [
        bounded(each) for each in ({"webhook": webhook, "alert": told}, {"webhook": about, "alert": {}}, told)
    ]


def test_alerts_come_back_as_they_were_told() -> None:
    """What an entry holds of an alert is the alert again, but for what no record keeps."""
    made = alert(labels={"a": "b"}, link="https://example.com", started=1, updated=2, kind="disk")
    assert alert_of(made.json()) == made


def test_a_segment_that_cannot_be_opened_is_tampered() -> None:
    """It is for whoever watches over the ledger, and no reason to leave it out quietly."""
    (segment,) = sealed([[alert()]])
    broken: Segment = replace(segment, payload=b"x")
    with pytest.raises(Tampered):
        list(notices(broken))
