"""What belongs to the work in hand and not to one call: fields that all its entries have, and its trace.

Kept in a context variable, so each thread and each asynchronous task has its own, and a task begins with what
whoever began it had. Values are made plain when they are bound: an entry takes them as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final

from ._plain import QUICK, plain

RESERVED: Final = frozenset(("time", "level", "logger", "message"))
_EMPTY: Final[Mapping[str, Any]] = {}
CONTEXT: Final[ContextVar[Mapping[str, Any]]] = ContextVar("sentinel_client", default=_EMPTY)
_HEX = frozenset("0123456789abcdef")


def bound(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as entries take them: values plain, and no name that an entry has itself.

    >>> bound({"level": 3, "order": 7})
    {'level_': 3, 'order': 7}
    """
    told = {}
    for name, value in fields.items():
        kept = f"{name}_" if name in RESERVED else str(name)
        quick = type(value) in QUICK and type(value) not in (float, str)
        told[kept] = value if quick else plain(value)
    return told


class context:  # noqa: N801 - it reads as a word in `with`
    """Gives all entries of a block fields: `with context(request_id=...)`. May be entered once."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: Any) -> None:
        self._fields = bound(fields)
        self._token: Token[Mapping[str, Any]] | None = None

    def __enter__(self) -> None:
        self._token = CONTEXT.set({**CONTEXT.get(), **self._fields})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            token, self._token = self._token, None
            try:
                CONTEXT.reset(token)
            except ValueError:  # a generator that was closed from another context
                CONTEXT.set({n: v for n, v in CONTEXT.get().items() if n not in self._fields})


def bind_context(**fields: Any) -> None:
    """Give fields to all entries of this thread or task from now on."""
    CONTEXT.set({**CONTEXT.get(), **bound(fields)})


def unbind_context(*names: str) -> None:
    """Take fields away again; without names, all."""
    CONTEXT.set({n: v for n, v in CONTEXT.get().items() if n not in names} if names else _EMPTY)


def current_context() -> dict[str, Any]:
    """Return the fields that entries have here and now."""
    return dict(CONTEXT.get())


def parse_traceparent(header: str | None) -> dict[str, str]:
    """Return `trace_id` and `span_id` of a `traceparent` (W3C Trace Context 1), empty where it is none.

    >>> parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    {'trace_id': '4bf92f3577b34da6a3ce929d0e0e4736', 'span_id': '00f067aa0ba902b7'}
    """
    parts = (header or "").strip().split("-")
    if len(parts) < 4 or [len(each) for each in parts[:4]] != [2, 32, 16, 2]:
        return {}
    version, trace, span, flags = parts[:4]
    if not _HEX.issuperset(version + trace + span + flags) or version == "ff":
        return {}
    if (version == "00" and len(parts) > 4) or not trace.strip("0") or not span.strip("0"):
        return {}
    return {"trace_id": trace, "span_id": span}


def traced() -> dict[str, str]:
    """Return the ids of OpenTelemetry's current span, empty without one. It is never imported here."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return {}
    try:
        found = api.get_current_span().get_span_context()
        told = {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}
    except Exception:  # noqa: BLE001 - another package's code, half imported perhaps
        return {}
    return told if found.is_valid else {}
