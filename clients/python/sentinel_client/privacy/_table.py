"""The detector table: what is looked for, read from the package's copy of `clients/detectors.json`.

Expressions are compiled when a text first gets past their gates: most programs never need most of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sentinel_client.privacy._checks import Check, by_name

RUN = r"[A-Za-z0-9_-]+"
DIGIT = r"[0-9]"


class Detector:
    """One row of the table: finds values of its kind in a text."""

    __slots__ = (
        "_checks",
        "_expression",
        "digits",
        "gates",
        "groups",
        "id",
        "kind",
        "off",
        "run",
        "shapes",
        "source",
    )

    def __init__(self, row: dict[str, Any], checks: dict[str, Check]) -> None:
        self.id: str = row["id"]
        self.kind: str = row["kind"]
        self.off: bool = row.get("off", False)
        self.gates: tuple[str, ...] = tuple(row["gates"])
        self.run: int = row.get("run", 0)
        self.digits: int = row.get("digits", 0)
        self.shapes: tuple[str, ...] = tuple(row.get("shapes", ()))
        group = row.get("group", 0)
        self.groups: tuple[int, ...] = tuple(group) if isinstance(group, list) else (group,)
        self.source: tuple[str, bool] = (row["pattern"], row.get("ignore_case", False))
        self._checks = tuple(checks[each] for each in row.get("checks", ()))
        self._expression: re.Pattern[str] | None = None

    @property
    def expression(self) -> re.Pattern[str]:
        """The compiled expression."""
        if self._expression is None:
            self._expression = re.compile(self.source[0], re.ASCII)
        return self._expression

    def find(self, text: str, lower: str) -> Iterator[tuple[int, int]]:
        """Yield where values stand: start and end. `lower` is the text with small ASCII letters.

        The gates were asked before. An expression that ignores case has small letters only, since those are
        found several times as fast in `lower` as `re.IGNORECASE` finds them.
        """
        for each in self.expression.finditer(lower if self.source[1] else text):
            group = next((number for number in self.groups if each.start(number) >= 0), None)
            if group is None:
                continue
            value = text[each.start(group) : each.end(group)]
            counts = len(value)
            for check in self._checks:
                counts = min(counts, check(value))
            if counts:
                yield each.start(group), each.start(group) + counts


class Table:
    """The whole table. Every process reads it once."""

    def __init__(self, document: dict[str, Any]) -> None:
        checks = by_name(document["iban"])
        self.kinds: tuple[str, ...] = tuple(document["kinds"])
        self.detectors: tuple[Detector, ...] = tuple(Detector(row, checks) for row in document["detectors"])
        names = document["names"]
        self._ends: tuple[str, ...] = tuple(names["ends"])
        self._whole = frozenset(names["whole"])
        self._except = frozenset(names["except"])
        self._phones = frozenset(document["phones"])
        self.pair_names = frozenset(document["pairs"]["name"])
        self.pair_values = frozenset(document["pairs"]["value"])
        self.flat = frozenset(document["flat"])

    def kind_of_name(self, name: str) -> str:
        """Return what the value of a field is, judged by its name alone; "" for nothing special.

        >>> [table().kind_of_name(each) for each in ("dbPassword", "X-Api-Key", "fax", "monkey")]
        ['password', 'secret', 'phone', '']
        """
        plain = "".join(each for each in name.lower() if each in _PLAIN).rstrip("0123456789") or name
        if plain in self._phones:
            return "phone"
        if plain in self._except or not (plain in self._whole or plain.endswith(self._ends)):
            return ""
        return "password" if any(each in plain for each in ("pass", "pwd", "kennwort", "senha")) else "secret"


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@cache
def table() -> Table:
    """Return the table."""
    import json

    # importlib.resources would cost more than reading the table does.
    return Table(json.loads(Path(__file__).with_name("detectors.json").read_bytes()))
