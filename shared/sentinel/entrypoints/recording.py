"""The signing of erasures, as the role that erases asks for it (docs/erasure.md).

The event has the fields of `core.erasure_notes.Asked`, for a record, or of `core.lineage_notes.AskedEvent`,
for an event of a lineage; the answer is `{"note"}`, or `{"error", "message"}` for what is not signed. Only
what nobody foresaw raises. Nothing of an event of a lineage is logged: it is about to be erased.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sentinel.core.erasure_notes import Asked
from sentinel.core.lineage_notes import AskedEvent
from sentinel.entrypoints import observe
from sentinel.errors import Forbidden, Malformed, Rejected, SentinelError, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.entrypoints.aws import Bootstrap, Handler

log = logging.getLogger("sentinel.record")

FUNCTION = "record"


def records(bootstrap: Bootstrap) -> Handler:
    """Make the handler."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        with observe.call(FUNCTION, context):
            return record(bootstrap(), event)

    return handler


def record(app: App, event: object) -> dict[str, Any]:
    """Sign what is asked for.

    Metrics: `signed`; `refused`, which is an alarm: our own command asks for nothing that is refused.
    """
    try:
        about, note = _signed(app, event)
    except (Rejected, Unavailable) as error:
        if isinstance(error, Rejected):
            observe.count(FUNCTION, "refused", 1)
        log.warning("nothing is signed: %s: %s", type(error).__name__, error)
        return {"error": _name(error), "message": str(error)}
    observe.count(FUNCTION, "signed", 1)
    log.info("signed %s", about)
    return {"note": note.decode()}


def _signed(app: App, event: object) -> tuple[str, bytes]:
    """Return what was signed, for the log, and the note."""
    if isinstance(event, dict) and "entry" in event:
        told = AskedEvent.read(event)
        return f"event {told.seq} of task {told.task}", app.log_notes.note(told)
    asked = Asked.read(event)
    about = f"the record of entries {asked.first} to {asked.last} of {asked.origin}"
    return about, app.log_recorder.record(asked)


def _name(error: SentinelError) -> str:
    """Return the kind of an error by what to do about it, whatever its own name is."""
    kinds = (Malformed, Forbidden, Unavailable)
    return next((each.__name__ for each in kinds if isinstance(error, each)), Forbidden.__name__)
