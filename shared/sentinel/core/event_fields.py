"""Where a rule's field name is looked for in an event, and what its values read as.

An event is a JSON object as `orjson.loads` gives it. Sigma fields are flat names, logs are nested and often
wrapped in an envelope, so resolution is one explicit step: the field is looked for in each *scope* of the
event, in order, and the first scope that has it wins. The first scope is the event itself; the others are the
maps inside the envelopes listed in `_ENVELOPES`. Inside a scope an exact key wins over a dotted path, a
dotted path fans out through lists, and at every map the whole rest of the path is tried as one key first
(OpenTelemetry attribute names contain dots). Nothing here recurses, so nesting cannot exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Event = Mapping[str, object]

# Envelopes known to wrap the fields that Sigma rules name. The order is the order of resolution.
_ENVELOPES: tuple[tuple[str, ...], ...] = (
    ("Event", "EventData"),  # Windows event log, as evtx_dump and others write it
    ("Event", "System"),
    ("winlog", "event_data"),  # Windows event log, as Winlogbeat ships it
    ("winlog",),
    ("attributes",),  # OpenTelemetry log record
    ("resource", "attributes"),
    ("resource",),
    ("detail",),  # an AWS event from EventBridge
)
# "EventID" is not an envelope, but tells a flattened Windows event, whose names may need their spaces
# stripped.
_ENVELOPE_ROOTS = tuple(dict.fromkeys([path[0] for path in _ENVELOPES] + ["body", "EventID"]))

# Integers that JSON can carry have at most this many bits; longer ones are not worth converting to text.
_MAX_INTEGER_BITS = 1024
_EXACT_FLOAT = 2.0**53


@dataclass(frozen=True, slots=True)
class Field:
    """A field name of a rule, split once. `rests[i]` is the path from part i on, as one key."""

    key: str
    parts: tuple[str, ...]
    rests: tuple[str, ...]

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(key: str) -> Field:
        """Split `key` at its dots.

        >>> Field.of("userIdentity.type").parts
        ('userIdentity', 'type')
        """
        parts = tuple(key.split("."))
        return Field(key, parts, tuple(".".join(parts[i:]) for i in range(len(parts))))


def text(value: object) -> str | None:
    """Return what a scalar reads as in a comparison; None for null, maps and lists.

    Sigma compares strings, so numbers and booleans are compared by their JSON text: `EventID: 1` matches both
    1 and "1". A float with an integral value reads as that integer.

    >>> text(4624), text(4624.0), text(True), text(None)
    ('4624', '4624', 'true', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _MAX_INTEGER_BITS else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_FLOAT else repr(value)
    return None


def scalars(event: object) -> list[str]:
    """List the texts of all scalars in `event`, keys left out, in a deterministic order."""
    found: list[str] = []
    containers: list[object] = [[event]]
    for container in containers:  # grows while it is walked: that is the nesting, without recursion
        for node in container.values() if isinstance(container, dict) else container:  # type: ignore[attr-defined]
            kind = type(node)
            if kind is str:
                found.append(node)
            elif kind is dict or kind is list:
                containers.append(node)
            elif (read := text(node)) is not None:
                found.append(read)
    return found


def scopes(event: Event) -> tuple[Event, ...]:
    """List the maps of `event` in which fields are looked for: itself, then its envelopes."""
    for root in _ENVELOPE_ROOTS:
        if root in event:
            return (event, *_enveloped(event))
    return (event,)


def _enveloped(event: Event) -> Iterator[Event]:
    for path in _ENVELOPES:
        node: object = event
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            yield node
    yield from _windows(event)
    body = event.get("body")
    if isinstance(body, dict):
        yield body
    elif body is not None:
        yield {"message": body}  # the text of an OpenTelemetry record is what rules call the message


def _windows(event: Event) -> Iterator[Event]:
    """Yield what the Sigma specification ("Field Usage") asks for beyond a Windows event's plain names.

    These are attributes of `System` as `Tag_Attribute`, names with their spaces stripped, and the maps inside
    `UserData`.
    """
    envelope = event.get("Event")
    if not isinstance(envelope, dict):
        yield from _without_spaces(event)
        return
    system = envelope.get("System")
    if isinstance(system, dict):
        yield {
            f"{tag}_{name}": value
            for tag, node in system.items()
            if isinstance(node, dict) and isinstance(node.get("#attributes"), dict)
            for name, value in node["#attributes"].items()
        }
    user_data = envelope.get("UserData")
    if isinstance(user_data, dict):
        yield from (node for node in user_data.values() if isinstance(node, dict))
    yield from _without_spaces(envelope.get("EventData"))


def _without_spaces(named: object) -> Iterator[Event]:
    if isinstance(named, Mapping) and any(" " in name for name in named):
        yield {name.replace(" ", ""): value for name, value in named.items()}


def _flat(values: Sequence[object]) -> tuple[object, ...]:
    """`values` with lists replaced by their elements, however deep."""
    if len(values) == 1 and not isinstance(values[0], list):  # nearly always
        return tuple(values)
    flat: list[object] = []
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        else:
            flat.append(value)
    return tuple(flat)


def _walk(scope: Event, field: Field) -> tuple[object, ...] | None:
    """Return the values at a dotted path; None when there is nothing."""
    node: object = scope
    for i, part in enumerate(field.parts):
        if not isinstance(node, dict):
            return _fan_out(node, field, i) if isinstance(node, list) else None
        if field.rests[i] in node:
            return _flat((node[field.rests[i]],))
        node = node.get(part)
    return None


def _fan_out(values: list[object], field: Field, start: int) -> tuple[object, ...] | None:
    """Return the values at the parts of a path from `start` on, in any of the maps in `values`."""
    frontier: Iterable[object] = _flat(values)
    found: list[object] = []
    for i in range(start, len(field.parts)):
        inner: list[object] = []
        for node in frontier:
            if isinstance(node, dict):
                if field.rests[i] in node:
                    found.append(node[field.rests[i]])
                else:
                    inner.append(node.get(field.parts[i]))
        frontier = _flat(inner)
    return _flat(found) if found else None


class View:
    """One event being matched: resolves each field once, whatever number of rules ask for it."""

    __slots__ = ("_blob", "_found", "_texts", "event", "scopes")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.scopes = scopes(event)
        self._found: dict[str, tuple[object, ...] | None] = {}
        self._texts: dict[str, tuple[str, ...]] = {}
        self._blob: str | None = None

    def values(self, field: Field) -> tuple[object, ...] | None:
        """All values of `field`, lists flattened; None when no scope has it, () when it is an empty list."""
        key = field.key
        if key in self._found:
            return self._found[key]
        found: tuple[object, ...] | None = None
        for scope in self.scopes:
            if key in scope:
                value = scope[key]
                found = _flat(value) if isinstance(value, list) else (value,)
                break
            if len(field.parts) > 1 and (found := _walk(scope, field)) is not None:
                break
        self._found[key] = found
        return found

    def raw_texts(self, field: Field) -> tuple[str, ...]:
        """Return the texts of the scalar values of `field` as they are; () when there are none."""
        values = self.values(field)
        if not values:
            return ()
        if len(values) == 1 and type(values[0]) is str:  # nearly always
            return values  # type: ignore[return-value]
        return tuple([found for value in values if (found := text(value)) is not None])

    def texts(self, field: Field) -> tuple[str, ...]:
        """Return the case-folded texts of the scalar values of `field`; () when there are none."""
        key = field.key
        folded = self._texts.get(key)
        if folded is None:
            raw = self.raw_texts(field)
            folded = (raw[0].casefold(),) if len(raw) == 1 else tuple([found.casefold() for found in raw])
            self._texts[key] = folded
        return folded

    def blob(self) -> str:
        """Return all scalar texts of the event, case-folded and joined by NUL.

        A literal without NUL is in the blob exactly when it is in one of the texts.
        """
        if self._blob is None:
            self._blob = "\0".join(scalars(self.event)).casefold()
        return self._blob
