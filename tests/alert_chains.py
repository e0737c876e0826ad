"""Chains of alerts to test with: as `Receiver.store` seals what webhooks tell, from plain words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.core.segment import Batch, Head, Segment
from sentinel.ports_doors import Delivery
from sentinel.usecases.alert_entries import alert_entries
from sentinel.webhooks.source import stored

SECOND = 1_000_000_000
START = 1_772_359_200 * SECOND


def alert(status: str = "firing", name: str = "disk-7", severity: str = "error", **more: Any) -> Alert:
    """Return an alert; times are seconds after `START`, as they are easier to read."""
    times: dict[str, Any] = {
        each: START + more.pop(each) * SECOND for each in ("started", "ended", "updated") if each in more
    }
    told: dict[str, Any] = {"title": "Disk full", **more, **times}
    return Alert(severity=Severity(severity), status=Status(status), fingerprint=name, **told)


def sealed(
    messages: Sequence[Sequence[Alert]],
    chain: str = "shop/0",
    by: tuple[str, str] = ("sentry", "errors"),
    at: Sequence[int] = (),
    **context: object,
) -> list[Segment]:
    """Return a chain with a segment a message, sealed `at` seconds after `START`, one after the other if not.

    `by` is source and hook; `context` is what stands in the place of the segments' own.
    """
    rng, head, segments = random.Random(1), Head.genesis(chain), []
    source, hook = by
    for number, alerts in enumerate(messages):
        delivery = Delivery(source, hook, f"m{number}")
        entries = [*stored(delivery, b"{}"), *alert_entries(delivery, alerts)]
        told = {"service": chain.partition("/")[0], "endpoint": f"/hooks/{source}/{hook}"}
        told |= {"subject": f"hook/{source}/{hook}", "instance": f"hook/{source}/{hook}"}
        draft = Batch(number.to_bytes(16, "big"), entries, {**told, **context}).draft(0, rng.randbytes(32))
        assert draft.part.total == draft.part.count
        t = START + (at[number] if at else number) * SECOND
        segment, head = draft.place(chain, head, t)
        segments.append(segment)
    return segments
