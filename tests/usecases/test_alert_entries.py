"""The entries of alerts: one each, bounded in number and in bytes, and what is left out is said."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from sentinel.core.alerts import MAX_LABELS, Alert, Severity, Status, Unparsed
from sentinel.core.entry import MAX_BATCH_BYTES, parse
from sentinel.core.replies import mark
from sentinel.ports_doors import Delivery
from sentinel.usecases.alert_entries import MOST, MOST_BYTES, alert_entries, told
from sentinel.usecases.receive import MAX_BODY
from sentinel.webhooks.source import stored

DELIVERY = Delivery("sentry", "hook", "m1")


def alert(number: int, description: str = "") -> Alert:
    """Return one of many."""
    return Alert(f"a{number}", Severity.ERROR, Status.FIRING, f"f{number}", description=description)


@pytest.mark.parametrize(
    ("count", "kept"), [(0, 0), (1, 1), (MOST, MOST), (MOST + 1, MOST), (9 * MOST, MOST)]
)
def test_a_message_has_so_many_alerts(count: int, kept: int) -> None:
    """Each names its message and its place; the last says how many more there were, if any."""
    found = [orjson.loads(entry) for entry in alert_entries(DELIVERY, [alert(n) for n in range(count)])]
    assert [each["webhook"]["alert"] for each in found] == list(range(kept))
    assert [each["alert"]["title"] for each in found] == [f"a{n}" for n in range(kept)]
    assert [each["webhook"].get("left_out", 0) for each in found] == [0] * (kept - 1) + [count - kept] * (
        kept > 0
    )


def test_the_longest_message_with_the_longest_alerts_is_a_batch() -> None:
    """However its alerts repeat what the body says once, all of it fits; none goes without being counted."""
    wide = "\U0001f525" * 4_000
    entries = alert_entries(DELIVERY, [alert(n, wide) for n in range(MOST)])
    assert sum(map(len, entries)) <= MOST_BYTES
    assert orjson.loads(entries[-1])["webhook"]["left_out"] == MOST - len(entries)
    whole = b"\n".join([*stored(DELIVERY, b'"' * MAX_BODY), *entries])
    assert 4_000_000 < len(whole) <= MAX_BATCH_BYTES
    assert parse(whole).bad == 0


def test_an_echo_of_our_own_words_is_labelled() -> None:
    """An alert that holds the mark of a reply is `by: sentinel`; one that only mentions Sentinel is not."""
    for text, label in ((f"event: x {mark('ab' * 32)}", "sentinel"), ("sentinel:abc", None)):
        (entry,) = alert_entries(DELIVERY, [alert(0, text)])
        assert orjson.loads(entry)["alert"].get("labels", {}).get("by") == label
    full = replace(alert(0, mark("ab" * 32)), labels={f"l{n}": "x" for n in range(MAX_LABELS)})
    (entry,) = alert_entries(DELIVERY, [full])
    assert orjson.loads(entry)["alert"]["labels"]["by"] == "sentinel"


def test_a_stranger_does_not_pass_for_us() -> None:
    """A mark can be read where it was posted: quoted by anybody it hides nothing from rules over alerts."""
    anybody = replace(DELIVERY, strangers=True)
    (entry,) = alert_entries(anybody, [alert(0, f"boom {mark('ab' * 32)}")])
    assert "by" not in orjson.loads(entry)["alert"].get("labels", {})


def test_what_is_not_understood_has_a_reason() -> None:
    """One line, bounded, and never none."""

    def parked(reason: str) -> list[Alert]:
        raise Unparsed(reason)

    assert told(lambda: [alert(1)]) == ([alert(1)], "")
    assert told(lambda: parked("no\ntitle")) == ([], "no title")
    assert told(lambda: parked("")) == ([], "not understood")
    assert len(told(lambda: parked("x" * 999))[1]) == 300
