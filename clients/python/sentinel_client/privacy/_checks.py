"""What a value that an expression found has to be besides: the checks that the detector table names.

Each takes the value and returns how many of its characters count, 0 where it is none after all. They know
ASCII only, so that both languages say the same. Expressions are texts in this package: `re` compiles what is
used when it is first used, and keeps it, so importing the package compiles nothing.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from itertools import pairwise

Check = Callable[[str], int]

MASKED = r"\[\[[a-z_]{2,20}(?::[a-z2-7]{13})?\]\]"
_NO_DIGITS = r"[^0-9]+"
_PLACEHOLDER = (
    r"\$\{[^\n]*\}|\$[A-Z_][A-Z0-9_]*|\{\{[^\n]*\}\}|<[^<>]*>|%[sdr]|%\([A-Za-z_]+\)s|[*]+|[xX]{3,}|[.]+|[-]+"
    r"|\[[a-z]+\]"
)
_SAYS_NOTHING = frozenset(
    {
        "null", "none", "nil", "true", "false", "undefined", "empty", "unset", "missing", "yes", "no", "ok",
        "on", "off", "required", "invalid", "expired", "incorrect", "wrong", "failed", "changed",
        "redacted", "filtered", "hidden", "masked", "authentication", "authorization", "is", "was", "not",
        "for", "of",
    }
)  # fmt: skip
_VOWEL = r"[aeiouAEIOU]"
_SMALL_VOWEL = r"[aeiou]"
_DIGIT = r"[0-9]"
_LETTER = r"[A-Za-z]"
_LOWER = r"[a-z]"
_UPPER = r"[A-Z]"
_SYMBOL = r"[!#$%^*+=~|{}\[\]()<>?@\\]"
_CAMEL = r"[a-z][A-Z]"
# Numbers, dates, calls, indexed names, paths and addresses: what stands under telling names and is no secret.
_PUBLIC = (
    r"-?[0-9.,]+|[0-9]{4}-[0-9]{2}-[0-9]{2}[^\n]*|[A-Za-z_.]+[(\[][^\n]*|(?:~|\.{0,2})(?:/[a-z0-9_.-]+)+/?"
    r"|https?:[^\n]*"
)
_DATED = r"\+?[0-9]+\.[0-9]+|[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}[^\n]*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}[^\n]*"
_CARD_LENGTHS = (
    (r"4", (13, 16, 19)),
    (r"3[47]|1|2131", (15,)),
    (r"3[0689]", (14, 15, 16, 17, 18, 19)),
    (r"35|6[0-9]|50|5[678]", (13, 14, 15, 16, 17, 18, 19)),
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),
)


def luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B), and not all digits are the same.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, each in enumerate(reversed(digits)):
        value = int(each) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return not total % 10 and len(set(digits)) > 1


def card(value: str) -> int:
    """Take a payment card: a length that its issuer's range has, and a right check digit."""
    digits = re.sub(_NO_DIGITS, "", value)
    fits = any(re.match(begins, digits) and len(digits) in lengths for begins, lengths in _CARD_LENGTHS)
    return len(value) if fits and luhn(digits) else 0


def iban(value: str, lengths: Mapping[str, int]) -> int:
    """Take an IBAN (ISO 13616), up to the length that its country has, with the right check digits.

    >>> iban("GB29 NWBK 6016 1331 9268 19 PAID", {"GB": 22})
    27
    """
    length, plain, end = lengths.get(value[:2], 0), "", 0
    for each in value:
        end += 1
        if each not in " -":
            plain += each
        if len(plain) == length:
            break
    if len(plain) != length or not length or value[end : end + 1] not in {"", " ", "-"}:
        return 0
    number = "".join(str(int(each, 36)) for each in plain[4:] + plain[:4])
    return end if int(number) % 97 == 1 else 0


def jwt(value: str) -> int:
    """Take a JSON Web Token: what stands before the first dot is a header (RFC 7515, 4)."""
    head = value.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:  # also what is no text, no base64
        return 0
    return len(value) if isinstance(header, dict) and header.keys() & {"alg", "enc", "typ"} else 0


def basic(value: str) -> int:
    """Take credentials of HTTP Basic (RFC 7617): base64 of printable text with a colon."""
    plain = value.rstrip("=")
    try:
        text = b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return 0
    return len(value) if ":" in text and text.isprintable() else 0


def real(value: str) -> int:
    """Take no placeholder, no word that says that there is no value, and nothing that is masked already."""
    if (
        value.lower().rstrip(".,:)!") in _SAYS_NOTHING
        or re.fullmatch(_PLACEHOLDER, value)
        or re.match(MASKED, value)
    ):
        return 0
    return len(value)


def secret_like(value: str) -> int:
    """Take no plain words: what has digits, symbols, no vowels, or cases that change within."""
    if len(value) < 6 or not real(value) or re.fullmatch(_PUBLIC, value):
        return 0
    telling = (
        re.search(_DIGIT, value)
        or re.search(_SYMBOL, value)
        or not re.search(_VOWEL, value)
        or len(re.findall(_CAMEL, value)) > 2
    )
    return len(value) if telling else 0


def mixed(value: str) -> int:
    """Take letters and digits."""
    return len(value) if re.search(_DIGIT, value) and re.search(_LETTER, value) else 0


def three(value: str) -> int:
    """Take small letters, capital letters and digits."""
    return (
        len(value)
        if re.search(_LOWER, value) and re.search(_UPPER, value) and re.search(_DIGIT, value)
        else 0
    )


def no_words(value: str) -> int:
    """Take a digit, or small letters without a vowel: no words written together."""
    odd = re.search(_LOWER, value) and not re.search(_SMALL_VOWEL, value)
    return len(value) if re.search(_DIGIT, value) or odd else 0


def drawn(value: str) -> int:
    """Take what looks drawn at random: three classes of characters that change as often as chance has it.

    >>> drawn("wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"), drawn("tests/core/test_of_A_longName_4_you")
    (41, 0)
    """
    classes = ["0" if each.isdigit() else "a" if each.islower() else "A" for each in value if each.isalnum()]
    changes = sum(one != other for one, other in pairwise(classes))
    return len(value) if len(set(classes)) == 3 and changes >= 0.38 * len(classes) else 0


def phone(value: str) -> int:
    """Take 7 to 15 digits (E.164), and no date, no address of a host, no number with a fraction."""
    digits = re.sub(_NO_DIGITS, "", value)
    return (
        len(value)
        if 7 <= len(digits) <= 15 and len(set(digits)) > 1 and not re.fullmatch(_DATED, value)
        else 0
    )


def pairs(value: str) -> int:
    """Take names with values, as in cookies."""
    return len(value) if "=" in value else 0


def by_name(lengths: Mapping[str, int]) -> dict[str, Check]:
    """Return the checks by the names that the table has for them; `lengths` are those of IBANs by country."""
    return {
        "card": card,
        "iban": lambda value: iban(value, lengths),
        "jwt": jwt,
        "basic": basic,
        "real": real,
        "secret-like": secret_like,
        "mixed": mixed,
        "three": three,
        "no-words": no_words,
        "drawn": drawn,
        "phone": phone,
        "pairs": pairs,
    }
