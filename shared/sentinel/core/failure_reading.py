"""Failures, read from entries as the ledger holds them: `failure_of`.

Entries are messages of webhooks with the alerts that they told, logs by OTLP, events of Sentry, structured
logs with an exception, and plain text with a stack trace. Which it is, is told by their form; all of it may
be written by anybody, so nothing is believed and nothing raises. Of several failures the first counts that
has most to go by.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from sentinel.core import sentry_events
from sentinel.core.failure_parts import MAX_TEXT, MAX_TRACES, Thrown, Told, at, ordered, text
from sentinel.core.failures import Failure
from sentinel.core.logged_exceptions import alerted, logged
from sentinel.core.prompt_parts import ENTRY, Said
from sentinel.core.stack_texts import MAX_STACK, exceptions
from sentinel.core.steps import Matched
from sentinel.core.templates import message_of

MAX_READ_ENTRIES: Final = 200
MAX_MESSAGE: Final = 4_000_000  # bytes of one webhook's message: parts and base64 together
MAX_SAID: Final = 300
_CAUSES = 5  # exceptions behind the failure that are told in words

Entry = Matched | bytes


def failure_of(entries: Sequence[Entry], related: Sequence[Entry] = ()) -> Failure:
    """Return the failure that entries tell of; what they do not tell is empty. Raises nothing.

    `related` are entries that belong to it without telling it: they are only said.

    >>> failure_of([b'{"error": {"kind": "KeyError", "message": "price"}}']).exception
    'KeyError'
    """
    raw = [_bytes(each) for each in entries[:MAX_READ_ENTRIES]]
    told = [_told(each) for each in _documents(raw)]
    best = max(told, key=lambda each: each.weight, default=Told())
    first = best.thrown[0] if best.thrown else Thrown()
    causes = (f"{each.exception}: {each.message}"[:MAX_TEXT] for each in best.thrown[1 : 1 + _CAUSES])
    others = (message_of(_bytes(each)) for each in related[:MAX_READ_ENTRIES])
    said = [Said(ENTRY, each) for each in causes]
    said += [one for each in told for one in each.said]
    said += [Said(ENTRY, each) for each in others if each]
    traces = [one for each in (best, *told) for one in each.traces]
    return Failure(
        exception=first.exception,
        message=first.message,
        calls=ordered(best.thrown),
        said=tuple(said[:MAX_SAID]),
        release=next((each.release for each in (best, *told) if each.release), ""),
        traces=tuple(dict.fromkeys(traces))[:MAX_TRACES],
    )


def _bytes(entry: Entry) -> bytes:
    return entry.entry if isinstance(entry, Matched) else entry


def _documents(entries: Sequence[bytes]) -> Iterator[object]:
    """Yield what entries hold: JSON, or text; the parts of one webhook's message put together."""
    messages: dict[tuple[str, ...], dict[int, str]] = {}
    coded = set()
    for entry in entries:
        value = _json(entry)
        body, hook = at(value, "body"), at(value, "webhook")
        if not isinstance(hook, dict) or not isinstance(body, str):
            yield value
            continue
        name = tuple(text(hook, part) for part in ("source", "hook", "id"))
        part = hook.get("part")
        messages.setdefault(name, {})[part if isinstance(part, int) else 0] = body
        if hook.get("encoding") == "base64":
            coded.add(name)
    for name, parts in messages.items():
        whole = "".join(parts[each] for each in sorted(parts))[:MAX_MESSAGE]
        yield _json(_decoded(whole) if name in coded else whole.encode(errors="replace"))


def _json(data: bytes) -> object:
    """Return JSON as a value, and anything else as text."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else data[: 4 * MAX_STACK].decode(errors="replace")


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _told(document: object) -> Told:
    if isinstance(document, str):
        lines = document.strip()[:MAX_TEXT]
        return Told(exceptions(document), (Said(ENTRY, lines),) if lines else ())
    found = sentry_events.told(document)
    if found is None or not (found.thrown or found.said):
        return alerted(document) or logged(document)
    if any(each.calls for each in found.thrown):
        return found
    other = logged(document)  # which has exceptions of another form under the same names
    return other if any(each.calls for each in other.thrown) else found
