"""Finds and replaces values in one text: gates first, then the expressions whose gates are open."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sentinel_client.privacy._table import DIGIT, RUN, Detector

Span = tuple[int, int, str]  # start, end, kind
SHORTEST = 4  # characters that a text has at least, for anything to be looked for in it
_ESCAPED = re.compile(r"\\u00([2-7][0-9A-Fa-f])")


class Scanner:
    """Looks for what some detectors find."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors

    def find(self, text: str) -> list[Span]:
        """Return where values stand: in order, and none over another.

        Of values that overlap, the one that begins first, or else ends last, says the kind, and what is
        hidden reaches as far as any of them.
        """
        if len(text) < SHORTEST:
            return []
        lower = text.lower()
        longest, digits = max(map(len, RUN.findall(text)), default=0), len(DIGIT.findall(text))
        found = [
            (start, -end, rank, detector.kind)
            for rank, detector in enumerate(self._detectors)
            if longest >= detector.run
            and digits >= detector.digits
            and (not detector.gates or any(gate in lower for gate in detector.gates))
            for start, end in detector.find(text)
        ]
        return _merged(found) if found else []

    def replace(self, text: str, put: Callable[[str, str], str]) -> str:
        """Return the text with `put(kind, value)` in place of each value; the same object where there is none.

        Where a text has escapes as `\\u0040` and something is found without them, it is given without them.
        """
        spans = self.find(text)
        if "\\u00" in text:
            plain = _ESCAPED.sub(lambda each: chr(int(each[1], 16)), text)
            if plain != text and (inner := self.find(plain)):
                text, spans = plain, inner
        if not spans:
            return text
        pieces, at = [], 0
        for start, end, kind in spans:
            pieces += [text[at:start], put(kind, text[start:end])]
            at = end
        return "".join([*pieces, text[at:]])


def _merged(found: list[tuple[int, int, int, str]]) -> list[Span]:
    found.sort()
    spans: list[Span] = []
    for start, minus_end, _, kind in found:
        if spans and start < spans[-1][1]:
            before = spans[-1]
            spans[-1] = (before[0], max(before[1], -minus_end), before[2])
        else:
            spans.append((start, -minus_end, kind))
    return spans
