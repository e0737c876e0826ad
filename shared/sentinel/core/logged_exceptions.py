"""Exceptions in structured logs and alerts, by the names that log formats have for them.

Read are the semantic conventions of OpenTelemetry (`exception.*`), Datadog's error tracking (`error.kind`,
`error.stack`), the Elastic Common Schema (`error.type`, `error.stack_trace`), what AWS Lambda and Powertools
log, `structlog`'s structured tracebacks with the variables of their frames, the example's own handler, and
else any stack trace in the message.
"""

from __future__ import annotations

from typing import Final

from sentinel.core.failure_parts import (
    MAX_NAME,
    MAX_PATH,
    MAX_READ_CALLS,
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
from sentinel.core.prompt_parts import ENTRY, TAG, Said
from sentinel.core.stack_texts import MAX_STACK, exceptions

_TYPES: Final = (
    *("exception.type", "error.kind", "error.type", "exception_name", "exc_type", "errorType", "error.name"),
    *("exception.class", "err.type", "error.class"),
)
_MESSAGES: Final = (
    *("exception.message", "error.message", "exc_value", "errorMessage", "exception.value", "err.message"),
    *("message", "msg", "event", "body", "log", "error", "text"),
)
_STACKS: Final = (
    *("exception.stacktrace", "error.stack", "error.stack_trace", "exception.stack", "exception.stack_trace"),
    *(
        "stack_trace",
        "stacktrace",
        "stackTrace",
        "traceback",
        "exc_info",
        "exception",
        "err.stack",
        "stack",
        "error",
    ),
    *("message", "msg", "event", "body", "log", "text"),
)
_RELEASES: Final = ("resource.service.version", "service.version", "version", "release", "dd.version")
_TRACES: Final = (
    *("trace_id", "traceId", "trace.id", "traceparent", "dd.trace_id", "otelTraceID", "xray_trace_id"),
    *("contexts.trace.trace_id", "attributes.trace_id", "attributes.traceparent"),
)
_SCOPES: Final = ("", "attributes", "body", "data", "message", "attributes.attributes")
_EXCEPTIONS = 20


def logged(document: object) -> Told:
    """Return what a structured log entry tells; empty where it tells nothing."""
    thrown: tuple[Thrown, ...] = ()
    for scope in _SCOPES:
        value = at(document, scope) if scope else document
        found = _thrown(value) if isinstance(value, dict) else ()
        if found and (not thrown or (found[0].calls and not thrown[0].calls)):
            thrown = found
    message = text(document, "message", "msg", "event", "body", "log", "text", "errorMessage")
    return Told(
        thrown,
        (Said(ENTRY, message),) if message else (),
        text(document, *_RELEASES, most=MAX_NAME),
        traces_of(*(at(document, each) for each in _TRACES)),
    )


def alerted(document: object) -> Told | None:
    """Return what an alert of a webhook (`core.alerts`) tells: the type and file, where it has them."""
    alert = at(document, "alert")
    if not isinstance(alert, dict) or not isinstance(at(document, "webhook"), dict):
        return None
    labels = alert.get("labels")
    file = text(labels, "file", most=MAX_PATH)
    calls = (Seen(call_of(file, "", 0), is_own(file)),) if file else ()
    message = text(alert, "description", "title")
    found = exceptions(message)
    thrown = found or (Thrown(text(labels, "error", most=MAX_NAME), message, calls),)
    said = [Said(ENTRY, text(alert, "title"))]
    tags = list(labels.items())[:_EXCEPTIONS] if isinstance(labels, dict) else []
    said += [Said(TAG, f"{name} {value}"[:MAX_PATH]) for name, value in tags]
    return Told(thrown, tuple(said), text(labels, "release", "version", most=MAX_NAME), ())


def _thrown(value: dict[str, object]) -> tuple[Thrown, ...]:
    structured = [_structured(each) for each in each_of(value, "exception", _EXCEPTIONS)]
    if any(each.calls for each in structured):
        return tuple(structured)
    exception, message = text(value, *_TYPES, most=MAX_NAME), text(value, *_MESSAGES)
    for path in _STACKS:
        told = at(value, path)
        if isinstance(told, list):  # AWS Lambda: one line or more each
            told = "\n".join(each for each in told[:MAX_READ_CALLS] if isinstance(each, str))
        found = exceptions(told[:MAX_STACK]) if isinstance(told, str) else ()
        if found:
            first = found[0]
            named = Thrown(exception or first.exception, _message(value, first), first.calls)
            return (named, *found[1:])
    return (Thrown(exception, message),) if exception else ()


def _message(value: dict[str, object], first: Thrown) -> str:
    """Return the message of the exception: the log's own only where no other is told."""
    return text(value, *_MESSAGES[:6]) or first.message or ("" if first.exception else text(value, "message"))


def _structured(told: dict[str, object]) -> Thrown:
    """Return an exception as `structlog` tells it: frames with the outermost first."""
    frames = [
        (
            text(each, "filename", "file", most=MAX_PATH),
            text(each, "name", "function", most=MAX_NAME),
            each.get("lineno", each.get("line")),
            each.get("locals", each.get("vars")),
        )
        for each in each_of(told, "frames", MAX_READ_CALLS)
    ]
    calls = tuple(Seen(call_of(*each), is_own(each[0])) for each in reversed(frames))
    return Thrown(
        text(told, "exc_type", "type", most=MAX_NAME),
        text(told, "exc_value", "message", "value"),
        calls,
    )
