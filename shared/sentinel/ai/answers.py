"""What providers' answers mean that are no replies: statuses, waits, and bodies that cannot be read.

Nothing that a provider wrote is quoted, but for codes of a fixed list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from sentinel.core.questions import Busy, NotAnswered, Usage
from sentinel.errors import BadAnswer, Forbidden, Malformed, Missing, SentinelError, TooLarge, Unavailable
from sentinel.ports import HttpResponse

LONGEST_WAIT: Final = 3_600.0  # seconds that are repeated of what a provider wishes
_LATER: Final = frozenset({409, 425, 429})
_LOST: Final = frozenset({408, 504})  # somebody between gave up: the reply may have been made
_UNPAID: Final = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"}
)
_TOO_LONG: Final = frozenset({"context_length_exceeded", "request_too_large", "string_above_max_length"})


def document(response: HttpResponse, who: str) -> dict[str, Any]:
    """Return the JSON object of a success. Raises `BadAnswer` for anything else."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or response.headers.get("content-encoding", "identity") != "identity":
        raise BadAnswer(f"{who} answered with something else than JSON")
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise BadAnswer(f"{who} answered with JSON that is broken, cut off or too long") from None
    if not isinstance(found, dict):
        raise BadAnswer(f"{who} answered with JSON that is no object")
    return found


def refusal(response: HttpResponse, who: str, secret: str, now: float) -> SentinelError:
    """Return what a status means that is no success. `secret` is the key's name, `now` epoch seconds."""
    status, codes = response.status, _codes(response.body)
    if status == 402 or codes & _UNPAID:
        return NotAnswered(f"{who} has no credit left for the key in the secret {secret} ({status})")
    if status in _LATER or (status >= 500 and status not in _LOST):
        return Busy(f"{who} answered {status}: not now", wait(response.headers, now) or 1.0)
    if status in _LOST:
        return Unavailable(f"{who} did not answer in time ({status})", wait(response.headers, now) or 1.0)
    return _wrong(status, codes, who, secret)


def _wrong(status: int, codes: set[str], who: str, secret: str) -> SentinelError:
    if status in {401, 403}:
        return Forbidden(f"{who} refuses the key in the secret {secret} ({status}): store one that it takes")
    if status == 404:
        return Missing(f"{who} does not have the model, or not for this key: see model and url (404)")
    if 300 <= status < 400:
        return Malformed(f"{who} leads elsewhere ({status}), which is not followed: correct its url")
    if status == 413 or codes & _TOO_LONG:
        return TooLarge(f"the question is longer than {who} takes ({status})")
    return Malformed(f"{who} does not take the question ({status}): see its model, effort and structured")


def _codes(body: bytes) -> set[str]:
    """Return the codes of an error's body: OpenAI's `error.code` and `.type`, Anthropic's `error.type`."""
    try:
        error = orjson.loads(body).get("error")
        details = error.get("details") or {}
        found = (error.get("code"), error.get("type"), details.get("error_code"))
    except (orjson.JSONDecodeError, AttributeError):
        return set()
    return {each for each in found if isinstance(each, str)}


def wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return how long to wait, seconds: `retry-after-ms`, or `retry-after` as seconds or a date.

    >>> wait({"retry-after-ms": "250", "retry-after": "9"}, 0), wait({"retry-after": "soon"}, 0)
    (0.25, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        found = _number(headers.get(name, ""))
        if found is not None:
            return min(found / unit, LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return None if then.tzinfo is None else min(max(0.0, then.timestamp() - now), LONGEST_WAIT)


def _number(text: str) -> float | None:
    try:
        found = float(text) if len(text) < 40 else math.nan
    except ValueError:
        return None
    return found if found >= 0 and math.isfinite(found) else None


def tokens(counts: object, *names: str) -> int | None:
    """Return the sum of an object's counts, missing ones as 0; None where one is no count."""
    found = [counts.get(name) or 0 for name in names] if isinstance(counts, dict) else [None]
    if all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in found):
        return sum(each for each in found if each)
    return None


def usage(taken: int | None, cached: int | None, written: int | None, output: int | None) -> Usage | None:
    """Return what a provider counted; None where it is not whole, or cannot be."""
    if not taken or cached is None or written is None or output is None or cached + written > taken:
        return None
    return Usage(taken, cached, written, output)
