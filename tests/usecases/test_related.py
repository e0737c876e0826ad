"""Related entries: the message behind an alert, and what the same trace logged, close by and bounded."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Batch, Head, Segment
from sentinel.core.steps import Matched
from sentinel.usecases.related import AHEAD, SEGMENTS, failure_from, related

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOOK = {"endpoint": "/hooks/sentry/errors", "subject": "hook/sentry/errors"}
EVENT = {
    "event_id": "a" * 32,
    "contexts": {"trace": {"trace_id": TRACE}},
    "exception": {
        "values": [
            {
                "type": "KeyError",
                "value": "1",
                "stacktrace": {"frames": [{"filename": "src/cart.py", "function": "total", "lineno": 3}]},
            }
        ]
    },
}
TOLD = {"source": "sentry", "hook": "errors", "id": "m1"}


def dumped(value: object) -> bytes:
    """Return JSON."""
    return json.dumps(value).encode()


MESSAGE = dumped({"webhook": TOLD, "body": json.dumps({"data": {"event": EVENT}})})
ALERT = dumped(
    {"webhook": {**TOLD, "alert": 0}, "alert": {"title": "KeyError: 1", "labels": {"error": "KeyError"}}}
)


class Counted(SqliteLedger):
    """A ledger that counts what is read."""

    reads = 0

    def at(self, chain: str, seq: int) -> Segment | None:
        """Count and read."""
        self.reads += 1
        return super().at(chain, seq)


def ledger_of(*batches: tuple[Sequence[bytes], dict[str, str]], chain: str = "shop/0") -> Counted:
    """Return a ledger whose chain has a segment a batch."""
    ledger, head = Counted(":memory:"), Head.genesis(chain)
    for number, (entries, context) in enumerate(batches):
        batch = Batch(number.to_bytes(16, "big"), list(entries), {"service": "shop", **context})
        segment, head = batch.draft(0, bytes(32)).place(chain, head, 1_000 + number)
        ledger.append(segment)
    return ledger


def entry_at(ledger: SqliteLedger, seq: int, hook: str = "") -> Matched:
    """Return an entry as one that a rule matched."""
    segment = ledger.at("shop/0", seq)
    assert segment is not None
    return Matched("shop/0", seq, segment.t, segment.opened.entries[seq - segment.first], hook)


def test_an_alert_leads_to_the_message_that_told_it() -> None:
    """The rule matched the alert's entry; the stack trace is in the message before it."""
    ledger = ledger_of(([b"before"], {}), ([MESSAGE, ALERT], HOOK))
    failure = failure_from(ledger, [entry_at(ledger, 2, "sentry/errors")])
    assert failure.calls[0].file == "src/cart.py"
    assert failure.traces == (TRACE,)


def test_a_message_by_another_door_is_not_it() -> None:
    """Whoever writes entries of a webhook's form tells no part of that webhook's message."""
    ledger = ledger_of(([MESSAGE], {"endpoint": "/v1/entries"}), ([ALERT], HOOK))
    assert failure_from(ledger, [entry_at(ledger, 1, "sentry/errors")]).calls == ()


def test_entries_of_the_trace_are_said() -> None:
    """Those that name its id, and those whose request was part of it; no others, and not the matched one."""
    named = dumped({"message": "charge card", "trace_id": TRACE})
    ledger = ledger_of(
        ([named, b'{"message": "other"}'], {}),
        ([b'{"message": "by request"}'], {"trace": TRACE}),
        ([MESSAGE, ALERT], HOOK),
        ([named], {}),
    )
    failure = failure_from(ledger, [entry_at(ledger, 4, "sentry/errors")])
    texts = [each.text for each in failure.said]
    assert "charge card" in texts
    assert "by request" in texts
    assert "other" not in texts
    assert texts.count("charge card") == 1  # what comes in a later segment is not read


def test_what_is_read_and_kept_is_bounded() -> None:
    """So many entries back, ahead in the same segment, so many kept, so many segments of a chain."""
    entry = dumped({"trace_id": TRACE})
    ledger = ledger_of(*(([entry], {}) for _ in range(300)))
    found = related(ledger, [entry_at(ledger, 299)], [TRACE])
    assert len(found.traced) == SEGMENTS - 1
    assert ledger.reads <= SEGMENTS + 2
    whole = ledger_of(([entry] * 1_000, {}))
    found = related(whole, [entry_at(whole, 500)], [TRACE], back=20, kept=1_000)
    assert [each.seq for each in found.traced] == [*range(480, 500), *range(501, 501 + AHEAD)]
    found = related(whole, [entry_at(whole, 500)], [TRACE], kept=3)
    assert [each.seq for each in found.traced] == [498, 499, 501]


def test_without_a_trace_nothing_is_related() -> None:
    """Entries that only stand near are none of the failure's."""
    ledger = ledger_of(([b"a", b"b"], {}))
    assert related(ledger, [entry_at(ledger, 0)], []).traced == ()
    assert [each.text for each in failure_from(ledger, [entry_at(ledger, 0)]).said] == ["a"]
