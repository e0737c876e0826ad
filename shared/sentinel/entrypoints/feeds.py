"""The change feeds: DynamoDB Streams records become segments or task changes, and go to one use case.

Each function takes records in order and returns how many it finished; Lambda retries from the next one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.entrypoints.aws import image
from sentinel.errors import Tampered, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

log = logging.getLogger("sentinel.feeds")


def detect(app: App, records: list[dict[str, Any]]) -> int:
    """Give new segments to detection, and raise the alarm for every other change of the ledger."""
    from sentinel.adapters.dynamodb_ledger import from_item

    segments = []
    for record in records:
        if record["eventName"] != "INSERT":
            _tripped(record)
            continue
        try:
            segments.append(from_item(image(record["dynamodb"]["NewImage"])))
        except Tampered as error:
            _alarm(error)
    try:
        found = app.detector.detect(segments)
    except Unavailable as error:
        log.warning("detection will be tried again: %s", error)
        return 0
    except Tampered as error:
        # All other segments were worked through, and trying again mends nothing: page someone, and go on.
        _alarm(error)
        return len(records)
    for name, value in (("entries", found.entries), ("matches", found.matches), ("tasks", len(found.tasks))):
        observe.count("detect", name, value)
    return len(records)


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
