"""JSON as people read it: nothing in it is hidden, and nothing moves what stands around it.

What is shown may be written by strangers. A character that has no shape of its own, such as one that turns
the direction of writing or controls a terminal, is shown as JSON escapes it; so the text is the same JSON.
"""

from __future__ import annotations

import json

# Letters, marks and symbols that are printable and have no shape: fillers, joiners, selectors of variants.
_UNSEEN = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)))
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))


def legible(value: object, indent: int | None = None) -> str:
    r"""Return a JSON value as text; with `indent` in lines.

    >>> print(legible({"url": "https://a.example\u202e/x", "n": 9007199254740993}))
    {"url": "https://a.example\u202e/x", "n": 9007199254740993}
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(each if seen(each) else json.dumps(each)[1:-1] for each in text)


def seen(char: str) -> bool:
    """Whether a character has a shape of its own, and so may stand as it is. A line's end may."""
    return char == "\n" or (char.isprintable() and char not in _UNSEEN)
