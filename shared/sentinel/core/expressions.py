"""Expressions: `${entry.user.name}`, `${steps.open.result.number | default("0")}`.

They name values and compute nothing: a dotted path below one of four roots, and three filters. Where they may
stand, and how their values are put in, is the business of `core.step_inputs`.

| root | what |
|---|---|
| `entry.FIELD` | a field of the task's first entry, looked for as rules look for it |
| `steps.ID.result.KEY` | what an earlier step gave |
| `cause.KEY` | why there is a task: `rule`, `title`, `level`, `fingerprint`, `scheduled` |
| `task.id`, `task.recipe` | the task itself |

Filters: `default("text")` where there is no value, `cut(N)` to the first N characters, `json` for maps and
lists inside a text. What is still missing, too long or of the wrong kind fails the step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sentinel.core.event_fields import Event, Field, View, text
from sentinel.errors import Malformed

MAX_VALUE = 16_384  # bytes of one value, as JSON
_MISSING = object()
_PATH = re.compile(r"\s*(entry|task|steps|cause)\.([A-Za-z0-9_@:/.-]{1,200})\s*", re.ASCII)
_FILTER = re.compile(r'\|\s*(?:default\("([^"]*)"\)|cut\((\d{1,5})\)|(json))\s*', re.ASCII)
_STEP = re.compile(r"(.+?)\.result\.(.+)")


@dataclass(frozen=True, slots=True)
class Context:
    """What expressions can name. `entry` None: it was erased, and what takes from it fails.

    `results` None: the steps before have not run, and what takes from them stays as it is written.
    """

    task: str
    recipe: str
    cause: Mapping[str, object]
    results: Mapping[str, object] | None
    entry: Event | None


@dataclass(frozen=True, slots=True)
class Expression:
    """One parsed expression; `source` is as it was written."""

    source: str
    root: str
    path: str
    filters: tuple[tuple[str, str], ...] = ()

    @property
    def step(self) -> str:
        """The id of the step whose result it takes; "" where it takes none."""
        read = _STEP.fullmatch(self.path) if self.root == "steps" else None
        return read[1] if read else ""


def parse(inside: str) -> Expression:
    """Parse what stands between the braces. Raises `Malformed`.

    >>> parse('entry.user.name | default("nobody") | cut(20)').filters
    (('default', 'nobody'), ('cut', '20'))
    """
    source = f"${{{inside.strip()}}}"
    read = _PATH.match(inside)
    at = read.end() if read else 0
    filters: list[tuple[str, str]] = []
    while read and at < len(inside) and (each := _FILTER.match(inside, at)):
        default, cut, _ = each.groups()
        filters.append(("default", default) if default is not None else ("cut", cut) if cut else ("json", ""))
        at = each.end()
    if read is None or at != len(inside) or "" in read[2].split("."):
        raise Malformed(
            f"{source[:80]}: is no expression: it names entry, steps, cause or task with a dotted path, and "
            'may go on with | default("text"), | cut(N) and | json'
        )
    return Expression(source, read[1], read[2], tuple(filters))


def known(expression: Expression, before: frozenset[str]) -> None:
    """Check that there can be such a value, after the steps `before`. Raises `Malformed`."""
    if expression.root == "task" and expression.path not in {"id", "recipe"}:
        raise Malformed(f"{expression.source}: of a task there are id and recipe")
    if expression.root == "steps":
        read = _STEP.fullmatch(expression.path)
        if read is None or read[1] not in before:
            raise Malformed(f"{expression.source}: names a step before this one: steps.ID.result.KEY")


def value_of(expression: Expression, context: Context) -> object:
    """Return the value, of whatever type it has. Raises `Malformed`, which does not quote it."""
    if expression.root == "steps" and context.results is None:
        return expression.source
    found = _named(expression, context)
    for name, argument in expression.filters:
        if found is None or found is _MISSING:
            found = argument if name == "default" else _MISSING
        elif name == "json":
            size(found)
            found = orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()
        elif name == "cut":
            found = text_of(expression, found)[: int(argument)]
    if found is None or found is _MISSING:
        raise Malformed(f'{expression.source}: there is no such value; write | default("text") to go without')
    if size(found) > MAX_VALUE:
        raise Malformed(f"{expression.source}: is over {MAX_VALUE:,} bytes; write | cut(N)")
    return found


def size(value: object) -> int:
    """Return the bytes of a value as JSON. Raises `Malformed` for one that is nested too deeply."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        raise Malformed("with: is nested too deeply with the values of its expressions") from None


def _named(expression: Expression, context: Context) -> object:
    if expression.root == "entry":
        if context.entry is None:
            raise Malformed(f"{expression.source}: the entry that it takes from was erased")
        values = View(context.entry).values(Field.of(expression.path))
        if not values:
            return _MISSING
        return values[0] if len(values) == 1 else list(values)
    if expression.root == "task":
        return {"id": context.task, "recipe": context.recipe}.get(expression.path, _MISSING)
    if expression.root == "cause":
        return _below(context.cause, expression.path)
    read = _STEP.fullmatch(expression.path)
    return _below((context.results or {}).get(read[1]), read[2]) if read else _MISSING


def _below(value: object, path: str) -> object:
    for part in path.split("."):
        value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value


def text_of(expression: Expression, value: object) -> str:
    """Return a value as it stands inside a text. Raises `Malformed` for maps and lists."""
    found = text(value)
    if found is None:
        raise Malformed(f"{expression.source}: is a map or a list; write | json to have it as text")
    return found
