"""Strangers: whoever may write what a source sends, and has proven nothing to anybody.

Anybody who has the public DSN of a project can have Sentry tell of an error that never was. Such a message
is genuine, and proves nothing: it alone starts no step that writes anywhere. That takes an entry of another
source, or a person, of whom the task's lineage tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sentinel.core.steps import Matched
from sentinel.core.tasks import Event, Task

_MARK = b'"strangers"'
ALONE = (
    "it writes, and only what strangers wrote set the task off: look at it and redrive the task; "
    "or have the recipe ask for approval, or match another source as well"
)


def strangers_alone(task: Task, entries: Sequence[Matched]) -> bool:
    """Say whether nothing but what strangers wrote set a task off.

    `entries` are those of the task that the ledger still has: what is gone speaks for nobody. A schedule is
    no stranger.
    """
    return bool(_named(task)) and all(_by_strangers(each.entry) for each in entries)


def all_there(task: Task, entries: Sequence[Matched]) -> bool:
    """Say whether the ledger still has each entry that set a task off."""
    return len(entries) == len(_named(task))


def seen_by_somebody(events: Sequence[Event]) -> bool:
    """Say whether a lineage tells of a person: one who accepted, approved, forked, retried or redrove."""
    return any(event.body.get("who") for event in events)


def _named(task: Task) -> list[Any]:
    places = task.cause.get("entries")
    return places if isinstance(places, list) else []


def _by_strangers(entry: bytes) -> bool:
    """Say whether an entry is of a webhook that says so itself: only the receiver of webhooks adds that."""
    if _MARK not in entry:
        return False
    try:
        told = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return False
    webhook = told.get("webhook") if isinstance(told, dict) else None
    return isinstance(webhook, dict) and webhook.get("strangers") is True
