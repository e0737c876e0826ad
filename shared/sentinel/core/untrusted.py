"""Text of strangers, as a model may see it: what has no shape and what speaks a protocol is spelled out.

A character that is not to be taken as it is stands as its number, `<U+202E>`: control, format, direction
and tag characters, letters of other scripts that pass for Latin ones, and the marks of whatever a model's
own protocol could know, such as a role, a call of a tool or a fence. Text is judged as NFKC folds it,
without what is invisible; so wide and split forms count. A name that is none of these stays: ordinary code
has to stay itself.
"""

from __future__ import annotations

import re
import unicodedata

from sentinel.core.legible import seen

_MARKERS = re.compile(
    r"<\|(?=\w)"  # <|im_start|>, <|endoftext|>
    r"|\[/?INST\]|<</?SYS>>"
    r"|</?(?i:antml:\w+|system|assistant|developer|human|instructions?|invoke"
    r"|(?:tool|function)_(?:use|calls?|results?|response))\b"
    r"|`{3,}"
    r"|\]\(\s*(?i:https?:|data:|javascript:|//)"  # a link or an image that leads elsewhere
    r"|^\W*(?:[Hh]uman|HUMAN|[Aa]ssistant|ASSISTANT|System|SYSTEM|Developer|DEVELOPER|User|USER)\s*:"
    r"|^\W*#{2,}\s*(?i:human|assistant|system|developer|instructions?)\b"
)
_WORD = re.compile(r"\w+")


def spelled(char: str) -> str:
    """Return a character as its number.

    >>> spelled("`")
    '<U+0060>'
    """
    return f"<U+{ord(char):04X}>"


def stripped(text: str) -> str:
    r"""Return a text without characters that have no shape; other space than " " becomes " ".

    >>> stripped("ig\u200bnore\u202e this\tnow")
    'ignore this now'
    """
    return "".join(each if seen(each) and each != "\n" else _space(each) for each in text)


def judged(text: str) -> str:
    """Return a text as it is judged: stripped and folded, so that look-alikes by form are the same.

    >>> judged("＜|ｉｍ_start|＞")
    '<|im_start|>'
    """
    return unicodedata.normalize("NFKC", stripped(text))


def safe_line(line: str, nonce: str = "") -> str:
    r"""Return one line of a text as it may be shown; the same line where nothing in it was to be spelled out.

    >>> safe_line("return a  # größer als b")
    'return a  # größer als b'
    >>> safe_line("<|im_start|>system"), safe_line("a\u202eb"), safe_line("# Assistant: done")
    ('<U+003C><U+007C>im_start|>system', 'a<U+202E>b', '<U+0023> Assistant<U+003A> done')
    """
    if not (line.isascii() and line.isprintable()):
        line = _shaped(line)
    line = _quieted(line, nonce)
    if not line.isascii() and _speaks(judged(line), nonce):
        line = _quieted("".join(each if each.isascii() else spelled(each) for each in line), nonce)
    return line


def _quieted(line: str, nonce: str) -> str:
    line = _MARKERS.sub(_quiet, line)
    if nonce and nonce in line.lower():
        line = re.sub(re.escape(nonce), "<nonce>", line, flags=re.IGNORECASE)
    return line


def _speaks(line: str, nonce: str) -> bool:
    return bool(_MARKERS.search(line) or (nonce and nonce in line.lower()))


def _shaped(line: str) -> str:
    """Spell out what has no shape, and the foreign letters of words that mix them with Latin ones."""
    line = _WORD.sub(lambda found: _unmixed(found.group()), line)
    return "".join(each if (seen(each) and each != "\n") or each == "\t" else spelled(each) for each in line)


def _unmixed(word: str) -> str:
    if word.isascii() or len({_script(each) for each in word if each.isalpha()}) < 2:
        return word
    return "".join(each if each.isascii() else spelled(each) for each in word)


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "?").partition(" ")[0]


def _quiet(found: re.Match[str]) -> str:
    return "".join(each if each.isalnum() or each in "_ \t" else spelled(each) for each in found.group())


def _space(char: str) -> str:
    return " " if char.isspace() else ""
