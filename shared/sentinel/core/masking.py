"""Masking: what an entry shows where people read along, as in a channel. It errs on the side of hiding.

Values under telling names (`password`, `token`, `authorization`) are hidden, and so is text that looks like a
credential, a card number or an e-mail address, wherever it stands. That is a courtesy and no proof: whoever
must not see an entry is not to be in the channel.
"""

from __future__ import annotations

import re

import orjson

HIDDEN = "[hidden]"
_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authori[sz]ation|cookie|credential|api[-_.]?key|private[-_.]?key"
    r"|session|jwt|signature|\bpwd\b|\bpin\b|\bcvv\b|\bssn\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?i)\b([\w.-]*(?:pass(?:word|wd|phrase)?|secret|token|api[-_.]?key|pwd|credential)s?)"
    r"(\"?\s*[=:]\s*\"?)([^\s\"',;&]+)"
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]+-----.*"  # a key in PEM, to its end
    r"|(?i:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|\beyJ[\w-]+\.[\w-]+\.?[\w-]*"  # a JWT
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|\b(?:gh[pousr]_|xox[a-z]-|sk-|sk_|glpat-)[\w-]{8,}"
    r"|//[^/\s:@]*:[^/\s@]+@"  # a password in a URL
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|\b\d(?:[ -]?\d){12,18}\b"  # as long as a card number
    r"|\b[A-Za-z0-9+/_-]{32,}={0,2}",  # long and without a break: a key, or as good as one
    re.DOTALL,
)
MAX_READ = 16_384  # bytes of an entry that are looked at
_DEPTH = 20


def mask(entry: bytes, limit: int) -> str:
    """Return an entry as one line of at most `limit` characters, masked before it is cut.

    >>> mask(b'{"user": "kim", "password": "hunter2"}', 100)
    '{"user":"kim","password":"[hidden]"}'
    >>> mask(b"login failed for kim@example.com", 100)
    'login failed for [hidden]'
    """
    text = _json(entry) if len(entry) <= MAX_READ else None
    if text is None:
        text = _text(entry[:MAX_READ].decode(errors="replace"))
    line = printable(text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def printable(text: str) -> str:
    """Return a text as one line without control, format and direction characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _json(entry: bytes) -> str | None:
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return None
    return orjson.dumps(_value(found, _DEPTH)).decode()


def _value(value: object, depth: int) -> object:
    if isinstance(value, dict):
        if not depth:
            return HIDDEN
        return {
            _text(name): HIDDEN if _NAMES.search(name) else _value(each, depth - 1)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_value(each, depth - 1) for each in value] if depth else HIDDEN
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and len(str(abs(value))) >= 13:
        return HIDDEN  # as long as a card number
    return value


def _text(text: str) -> str:
    return _SHAPES.sub(HIDDEN, _NAMED.sub(rf"\1\2{HIDDEN}", text))
