"""Folding alerts: one record a problem whatever fails on the way, and what is shown of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.adapters.sqlite_alerts import SqliteAlerts
from sentinel.core.alert_history import decode
from sentinel.core.alert_notices import Key
from sentinel.core.alerts import Alert, Status
from sentinel.core.segment import Segment
from sentinel.errors import Malformed, Missing, Tampered, Unavailable
from sentinel.ports_alerts import StoredAlert
from sentinel.usecases import fold_alerts, show_alerts
from sentinel.usecases.fold_alerts import AlertFolder, Folded
from sentinel.usecases.show_alerts import ShowAlerts, Wanted
from tests.alert_chains import SECOND, START, alert, sealed
from tests.faults_calls import Faults

STORY = [
    [alert(), alert(name="cpu", severity="critical"), alert(name="net", severity="warning")],
    [alert("acknowledged")],
    [],
    [alert("resolved", updated=3), alert("resolved", name="net")],
    [alert(updated=1), alert(name="cpu"), alert(name="net")],
]


@pytest.fixture
def alerts() -> Iterator[SqliteAlerts]:
    """Give a store."""
    store = SqliteAlerts(":memory:")
    yield store
    store.close()


def everything(alerts: SqliteAlerts) -> dict[str, object]:
    """Return all records by fingerprint."""
    found = [each for status in Status for each in alerts.newest("shop", status.value)]
    records = [decode(each.body) for each in found]
    for stored, record in zip(found, records, strict=True):
        place = (record.key.id, record.key.service, record.status.value, record.last)
        assert (stored.id, stored.service, stored.status, stored.seen) == place
    return {record.key.fingerprint: record.json() for record in records}


def expected() -> dict[str, object]:
    """Return what the story comes to."""
    store = SqliteAlerts(":memory:")
    AlertFolder(store).fold(sealed(STORY))
    found = everything(store)
    store.close()
    return found


def test_a_story_becomes_one_record_a_problem(alerts: SqliteAlerts) -> None:
    """Of three problems one stays resolved though its firing came late, one goes on, one is open again."""
    assert AlertFolder(alerts).fold(sealed(STORY)) == Folded(notices=9, changed=3)
    found: Any = everything(alerts)
    assert {name: each["status"] for name, each in found.items()} == {
        "disk-7": "resolved",
        "cpu": "firing",
        "net": "firing",
    }
    assert [each["seq"] for each in found["disk-7"]["history"]] == [11, 8, 5, 1]
    assert (found["disk-7"]["ended"], found["net"]["episodes"]) == (START + 3 * SECOND, 2)


def test_each_slice_reads_and_writes_a_record_once() -> None:
    """However many notices of it a slice has; one that changes nothing is not written."""
    faults, store = Faults(), SqliteAlerts(":memory:")
    folder = AlertFolder(faults.wrap("alerts", store))
    folder.fold(sealed(STORY))
    assert faults.log == ["alerts.load", "alerts.store"]
    assert folder.fold(sealed(STORY)) == Folded(notices=9)
    folder.fold(sealed([[]]))
    assert faults.log == ["alerts.load", "alerts.store", "alerts.load"]
    assert {each.version for each in store.newest("shop", "firing")} == {1}
    store.close()


def test_a_flood_goes_in_parts(alerts: SqliteAlerts, monkeypatch: pytest.MonkeyPatch) -> None:
    """More records than one call of the store takes are all folded."""
    monkeypatch.setattr(fold_alerts, "TOGETHER", 7)
    told = [[alert(name=str(number)) for number in range(40)]]
    assert AlertFolder(alerts).fold(sealed(told)).changed == 40
    assert len(everything(alerts)) == 40


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), max_size=6))
def test_redelivery_of_the_feed_gives_the_same_records(calls: list[tuple[int, int]]) -> None:
    """A feed gives again from anywhere before; segments that were folded change nothing."""
    segments, store = sealed(STORY), SqliteAlerts(":memory:")
    folder, reached = AlertFolder(store), 0
    for start, count in [*calls, (0, 5)]:
        begin = min(start, reached)
        folder.fold(segments[begin : begin + count])
        reached = max(reached, min(begin + count, 5))
    assert everything(store) == expected()
    store.close()


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "lost"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "and all behind it"])
def test_whatever_call_fails_the_records_are_the_same_in_the_end(applied: bool, lasting: bool) -> None:
    """Each call of the store fails in turn, done or not; the feed gives the slice again until it is done."""
    for k in range(1, 20):
        faults, store = Faults(applied=applied), SqliteAlerts(":memory:")
        folder = AlertFolder(faults.wrap("alerts", store))
        failed: list[int] = []

        def fails(call: int, k: int = k, failed: list[int] = failed) -> bool:
            bad = call == k or (lasting and k < call < k + 3)
            failed.extend([call] * bad)
            return bad

        faults.fails = fails
        for segment in sealed(STORY):
            _until_through(partial(folder.fold, [segment]))
        assert everything(store) == expected(), k
        store.close()
        if not failed:
            break
    assert k > 8


def _until_through(call: Callable[[], object]) -> None:
    for _ in range(9):
        try:
            call()
        except Unavailable:
            continue
        return
    raise AssertionError("never through")


@dataclass
class Rival:
    """A store in which somebody else folds something first, `times` times."""

    inner: SqliteAlerts
    segments: list[Segment]
    times: int
    lost: list[set[str]] = field(default_factory=list)

    def load(self, ids: list[str]) -> dict[str, StoredAlert]:
        return self.inner.load(ids)

    def store(self, changes: list[StoredAlert]) -> set[str]:
        if self.times:
            self.times -= 1
            AlertFolder(self.inner).fold([self.segments.pop(0)])
        self.lost.append(self.inner.store(changes))
        return self.lost[-1]


def test_two_that_fold_at_once_lose_nothing(alerts: SqliteAlerts) -> None:
    """Who was slower reads again, and folds into what the other made of it."""
    mine = sealed([[alert(), alert(name="cpu")]])
    other = sealed([[alert("resolved")], [alert()]], "shop/1", at=(5, 6))
    rival: Any = Rival(alerts, list(other), 2)
    assert AlertFolder(rival).fold(mine) == Folded(notices=2, changed=2)
    assert list(map(len, rival.lost)) == [1, 1, 0]
    found: Any = everything(alerts)
    assert (found["disk-7"]["messages"], found["disk-7"]["status"]) == (3, "firing")


def test_who_always_loses_comes_again(alerts: SqliteAlerts) -> None:
    """It is for the feed to give the slice again, and not for one call to go on for ever."""
    other = sealed([[alert()]] * 9, "shop/1")
    rival: Any = Rival(alerts, list(other), 9)
    with pytest.raises(Unavailable, match="all the time"):
        AlertFolder(rival).fold(sealed([[alert()]]))
    AlertFolder(alerts).fold(sealed([[alert()]]))
    found: Any = everything(alerts)
    assert found["disk-7"]["messages"] == 1 + fold_alerts.ROUNDS


def _damaged(stored: StoredAlert, alerts: SqliteAlerts) -> StoredAlert:
    del alerts
    return replace(stored, body=stored.body[:-1])


def _swapped(stored: StoredAlert, alerts: SqliteAlerts) -> StoredAlert:
    other = alerts.load([Key("shop", "sentry", "errors", "cpu").id])
    return replace(stored, body=next(iter(other.values())).body)


@pytest.mark.parametrize("damage", [_damaged, _swapped])
def test_a_damaged_record_is_begun_anew_and_told_of(
    alerts: SqliteAlerts, caplog: pytest.LogCaptureFixture, damage: Callable[..., StoredAlert]
) -> None:
    """Nobody waits for it: what comes next is folded, and giving the old again brings back what was told."""
    segments = sealed(STORY)
    folder = AlertFolder(alerts)
    folder.fold(segments[:4])
    key = Key("shop", "sentry", "errors", "disk-7").id
    assert alerts.store([damage(alerts.load([key])[key], alerts)]) == set()
    show = ShowAlerts(alerts, lambda: ["shop"])
    assert len(show.page(Wanted("shop")).alerts) == 2
    with pytest.raises(Missing, match="sentinel detect --from"):
        show.one("shop", key)
    caplog.clear()
    assert folder.fold(segments[4:]).anew == 1
    assert [(each.levelno, key in each.getMessage()) for each in caplog.records] == [(logging.ERROR, True)]
    found: Any = everything(alerts)
    assert (found["disk-7"]["messages"], found["disk-7"]["status"]) == (1, "firing")
    folder.fold(segments)
    again: Any = everything(alerts)
    assert (again["disk-7"]["messages"], again["disk-7"]["status"]) == (4, "resolved")


def test_what_is_no_webhooks_is_not_folded(alerts: SqliteAlerts) -> None:
    """A service that writes the same entry through its own door changes no alert."""
    folder = AlertFolder(alerts)
    assert folder.fold(sealed([[alert()]], endpoint="/v1/entries", subject="shop")) == Folded()
    assert everything(alerts) == {}


def test_a_segment_that_cannot_be_opened_keeps_no_other_waiting(alerts: SqliteAlerts) -> None:
    """All the others are folded, and then it is told."""
    segments = sealed(STORY)
    segments[1] = replace(segments[1], payload=b"x")
    with pytest.raises(Tampered):
        AlertFolder(alerts).fold(segments)
    found: Any = everything(alerts)
    assert found["disk-7"]["messages"] == 3


def _many(alerts: SqliteAlerts) -> ShowAlerts:
    told = [[alert(name=f"{number}", severity="error" if number % 2 else "info")] for number in range(9)]
    told.append([alert("resolved", name="3"), alert("acknowledged", name="4")])
    folder = AlertFolder(alerts)
    folder.fold(sealed(told))
    folder.fold(sealed([[alert(), alert(name="cpu")]], "other/0", at=(4,)))
    return ShowAlerts(alerts, lambda: ["other", "shop"])


def _fingerprints(found: show_alerts.Page) -> list[str]:
    return [f"{each['webhook']['service'][0]}{each['fingerprint']}" for each in found.alerts]  # type: ignore[index]


def test_lists_are_by_status_severity_and_service(alerts: SqliteAlerts) -> None:
    """The last heard first, of all statuses together, of one's own service or of all."""
    show = _many(alerts)
    own = _fingerprints(show.page(Wanted.of("shop")))
    assert sorted(own[:2]) == ["s3", "s4"]
    assert own[2:] == ["s8", "s7", "s6", "s5", "s2", "s1", "s0"]
    assert _fingerprints(show.page(Wanted.of("shop", "firing", "error"))) == ["s7", "s5", "s1"]
    assert _fingerprints(show.page(Wanted.of("shop", "resolved"))) == ["s3"]
    assert _fingerprints(show.page(Wanted.of("nobody"))) == []
    assert len(show.page(Wanted.of(None)).alerts) == 11
    for bad in ({"status": "on"}, {"severity": "dire"}):
        with pytest.raises(Malformed, match="is one of"):
            Wanted.of("shop", **bad)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("looked_at", [2, 2_000])
