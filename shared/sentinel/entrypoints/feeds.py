"""The change feeds: DynamoDB Streams records become segments or task changes, and go to one use case.

Each function takes records in order and returns how many it finished; Lambda retries from the next one.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.entrypoints.changes import change_of
from sentinel.errors import Tampered, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.segment import Segment
    from sentinel.core.tripwire import Change

SLICE = 5_000  # entries that detection is given at once
SECONDS = 300.0  # after so long what is finished is reported; a slice takes less than the function still has

log = logging.getLogger("sentinel.feeds")


def detect(app: App, records: list[dict[str, Any]]) -> int:
    """Give new segments to detection, and raise the alarm for every change of the ledger that is not ours.

    Works in slices: what is finished counts, also when a later slice finds a store away or time is up.
    """
    begun = time.monotonic()
    done = 0
    while done < len(records) and (not done or time.monotonic() - begun < SECONDS):
        segments, changes, end = _slice(app, records, done)
        try:
            _watched(app, changes)
            known = _looked_at(app, segments)
            _folded(app, segments, known=known)
        except Unavailable as error:
            log.warning("detection will be tried again: %s", error)
            return done
        done = end
    return done


def _looked_at(app: App, segments: list[Segment]) -> bool:
    """Give segments to detection; one that it cannot get through is told of and left out.

    Returns whether one was tampered with, which was told.
    Raises `Unavailable`, and what else fails without the fault of an entry: then all of it is tried again.
    """
    try:
        return _detected(app, segments)
    except Unavailable:
        raise
    except Exception:
        # No entry should be able to do this. Tried again it would keep its shard waiting, and all behind it.
        good = [segment for segment in segments if not _poisons(app, segment)]
        if len(good) == len(segments):
            raise
        return _detected(app, good)


def _poisons(app: App, segment: Segment) -> bool:
    try:
        app.detector.match(segment)
    except (Unavailable, Tampered):
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, the shard has to go on
        # Its kind only: its text may quote the entry.
        log.critical(
            "poison: entries %d to %d of chain %s, sealed at %d s, cannot be matched: %s; "
            "once that is mended, `sentinel detect` makes what they ask for",
            *(segment.first, segment.first + segment.count - 1, segment.chain),
            *(segment.t // 1_000_000_000, type(error).__name__),
        )
        observe.count("detect", "poison", 1)
        return True
    return False


def _detected(app: App, segments: list[Segment]) -> bool:
    try:
        found = app.detector.detect(segments)
    except Tampered as error:
        # All other segments were worked through, and trying again mends nothing: page someone, and go on.
        _alarm(error)
        return True
    told = {"entries": found.entries, "matches": found.matches, "tasks": len(found.tasks)}
    # Hits that correlations could not count: they came too late or again, or there was no room.
    told |= {name: value for name, value in (("old", found.old), ("let_go", found.let_go)) if value}
    for name, value in told.items():
        observe.count("detect", name, value)
    return False


def _folded(app: App, segments: list[Segment], *, known: bool) -> None:
    """Fold the alerts of segments, behind detection: tasks come first. Raises `Unavailable`."""
    try:
        found = app.alert_folder.fold(segments)
    except Tampered as error:
        # Detection opens no segment where there are no rules, so it may not have been told of.
        if not known:
            _alarm(error)
        return
    for name, value in (("alerts", found.changed), ("alerts_begun_anew", found.anew)):
        if value:
            observe.count("detect", name, value)


def _slice(app: App, records: list[dict[str, Any]], at: int) -> tuple[list[Segment], list[Change], int]:
    """Return new segments of the next records, some thousand entries or one; all changes; where they end."""
    segments: list[Segment] = []
    changes: list[Change] = []
    size = 0
    while at < len(records) and size < SLICE:
        changes.append(change_of(records[at]))
        at += 1
        new = changes[-1].new
        if changes[-1].kind == "INSERT" and new is not None:
            segments.append(app.opens(new))
            size += new.count
    return segments, changes, at


def _watched(app: App, changes: list[Change]) -> None:
    """Hold changes against what may change. Raises `Unavailable`: then they are looked at again."""
    for change in changes:
        why = app.tripwire.look(change)
        if why:
            _alarm(f"the ledger's item of chain {change.chain} at entry {change.first}: {change.kind}: {why}")


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
            state, line = (new.get(name, {}).get("S", "") for name in ("state", "stream"))
            if state in known and line:
                changes.append(Change(new["task"]["S"], State(state), line))
            else:
                log.critical("tampered: task %s has a state that was not written by us", new["task"]["S"])
    try:
        observe.count("dispatch", "hints", hint(changes, app.queue, app.doorbell))
    except Unavailable as error:
        log.warning("dispatch will be tried again: %s", error)
        return 0
    return len(records)
