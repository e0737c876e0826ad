"""Events of Sentry: their exceptions, breadcrumbs and tags, in the form that SDKs send and webhooks hold.

Format: the event payload of Sentry's developer documentation (`exception.values[]` with the oldest cause
first, `stacktrace.frames[]` with the outermost first), and the `entries` of its API. Without an event, as
in webhooks of issues, `metadata` has the type, the message and the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sentinel.core.failure_parts import (
    MAX_NAME,
    MAX_PATH,
    MAX_READ_CALLS,
    MAX_TEXT,
    Seen,
    Thrown,
    Told,
    at,
    call_of,
    each_of,
    is_own,
    text,
    traces_of,
)
from sentinel.core.prompt_parts import BREADCRUMB, ENTRY, TAG, Said

_EXCEPTIONS = 20
_SAID = 50  # breadcrumbs, and tags
_PLACES = ("", "data.event", "data.error", "event")


def told(document: object) -> Told | None:
    """Return what a document tells that is, or holds, an event or an issue; None where it does not."""
    for place in _PLACES:
        event = at(document, place) if place else document
        if isinstance(event, dict) and (_thrown(event) or text(event, "event_id")):
            return _event(event)
    for place in ("data.issue", "data.metric_alert"):
        issue = at(document, place)
        if isinstance(issue, dict):
            return _issue(issue)
    return None


def _event(event: dict[str, object]) -> Told:
    thrown = _thrown(event)
    tags = dict(_tags(event))
    message = text(event, "logentry.formatted", "logentry.message", "message", "title", "metadata.value")
    if not thrown:
        thrown = [Thrown(text(event, "metadata.type", most=MAX_NAME), message, tuple(_culprit(event)))]
    said = [Said(ENTRY, message)] if message else []
    said += [Said(BREADCRUMB, each) for each in _crumbs(event)]
    said += [Said(TAG, f"{name} {value}") for name, value in tags.items()]
    release = text(event, "release", "release.version", most=MAX_NAME) or tags.get("release", "")
    traces = traces_of(at(event, "contexts.trace.trace_id"), tags.get("trace_id"))
    return Told(tuple(thrown), tuple(said), release, traces)


def _issue(issue: dict[str, object]) -> Told:
    thrown = Thrown(
        text(issue, "metadata.type", most=MAX_NAME),
        text(issue, "metadata.value", "title", "culprit", "alert_rule.name"),
        tuple(_culprit(issue)),
    )
    title = text(issue, "title", "alert_rule.name")
    return Told((thrown,), (Said(ENTRY, title),) if title else ())


def _culprit(event: object) -> Iterator[Seen]:
    """Yield where it failed as far as it is told without a stack: a file and a function, no line."""
    file = text(event, "metadata.filename", most=MAX_PATH)
    if file:
        yield Seen(call_of(file, text(event, "metadata.function", most=MAX_NAME), 0), is_own(file))


def _thrown(event: dict[str, object]) -> list[Thrown]:
    """Return the exceptions, the last thrown first; a group behind what it holds."""
    found = [*each_of(event, "exception.values", _EXCEPTIONS), *each_of(event, "exception", _EXCEPTIONS)]
    for entry in each_of(event, "entries", _SAID):
        if entry.get("type") == "exception":
            found += each_of(entry, "data.values", _EXCEPTIONS)
    made = [_exception(each) for each in reversed(found) if {"type", "value", "stacktrace"} & each.keys()]
    return sorted(made, key=lambda each: each.group)


def _exception(value: dict[str, object]) -> Thrown:
    frames = reversed(list(each_of(value, "stacktrace.frames", MAX_READ_CALLS)))
    return Thrown(
        text(value, "type", most=MAX_NAME),
        text(value, "value"),
        tuple(_frame(each) for each in frames),
    )


def _frame(frame: dict[str, object]) -> Seen:
    """Return one frame. The longer path says more, unless it is an address of the web."""
    name, whole = text(frame, "filename", most=MAX_PATH), text(frame, "abs_path", "absPath", most=MAX_PATH)
    file = whole if whole and "://" not in whole else name or whole
    module = text(frame, "module", most=MAX_PATH)
    if name.endswith((".java", ".kt")) and "/" not in name and "." in module:
        file = f"{module.rpartition('.')[0].replace('.', '/')}/{name}"
    line = frame.get("lineno", frame.get("lineNo"))
    own = frame.get("in_app", frame.get("inApp"))
    call = call_of(file, text(frame, "function", most=MAX_NAME), line, frame.get("vars"))
    return Seen(call, own if isinstance(own, bool) else is_own(file))


def _crumbs(event: dict[str, object]) -> Iterator[str]:
    found = [*each_of(event, "breadcrumbs.values", _SAID), *each_of(event, "breadcrumbs", _SAID)]
    for each in found[-_SAID:]:
        said = f"{text(each, 'category', most=MAX_NAME)} {text(each, 'message', 'data.url', 'type')}".strip()
        if said:
            yield said[:MAX_TEXT]


def _tags(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield tags: an object, or a list of pairs, which may be lists or objects."""
    tags = event.get("tags")
    pairs: list[object] = []
    if isinstance(tags, dict):
        pairs = [list(each) for each in tags.items()]
    elif isinstance(tags, list):
        pairs = [[each.get("key"), each.get("value")] if isinstance(each, dict) else each for each in tags]
    for each in pairs[:_SAID]:
        if isinstance(each, list) and len(each) == 2 and all(isinstance(one, str) for one in each):
            yield str(each[0]).removeprefix("sentry:")[:MAX_NAME], str(each[1])[:MAX_TEXT]
