"""What the sinks over HTTP read alike in an answer. Nothing of an answer's text is ever repeated."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from pydantic import AfterValidator

from sentinel.core import urls
from sentinel.ports import HttpResponse
from sentinel.siem.sink import Batch, Fate, Refused, RetryAfter

_REFUSED_UNREAD = frozenset({425, 429, 503})  # these say that nothing was taken


def json_object(response: HttpResponse) -> Mapping[str, object]:
    """Return an answer's JSON object; an empty one where it is none."""
    try:
        told = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def retry_after(response: HttpResponse) -> float | None:
    """Return `Retry-After` in seconds where it is a number; none of the targets sends dates."""
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def passing(response: HttpResponse) -> RetryAfter | None:
    """Return the wish to try again of a status that passes by itself: 408, 425, 429 and all from 500."""
    status = response.status
    if status not in {408, 425, 429} and status < 500:
        return None
    return RetryAfter(f"status {status}", retry_after(response), unsure=status not in _REFUSED_UNREAD)


def unnamed(reason: str, batch: Batch) -> Refused:
    """Return the refusal of a batch whose target does not say which item it minds."""
    count = len(batch.items)
    return Refused(reason, (Fate.REFUSED,) if count == 1 else (Fate.OPEN,) * count)


def too_large(batch: Batch) -> Refused:
    """Return what a 413 means: smaller batches, and at last the item that is too large by itself."""
    return unnamed("the request is too large (413)", batch)


def target(url: str) -> str:
    """Return a sink's URL. Raises `ValueError` for one with a query, or without TLS beyond this machine."""
    parts = urls.parse(url)
    if parts.query or parts.fragment:
        raise ValueError("the URL has no query and no fragment")
    if not urls.safe_for_secrets(parts):
        raise ValueError("the URL begins with https://, since the token travels with each request")
    return url.rstrip("/")


Target = AfterValidator(target)
