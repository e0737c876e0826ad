"""Where secrets and personal data stand in a text, and of which kind. Prose errs on the side of hiding.

In code a telling name is often only a name (`token=token`, `password: str`), so there a value is one where
it is quoted, and a long run of letters only where it looks drawn at random. In prose, such as a log, names
are enough.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import pairwise

from sentinel.core.detectors import keys

SECRET, EMAIL, IP, CARD, PHONE, USER, TEXT = "secret", "email", "ip", "card", "phone", "user", "text"
KINDS = (SECRET, EMAIL, IP, CARD, PHONE, USER, TEXT)
TOKEN = re.compile(r"\[\[(?:" + "|".join(KINDS) + r"):\d{1,6}\]\]")

_NAME = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|pwd|credential"
    r"|authori[sz]ation|cookie|session[-_.]?id|jwt|signature)s?(?:[-_.]?(?:key|value|id|hash|base64)){0,2}"
)
_NAMED = re.compile(rf"(?i){_NAME}[\"']?\s*[=:]+\s*[\"']?(?:bearer\s+|basic\s+)?([^\s\"',;&<>()\[\]{{}}]+)")
_QUOTED = re.compile(
    rf"(?i){_NAME}[\"']?\]?\s*(?:[=:]+|,(?=[^,]*\d))\s*[bru]?([\"'])([^\"'\s{{}}]{{4,200}})\1"
)
# Beside the keys of known forms (`core.detectors`): what only begins like one, since prose errs on hiding.
_SHAPES = (
    (SECRET, re.compile(r"\b(?i:bearer|basic)\s+([\w.~+/=-]{12,})")),
    (SECRET, re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)*")),  # a JWT
    (SECRET, re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{12,}\b")),
    (
        SECRET,
        re.compile(
            r"\b(?:gh[pousr]_|github_pat_|xox[a-z]-|xapp-|gl(?:pat|dt|soat|rt|cbt|imt|ptt|agent|oas|ft|ffct)-|npm_|pypi-|dop_v1_|hf_)[\w-]{8,}"
        ),
    ),
    (SECRET, re.compile(r"\b(?:[sr]k-|[sr]k_(?:live|test)_|whsec_|SG\.|AIza|ya29\.)[\w.-]{12,}")),
    (SECRET, re.compile(r"\b(?:GR1348941|AKC|AP\d)[\w-]{10,}")),
    (SECRET, re.compile(r"\b(?:AccountKey|SharedAccessKey|sig)=([\w+/%=-]{20,})")),
    (SECRET, re.compile(r"(?<=//)[^/\s:@]*:([^/\s@]{1,200})(?=@)")),  # a password in a URL
    (
        EMAIL,
        re.compile(
            r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b"
        ),
    ),
    (USER, re.compile(r"(?:/home/|/Users/|\\Users\\)([\w.-]+)")),
)
_LONG = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,}={0,2}")
_DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-]|\.\d)")
_PHONE = re.compile(r"(?<![\w+.-])\+\d{1,3}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d(?:[ .-]?\d){5,13}(?!\w)")
_FLOAT = re.compile(r"\+\d+\.\d+")
_IP = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)"
    r"|(?=[0-9A-Fa-f:]*\d)(?=(?:[0-9A-Fa-f]*:){2})[0-9A-Fa-f:]{6,39}(?![\w:]))"
)
_OWN = frozenset({"127.0.0.1", "0.0.0.0", "::1", "255.255.255.255"})  # noqa: S104 - nobody's address

Span = tuple[int, int, str]


def found(text: str, *, code: bool = False) -> Iterator[Span]:
    """Yield where a value stands that is to be hidden: start, end, kind. They may overlap.

    >>> [(kind, "login with password=hunter22"[a:b]) for a, b, kind in found("login with password=hunter22")]
    [('secret', 'hunter22')]
    >>> list(found("login(password=password, token: str)", code=True))
    []
    """
    for each in TOKEN.finditer(text):
        yield *each.span(), TEXT
    if code:
        yield from ((*each.span(2), SECRET) for each in _QUOTED.finditer(text))
    else:
        yield from ((*each.span(1), SECRET) for each in _NAMED.finditer(text))
    yield from ((*span, SECRET) for span in keys(text))
    for kind, shape in _SHAPES:
        yield from ((*each.span(shape.groups), kind) for each in shape.finditer(text))
    for each in _LONG.finditer(text):
        if random_looking(each.group()):
            yield *each.span(), SECRET
    yield from _numbers(text)


def _numbers(text: str) -> Iterator[Span]:
    for each in _DIGITS.finditer(text):
        if luhn("".join(filter(str.isdigit, each.group()))):
            yield *each.span(), CARD
    for each in _PHONE.finditer(text):
        if not _FLOAT.fullmatch(each.group()):
            yield *each.span(), PHONE
    for each in _IP.finditer(text):
        if _is_address(each.group()):
            yield *each.span(), IP


def random_looking(run: str) -> bool:
    """Whether a long run of letters and digits looks drawn: it mixes cases and digits, and is no path.

    >>> random_looking("wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY")
    True
    >>> random_looking("tests/core/test_of_A_longName_4_you")
    False
    """
    letters = [_class(each) for each in run if each.isalnum()]
    changes = sum(one != other for one, other in pairwise(letters))
    return len(set(letters)) == 3 and changes >= 0.38 * len(letters)


def _class(char: str) -> str:
    return "0" if char.isdigit() else "a" if char.islower() else "A"


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right, and not all digits are the same.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, each in enumerate(reversed(digits)):
        value = int(each) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return not total % 10 and len(set(digits)) > 1


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text not in _OWN
