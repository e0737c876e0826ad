r"""Where a text is in a JSON document: the language of a mapping's places.

A place is one or more alternatives with `|` between, of which the first that has a text counts. One is a path
(`incident.summary`, `alerts.0.name`; a name with dots or blanks in double quotes: `labels."info.host"`;
`$name` for what `extract` found, `$outer.id` for what stands outside of `inside` and `each`), or `=` and a
text of one's own, in which `{path}` stands for what is there: it counts where all of them have a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from sentinel.webhooks.reading import Part, scalar
from sentinel.webhooks.source import Unparsed

MAX_PLACE: Final = 500  # characters
MAX_ALTERNATIVES: Final = 10
MAX_DEPTH: Final = 16
OUTER: Final = "$outer"
NOTHING: Final = Part(None)
_NAME = re.compile(r'"([^"]{1,200})"|([^."|{}\s]{1,200})')
_HOLE = re.compile(r"\{([^{}]*)\}")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A document, what was extracted from it by name, and the whole that it stands in."""

    part: Part
    extracted: Mapping[str, str]
    outer: Part = NOTHING

    def at(self, path: Path) -> Part:
        """Return what is at a path."""
        if path[0].startswith("$") and path[0] != OUTER:
            return Part(self.extracted.get(path[0][1:], "") if len(path) == 1 else None)
        value, names = (self.outer.value, path[1:]) if path[0] == OUTER else (self.part.value, path)
        for name in names:
            value = _member(value, name)
        return Part(value)


@dataclass(frozen=True, slots=True)
class Place:
    """A place that was parsed. Each alternative has texts and paths in turn; one path alone is a path."""

    alternatives: tuple[tuple[str | Path, ...], ...]

    def text(self, found: Found) -> str:
        """Return the first text that is there, "" where there is none."""
        return next(filter(None, (_text(each, found) for each in self.alternatives)), "")

    def value(self, found: Found) -> object:
        """Return what is at the first path that leads to anything, as it is."""
        paths = (each[0] for each in self.alternatives if isinstance(each[0], tuple))
        return next((value for path in paths if (value := found.at(path).value) is not None), None)


def anything(body: bytes) -> Part:
    """Return a body that is JSON of any kind. Raises `Unparsed`."""
    try:
        return Part(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise Unparsed("the body is not JSON") from None


def place(text: object) -> Place:
    r"""Parse a place. Raises `ValueError` that says what to change.

    >>> told = Found(Part({"a": {"b.c": 7}, "host": "web-1"}), {})
    >>> place('a.b|a."b.c"').text(told), place("={host} is down").text(told), place("={nobody}|=x").text(told)
    ('7', 'web-1 is down', 'x')
    """
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_PLACE:
        raise ValueError(f"a place is a text of up to {MAX_PLACE} characters, such as incident.summary")
    alternatives = _split(text)
    if len(alternatives) > MAX_ALTERNATIVES:
        raise ValueError(f"a place has up to {MAX_ALTERNATIVES} alternatives")
    return Place(tuple(map(_alternative, alternatives)))


def path(text: str) -> Path:
    """Parse one path. Raises `ValueError`."""
    names: list[str] = []
    rest = text.strip()
    while True:
        name = _NAME.match(rest)
        if name is None or len(names) == MAX_DEPTH:
            raise ValueError(f"a path is up to {MAX_DEPTH} names with dots between, such as incident.summary")
        names.append(name[1] or name[2])
        rest = rest[name.end() :]
        if not rest:
            return tuple(names)
        if not rest.startswith("."):
            raise ValueError("a path is names with dots between; one with dots or blanks is put in quotes")
        rest = rest[1:]


def _split(text: str) -> list[str]:
    """Split at `|` outside quotes."""
    return (
        [each.strip() for each in re.findall(r'(?:"[^"]*"|[^|])+', text)] if "|" in text else [text.strip()]
    )


def _alternative(text: str) -> tuple[str | Path, ...]:
    if not text.startswith("="):
        return (path(text),)
    pieces = _HOLE.split(text[1:])  # texts and paths in turn
    if any("{" in piece or "}" in piece for piece in pieces[::2]):
        raise ValueError("a { has its }, with a path between")
    made = [path(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    return tuple(piece for piece in made if piece) or ("",)


def _text(alternative: tuple[str | Path, ...], found: Found) -> str:
    texts = [scalar(found.at(each).value) if isinstance(each, tuple) else each for each in alternative]
    return "".join(texts) if all(texts) else ""


def _member(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and re.fullmatch("[0-9]{1,6}", name) and int(name) < len(value):
        return value[int(name)]
    return None