def test_pages_are_the_list(
    alerts: SqliteAlerts, monkeypatch: pytest.MonkeyPatch, limit: int, looked_at: int
) -> None:
    """One after the other they have each alert once, though many were heard at the same moment."""
    monkeypatch.setattr(show_alerts, "LOOKED_AT", looked_at)
    show = _many(alerts)
    for wanted in (Wanted.of(None), Wanted.of("shop"), Wanted.of(None, "firing", "error")):
        found: list[str] = []
        page = show.page(wanted, limit)
        while True:
            assert len(page.alerts) <= limit
            found += _fingerprints(page)
            if not page.next:
                break
            page = show.page(wanted, limit, page.next)
        assert (
            len(found) == len(set(found)) == {None: 11, "shop": 9}[wanted.service] - 6 * bool(wanted.status)
        )


@pytest.mark.parametrize("start", ["x", "1.x", "-1." + "a" * 26, "9223372036854775808." + "a" * 26, "1.A"])
def test_a_place_that_no_page_said_is_refused(alerts: SqliteAlerts, start: str) -> None:
    """Whatever is sent as `next`."""
    with pytest.raises(Malformed):
        ShowAlerts(alerts, list).page(Wanted("shop"), 1, start)


def test_one_alert_is_its_services(alerts: SqliteAlerts) -> None:
    """Others are told that there is none, as for one that is not there and for what cannot be an id."""
    show = _many(alerts)
    key = Key("shop", "sentry", "errors", "3").id
    assert show.one("shop", key)["status"] == show.one(None, key)["status"] == "resolved"
    for service, name in (
        ("other", key),
        ("shop", "a" * 26),
        (None, "x" * 5_000),
        (None, ""),
        (None, "é" * 26),
    ):
        with pytest.raises(Missing):
            show.one(service, name)


