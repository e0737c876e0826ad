"""The change feeds: DynamoDB Streams records become segments or task changes, and go to one use case.

Each function takes records in order and returns how many it finished; Lambda retries from the next one.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.entrypoints.aws import image
from sentinel.errors import Tampered, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.segment import Segment

SLICE = 5_000  # entries that detection is given at once
SECONDS = 300.0  # after so long what is finished is reported; a slice takes less than the function still has

log = logging.getLogger("sentinel.feeds")


def detect(app: App, records: list[dict[str, Any]]) -> int:
    """Give new segments to detection, and raise the alarm for every other change of the ledger.

    Works in slices: what is finished counts, also when a later slice finds a store away or time is up.
    """
    begun = time.monotonic()
    done = 0
    while done < len(records) and (not done or time.monotonic() - begun < SECONDS):
        segments, end = _slice(records, done)
        try:
            found = app.detector.detect(segments)
        except Unavailable as error:
            log.warning("detection will be tried again: %s", error)
            return done
        except Tampered as error:
            # All other segments were worked through, and trying again mends nothing: page someone, and go on.
            _alarm(error)
        else:
            told = {"entries": found.entries, "matches": found.matches, "tasks": len(found.tasks)}
            # Hits that correlations could not count: they came too late or again, or there was no room.
            told |= {name: value for name, value in (("old", found.old), ("let_go", found.let_go)) if value}
            for name, value in told.items():
                observe.count("detect", name, value)
        done = end
    return done


def _slice(records: list[dict[str, Any]], at: int) -> tuple[list[Segment], int]:
    """Return the segments of the next records, some thousand entries or one segment, and where they end."""
    from sentinel.adapters.dynamodb_ledger import from_item

    segments: list[Segment] = []
    size = 0
    while at < len(records) and size < SLICE:
        record = records[at]
        at += 1
        if record["eventName"] != "INSERT":
            _tripped(record)
            continue
        try:
            segments.append(from_item(image(record["dynamodb"]["NewImage"])))
            size += segments[-1].count
        except Tampered as error:
            _alarm(error)
    return segments, at


def _tripped(record: dict[str, Any]) -> None:
    """Tell of an item that was changed or removed: nothing of ours does that, and no role of ours may."""
    keys = record["dynamodb"]["Keys"]
    place = f"{keys['chain']['S']} at entry {keys['first']['N']}"
    _alarm(f"the ledger's item of chain {place} was changed: {record['eventName']}")


def _alarm(what: object) -> None:
    log.critical("tampered: %s", what)
    observe.count("detect", "tampered", 1)


def dispatch(app: App, records: list[dict[str, Any]]) -> int:
    """Give the tasks that became queued to dispatch."""
    from sentinel.core.tasks import State
    from sentinel.usecases.dispatch import Change
    from sentinel.usecases.dispatch import dispatch as hint

    known = {state.value for state in State}
    changes = []
    for record in records:
        new = record["dynamodb"].get("NewImage")
        if new is not None and new["item"]["S"] == "state":
            if new["state"]["S"] in known:
                changes.append(Change(new["task"]["S"], State(new["state"]["S"]), new["stream"]["S"]))
            else:
                log.critical("tampered: task %s has a state that was not written by us", new["task"]["S"])
    try:
        observe.count("dispatch", "hints", hint(changes, app.queue, app.doorbell))
    except Unavailable as error:
        log.warning("dispatch will be tried again: %s", error)
        return 0
    return len(records)
