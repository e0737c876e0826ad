"""Finds and replaces values in one text: gates first, then the expressions whose gates are open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sentinel_client.privacy._table import DIGIT, RUN, Detector

Span = tuple[int, int, Detector]  # start, end, what found it
SHORTEST = 4  # characters that a text has at least, for anything to be looked for in it
LEAST_DIGITS, LEAST_RUN = 4, 13  # the least that a row of the table asks for
# Words, none of them long, without digits and without anything that joins a name to a value.
_PLAIN = r"(?:[A-Za-z_]{0,12}[./ ])*[A-Za-z_]{0,12}"
_LONG = r"[A-Za-z0-9_-]{13}"
_UPPER = r"[A-Z]+"
_SHAPE = bytes(48 if 48 <= c <= 57 else 32 if c == 0xA0 else c for c in range(256))
_ESCAPED = r"\\u00([2-7][0-9A-Fa-f])"


class Scanner:
    """Looks for what some detectors find."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        ranked = tuple(enumerate(detectors))
        self._detectors = detectors
        self._words = tuple((rank, each) for rank, each in ranked if not each.run and not each.digits)
        self._runs = tuple((rank, each) for rank, each in ranked if each.run)
        self._numbers = tuple((rank, each) for rank, each in ranked if each.digits and not each.run)

    def find(self, text: str) -> list[Span]:
        """Return where values stand: in order, and none over another.

        Of values that overlap, the one that begins first, else ends last, else stands first in the table,
        says the kind, and what is hidden reaches as far as any of them.
        """
        if len(text) < SHORTEST or re.fullmatch(_PLAIN, text):
            return []
        lower = text.lower() if text.isascii() else re.sub(_UPPER, lambda each: each[0].lower(), text)
        found = [
            (start, -end, rank)
            for rank, detector in self._open(text, lower)
            for start, end in detector.find(text, lower)
        ]
        return self._merged(found) if found else []

    def _open(self, text: str, lower: str) -> Iterator[tuple[int, Detector]]:
        """Yield the detectors whose gates a text gets past."""
        yield from _gated(self._words, lower)
        digits = len(re.findall(DIGIT, text))
        if digits >= LEAST_DIGITS:
            shape = text.encode("latin-1", "replace").translate(_SHAPE).decode("latin-1")
            for rank, each in _gated(self._numbers, lower):
                if each.digits <= digits and (not each.shapes or any(one in shape for one in each.shapes)):
                    yield rank, each
        if re.search(_LONG, text):
            longest = max(map(len, re.findall(RUN, text)))
            for rank, each in _gated(self._runs, lower):
                if each.run <= longest and each.digits <= digits:
                    yield rank, each

    def _merged(self, found: list[tuple[int, int, int]]) -> list[Span]:
        found.sort()
        spans: list[Span] = []
        for start, minus_end, rank in found:
            if spans and start < spans[-1][1]:
                before = spans[-1]
                spans[-1] = (before[0], max(before[1], -minus_end), before[2])
            else:
                spans.append((start, -minus_end, self._detectors[rank]))
        return spans

    def replace(self, text: str, put: Callable[[Detector, str], str]) -> str:
        r"""Return the text with `put(detector, value)` in place of each value; the same object without any.

        Where a text has escapes as `\u0040` and something is found without them, it is given without them.
        """
        given, spans = text, self.find(text)
        if "\\u00" in text:
            plain = re.sub(_ESCAPED, lambda each: chr(int(each[1], 16)), text)
            if plain != text and (inner := self.find(plain)):
                text, spans = plain, inner
        if not spans:
            return given
        pieces, at = [], 0
        for start, end, detector in spans:
            pieces += [text[at:start], put(detector, text[start:end])]
            at = end
        shown = "".join([*pieces, text[at:]])
        return given if shown == text else shown


def _gated(detectors: Sequence[tuple[int, Detector]], lower: str) -> Iterator[tuple[int, Detector]]:
    for rank, detector in detectors:
        gates = detector.gates
        for gate in gates:
            if gate in lower:
                yield rank, detector
                break
        else:
            if not gates:
                yield rank, detector