def test_hooks_and_services_tell_alerts_apart(alerts: SqliteAlerts) -> None:
    """The same fingerprint of another webhook, or of another service, is another problem."""
    folder = AlertFolder(alerts)
    for chain, by in (("shop/0", ("sentry", "a")), ("shop/0", ("sentry", "b")), ("other/0", ("sentry", "a"))):
        folder.fold(sealed([[alert()]], chain, by))
    assert len(ShowAlerts(alerts, lambda: ["other", "shop"]).page(Wanted(None)).alerts) == 3


def test_an_alert_of_any_kind_is_shown() -> None:
    """What a record shows of a bare alert is what the API's document says."""
    from jsonschema_rs import validator_for

    from sentinel.entrypoints.openapi import document

    whole = document()
    store = SqliteAlerts(":memory:")
    AlertFolder(store).fold(
        sealed([[Alert("", alert().severity, Status.UNKNOWN)], *STORY, *[[alert()]] * 60])
    )
    show = ShowAlerts(store, lambda: ["shop"])
    page = show.page(Wanted(None)).json()
    listed: Any = page["alerts"]
    assert len(listed) == 4
    schemas = {"components": whole["components"]}
    validator_for({"$ref": "#/components/schemas/Alerts", **schemas}).validate(page)
    for each in listed:
        one = show.one("shop", each["id"])
        validator_for({"$ref": "#/components/schemas/Alert", **schemas}).validate(one)
    store.close()
