"""Masks: secrets and personal data on their way to a model, behind tokens of one run that can be undone.

The same value has the same token in one run: `[[secret:1]]`. What looks like a token in a text is masked
itself first, so none can be forged. A token is undone only for the place where its value stood: a secret of
a log can never be written into a file. Undoing is exact, and a text keeps its lines.

A value that was found once is hidden wherever it stands, also without its telling name, if it has six
characters or more; in code only if it is no plain word, since there `password = "password"` would hide each
variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sentinel.core.private_values import KINDS, TEXT, TOKEN, Span, found

HUNTED = 6  # characters from which on a known value is hidden wherever it stands
MAX_HUNTED = 1_000  # known values that are looked for
_LINE = re.compile(r"[^\r\n]+")
_PLAIN = re.compile(r"[A-Za-z_.]+")


class Masks:
    """The tokens of one run. It never shows the values: who holds it can undo, so it stays with the caller.

    >>> masks = Masks()
    >>> masks.mask("password=hunter22 for kim@example.com", "log")
    'password=[[secret:1]] for [[email:1]]'
    >>> masks.unmask("PASSWORD = '[[secret:1]]'", "src/settings.py")
    "PASSWORD = '[[secret:1]]'"
    >>> masks.unmask("[[secret:1]]", "log")
    'hunter22'
    """

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._places: dict[str, set[str]] = {}
        self._counts = dict.fromkeys(KINDS, 0)

    def learn(self, text: str, *, code: bool = False) -> None:
        """Find values in a text, so that texts that are masked earlier than this one hide them, too."""
        for start, end, kind in _lines(text, _merged(found(text, code=code))):
            self._token(kind, text[start:end])

    def mask(self, text: str, place: str, *, code: bool = False) -> str:
        """Return a text with tokens in place of its values. `place` is where they may be undone."""
        self.learn(text, code=code)
        spans = _lines(text, _merged([*found(text, code=code), *self._known(text, code=code)]))
        pieces, at = [], 0
        for start, end, kind in spans:
            token = self._token(kind, text[start:end])
            self._places.setdefault(token, set()).add(place)
            pieces += [text[at:start], token]
            at = end
        return "".join([*pieces, text[at:]])

    def unmask(self, text: str, place: str) -> str:
        """Put the values back that stood at this place; any other token stays as it is."""

        def value(each: re.Match[str]) -> str:
            token = each.group()
            return self._values[token] if place in self._places.get(token, ()) else token

        return TOKEN.sub(value, text)

    def __len__(self) -> int:
        return len(self._values)

    def _token(self, kind: str, value: str) -> str:
        token = self._tokens.get(value)
        if token is None:
            self._counts[kind] += 1
            token = self._tokens[value] = f"[[{kind}:{self._counts[kind]}]]"
            self._values[token] = value
        return token

    def _known(self, text: str, *, code: bool) -> list[Span]:
        spans: list[Span] = []
        for value in list(self._tokens)[:MAX_HUNTED]:
            if len(value) < HUNTED or (code and _PLAIN.fullmatch(value)):
                continue
            kind = self._tokens[value][2:].partition(":")[0]
            at = text.find(value)
            while at >= 0:
                spans.append((at, at + len(value), kind))
                at = text.find(value, at + 1)
        return spans


def _lines(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Part spans at the ends of lines: a text keeps its lines, whatever is hidden in them."""
    for start, end, kind in spans:
        for each in _LINE.finditer(text, start, end):
            yield *each.span(), kind


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Unite what overlaps; the kind is that of the first, but for what only looks like a token."""
    merged: list[Span] = []
    for start, end, kind in sorted(spans, key=lambda each: (each[0], -each[1], each[2])):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            first, last, known = merged[-1]
            merged[-1] = (first, max(last, end), kind if known == TEXT else known)
        else:
            merged.append((start, end, kind))
    return merged
