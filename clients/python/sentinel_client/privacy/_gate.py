"""The gate: whether an encoded entry may hold anything that is to be hidden. It is asked for every entry.

It looks at the bytes as a whole, by the few operations that CPython does at the speed of C: one character
sought, one substring sought, one translation. So it is coarse. It may say that a clean entry is not; it never
says that an entry is clean which the walk would change (`tests/clients/test_privacy_gate.py`). What it looks
for follows from the gates of the table's rows:

- values under names: the entry's names are remembered, so names that were seen before cost one look-up;
- values after names in texts need `=` or `:`, a quote, `<` or `--` in a text, and one of some words;
- tokens and keys are long runs of letters and digits, which begin in certain ways or mix their classes;
- cards and phone numbers are long runs of digits, or groups of digits;
- addresses need `@`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sentinel_client.privacy._checks import three
from sentinel_client.privacy._paths import Paths
from sentinel_client.privacy._table import Table

RUN = 13  # the shortest run of characters of a token that a row of the table asks for
_ONE = "a" * RUN
_TOKEN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_MARKS = frozenset(b"@~%\\[='<+")  # each asks for a closer look
_RUNS = bytes(97 if c in _TOKEN else 33 if c in _MARKS else 32 for c in range(256))
_WORDS = bytes(c if c in _TOKEN or c == 46 else 32 for c in range(256))
_HEX = b"0123456789abcdef.-"  # what is of these alone is an id or a number
_DIGITS = bytes(48 if 48 <= c <= 57 else 32 if c == 0xA0 else c for c in range(256))
_NAME = 56  # characters of the longest name that the table knows, with its endings and quotes
_SECONDS = 18  # bytes of an entry that begins with its time, of which the whole seconds are no value
_GROUPS = ("0000 000000 0000", "000-0000", "000-00-0000", "0000-000000-0000")
_IBAN = r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}"
_ESCAPED = r"\\u00[2-7]"
# An escape of JSON, and one of JSON that stands in a text of JSON, however often.
_ESCAPE, _INNER_ESCAPE = r"\\(?:u[0-9A-Fa-f]{4}|.)", r"\\+(?:u[0-9A-Fa-f]{4}|[\"/bfnrt])?"
_DRAWN = r"[A-Za-z0-9+/_-]{20,}"
_CARD = r"(?<![A-Za-z0-9_.+-])(?:[2-6][0-9]{12,18}|1[0-9]{14})(?![A-Za-z0-9_-])"
# Words of which one stands before every value that a name in a text gives away.
WORDS = (
    "pass", "pwd", "secret", "token", "key", "cred", "jwt", "signature", "auth", "cookie", "kennwort",
    "senha", "contrase", "sig", "private key", "phone", "tel", "mobile", "cell", "fax", "handy", "whatsapp",
    "callback", "social", "ssn", "putty", "identified",
)  # fmt: skip
_SESSIONS = ("sessid", "sess_id", "sess-id", "sess.id", "ssionid", "ssion_id", "ssion-id", "ssion.id")
_NEAR = ("secret", "token", "passw", "cred", "key", "auth", "sign")
_NUMBERED = ("phone", "tel", "mobile", "fax", "ssn", "social")
MAX_SHAPES = 4_096
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})


class Gate:
    """Decides about encoded entries. Threads may use it at once: what it remembers is only added to."""

    def __init__(
        self,
        table: Table,
        paths: Paths,
        names: Callable[[str], str],
        plain: Callable[[str], bool],
        everything: bool,
    ) -> None:
        starts = {gate for row in table.detectors if row.run for gate in row.gates}
        self._starts = frozenset(each[:3] for each in starts if len(each) > 2)
        self._short = frozenset(each.upper() for each in starts if len(each) == 2)
        self._paths, self._names, self._plain, self._everything = paths, names, plain, everything
        self._flat, self._pairs = table.flat, table.pair_names
        self._shapes: set[tuple[str, ...]] = set()

    def clean(self, encoded: bytes, entry: Mapping[str, Any]) -> bool:
        """Whether nothing of an entry is to be hidden. `encoded` is the entry as compact JSON."""
        shape = tuple(entry)
        if shape not in self._shapes and not self._learn(shape):
            return False
        text = encoded.decode("latin-1")
        runs = encoded.translate(_RUNS).decode("latin-1")
        # The number of seconds with which an entry begins is nobody's number.
        at = _SECONDS if shape and shape[0] == "time" and type(entry["time"]) is float else 0
        digits = encoded[at:].translate(_DIGITS).decode("latin-1")
        if not encoded.isascii():
            digits = digits.replace("\xc2 ", " ")  # U+00A0, which is C2 A0 in UTF-8
        worded = "!" in runs or text.count(":") != len(shape) or "--" in text
        if worded:
            if not self._wordless(text, digits, entry):
                return False
            if "\\" in text:
                text = _unescaped(text, at)
                encoded = text.encode("latin-1")
                digits = encoded[at:].translate(_DIGITS, b"\xc2").decode("latin-1")
        if _ONE in runs and not self._harmless(encoded, text):
            return False
        numbered = "0000000" in digits or "0 0000" in digits or "0-0000" in digits
        if numbered and not self._numberless(text, digits):
            return False
        return "+" not in text or "+0" not in digits

    def _learn(self, shape: tuple[Any, ...]) -> bool:
        """Remember names of an entry, unless one of them asks for a walk."""
        names = [each if isinstance(each, str) else str(each) for each in shape]
        if any(self._names(each) or not self._plain(each) for each in names):
            return False
        lower = [each.lower() for each in names]
        if (self._paths and self._paths.named(lower)) or not self._pairs.isdisjoint(lower):
            return False
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
        self._shapes.add(shape)
        return True

    def _nested(self, entry: Mapping[str, Any]) -> int:
        """Return how many names an entry has in all its levels, -1 if one of them asks for a walk."""
        count, todo = 0, [entry]
        while todo:
            value: Any = todo.pop()
            if isinstance(value, dict):
                shape = tuple(value)
                if shape not in self._shapes and not self._learn(shape):
                    return -1
                count += len(value)
                todo.extend(each for each in value.values() if type(each) not in _PLAIN_TYPES)
            elif isinstance(value, list | tuple):
                if value and isinstance(value[0], list | tuple):
                    return -1  # a list of pairs, perhaps
                todo.extend(each for each in value if type(each) not in _PLAIN_TYPES)
                if any(type(each) is str and (each.startswith("-") or self._names(each)) for each in value):
                    return -1
            else:
                return -1  # how this is encoded is not known here
        return count

    def _wordless(self, text: str, digits: str, entry: Mapping[str, Any]) -> bool:
        """Whether no value in a text stands after a telling name, and no address is in it."""
        if "@" in text or "~" in text or "%40" in text or ("\\" in text and _coded(text)):
            return False
        colons = text.count(":")
        names = self._nested(entry) if "[" in text or colons != len(entry) else colons
        if names < 0:
            return False
        free = "--" in text or "<" in text or "'" in text
        times = 0 if "64:" in text else digits.count("00:")  # secret_b64: is no time
        if not free and "=" not in text and names + times == colons:
            return True  # every colon in a text stands in a time, or behind another number
        if '\\"' in text:
            return False
        said = _suspicious(entry, text) if free else _before(_suspicious(entry, text))
        said = said.lower()
        for word in WORDS:
            if word in said:
                return False
        return "sess" not in said or not any(each in said for each in _SESSIONS)

    def _harmless(self, encoded: bytes, text: str) -> bool:
        """Whether no long run of letters and digits may be a token."""
        lower = text.lower()
        if "bearer" in lower or "basic" in lower:
            return False
        words = [each for each in encoded.translate(_WORDS).split() if len(each) >= RUN and each.strip(_HEX)]
        if words and not self._undrawn(text, lower):
            return False
        starts = self._starts
        for each in words:
            word = each.decode("latin-1")
            if word[:3].lower() in starts or "-us" in word or "hooks." in word:
                return False
            if "." in word:
                if not all(self._drab(part) for part in word.split(".") if len(part) >= RUN):
                    return False
            elif not word.islower() and not self._drab(word):
                return False
        return True

    def _undrawn(self, text: str, lower: str) -> bool:
        """Whether no long string looks drawn at random near a word such as token."""
        if not self._everything:
            for near in _NEAR:
                if near in lower:
                    break
            else:
                return True
        return not any(three(each) for each in re.findall(_DRAWN, text))

    def _drab(self, word: str) -> bool:
        """Whether a run of letters and digits does not look like a token."""
        if (
            word[:3].lower() in self._starts
            or word[:2] in self._short
            or (word[:2].isupper() and word[2:4].isdigit())
        ):
            return False
        return len(word) < 27 or word == word.lower() or word == word.upper() or word.isalpha()

    def _numberless(self, text: str, digits: str) -> bool:
        """Whether digits that stand together, or in groups, are no number of a card, a phone, an account."""
        if any(group in digits for group in _GROUPS):
            return False
        if "0000 0000" in digits and ("0000 0000 0000 0000" in digits or re.search(_IBAN, text)):
            return False
        if "0000000000000" in digits and re.search(_CARD, text):
            return False
        lower = text.lower()
        return not any(word in lower for word in _NUMBERED)


def _before(text: str) -> str:
    """Return what stands before each = and : of a text, as far back as a name with endings reaches."""
    pieces = text.replace("=", ":").split(":")
    pieces.pop()
    return "\n".join([each[-_NAME:] for each in pieces if not each[-2:].isdigit() or each[-2:] == "64"])


def _coded(text: str) -> bool:
    """Whether a text has escapes of its own, or is JSON, perhaps, with texts of its own."""
    if "\\u00" in text and re.search(_ESCAPED, text):
        return True
    return '\\"' in text and ('"[' in text or '"{' in text)


def _unescaped(text: str, at: int) -> str:
    r"""Return a text with a space for each escape, whose letter is no part of the word behind it.

    `\\n` is a backslash and an n, or a line break of JSON in JSON: both are there, the second from `at` on.
    """
    return f"{re.sub(_ESCAPE, ' ', text)} {re.sub(_INNER_ESCAPE, ' ', text[at:])}"


def _suspicious(entry: Mapping[str, Any], text: str) -> str:
    """Return the texts of an entry in which a value may stand after a name; all where that is not sure."""
    found = []
    for each in entry.values():
        if type(each) is str:
            if ":" in each or "=" in each or "--" in each or "'" in each or "<" in each:
                found.append(each)
        elif type(each) not in _PLAIN_TYPES:
            return text
    return "\n".join(found)
