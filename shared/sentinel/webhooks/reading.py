"""Reading what a sender wrote: nothing in it need be there, or be of the kind that it should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from sentinel.core.alerts import Unparsed, instant


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a JSON document, or what is missing there (`value` is None). Paths have dots.

    >>> part = Part({"a": {"b": [{"c": 7}]}, "d": ""})
    >>> part.text("d", "a.b.0.c"), part.text("a.b.1.c", "a.b")
    ('7', '')
    """

    value: object

    def at(self, path: str) -> Part:
        """Return what is at a path: names of members and, in lists, numbers from 0."""
        found = self.value
        for name in path.split("."):
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isdecimal() and len(name) < 10 and int(name) < len(found):
                found = found[int(name)]
            else:
                return Part(None)
        return Part(found)

    def text(self, *paths: str) -> str:
        """Return the first text, number or truth value that is not "" at one of the paths, as text."""
        for path in paths:
            text = scalar(self.at(path).value)
            if text:
                return text
        return ""

    def time(self, *paths: str) -> int:
        """Return the first time at one of the paths (`core.alerts.instant`), 0 where there is none."""
        return next(filter(None, (instant(self.at(path).value) for path in paths)), 0)

    def each(self, path: str) -> list[Part]:
        """Return the items of the list at a path; none where there is no list."""
        found = self.at(path).value
        return [Part(item) for item in found] if isinstance(found, list) else []

    def texts(self, path: str) -> list[str]:
        """Return the texts in the list at a path."""
        return [text for text in (scalar(each.value) for each in self.each(path)) if text]

    def members(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield name and text of each member at a path that has one."""
        found = self.at(path).value
        for name, value in found.items() if isinstance(found, dict) else ():
            if text := scalar(value):
                yield name, text

    @property
    def there(self) -> bool:
        """Whether there is an object or a list with something in it."""
        return isinstance(self.value, dict | list) and bool(self.value)


def document(body: bytes) -> Part:
    """Return a body that is a JSON object. Raises `Unparsed`."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unparsed("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Unparsed("the body is no JSON object")
    return Part(found)


def scalar(value: object) -> str:
    """Return a text, a number or a truth value as text; "" for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, str | int | float) else ""


def known(labels: dict[str, str]) -> dict[str, str]:
    """Return those labels that have a value."""
    return {name: value for name, value in labels.items() if value}
