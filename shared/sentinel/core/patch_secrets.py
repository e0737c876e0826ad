"""Secrets in added lines: keys and tokens by their shape, passwords by what they are assigned to.

It finds what is written plainly on one line. What somebody hides on purpose, split or encoded, it does not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding

_LOOKED_AT = 2_000  # characters of a line
_END = r"(?![\w-])"
SHAPES: Final = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|\bAGE-SECRET-KEY-1[0-9A-Z]{58}",
    "an AWS key id": r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b(?<!EXAMPLE)",
    "an AWS secret key": r"(?i:aws|secret)[\w.-]{0,30}['\"]?\s{0,3}(?:=>|[=:])?\s{0,3}['\"]?"
    r"(?<![\w/+])[\w/+]{40}(?![\w/+=])",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22,}",
    "a GitLab token": r"\b(?:gl(?:pat|dt|ft|rt|soat)-|GR1348941)[\w-]{20,50}(?!\w)|\bglcbt-[\w-]{20,50}(?!\w)"
    r"|\bglimt-[\w-]{25}(?!\w)|\bglptt-[\w-]{40}(?!\w)|\bglagent-[\w-]{50,}|\bgloas-[\w-]{64}(?!\w)",
    "a Slack token": r"\bxox[abeoprs]-[\w-]{10,}|\bxapp-\d-[\w-]{20,}"
    r"|hooks\.slack\.com/services/T\w+/B\w+/\w+",
    "a Stripe key": r"\b(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
    "a JWT": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "a Google key": r"\bAIza[\w-]{35}" + _END + r"|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",
    "a SendGrid key": r"\bSG\.[\w-]{22}\.[\w-]{43}" + _END,
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZ)[\w-]{70,}",
    "an OpenAI or Anthropic key": r"\bsk-(?:[A-Za-z]+-)?[\w-]{15,}T3BlbkFJ[\w-]{15,}"
    r"|\bsk-ant-[\w-]{40,}|\bsk-proj-[\w-]{80,}",
    "a Discord token": r"(?<![\w.-])[A-Z][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,40}(?![\w.-])",
    "an Artifactory token": r"(?<![\w./+-])(?:AKC[a-zA-Z0-9]{10,}|AP[\dABCDEF][a-zA-Z0-9]{8,})(?![\w/+-])",
    "a Mailchimp key": r"\b[0-9a-z]{32}-us[0-9]{1,2}\b",
    "an Azure key": r"\bAccountKey=[A-Za-z0-9+/=]{60,}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@'\"{}$<]{1,80}:[^/\s:@'\"{}$<]{3,80}@[\w.-]",
    "a Twilio, Shopify or DigitalOcean token": r"\bSK[0-9a-f]{32}\b|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"
    r"|\bdo[opr]_v1_[0-9a-f]{64}\b",
}
_SHAPES: Final = [(words, re.compile(shape)) for words, shape in SHAPES.items()]
_ASSIGNED = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|(?:api|access|private|auth)[-_]?key)"
    r"[\w-]{0,20}['\"]?\]?\s{0,3}(?::=|=>|[:=])\s{0,3}[bru]?(?P<quote>['\"`])(?P<value>[^'\"`\s]{8,300})(?P=quote)"
)
_PLACEHOLDER = re.compile(
    r"(?i)example|change[-_]?me|your[-_]|dummy|placeholder|redacted|sample|^x+$|\*{3}|^<.*>$|\$\{|\{\{|\{\w*\}|%s|^\$"
)
_LEAST_BITS = 3.0  # of entropy a character, of what is assigned


def kinds(line: str) -> Iterator[str]:
    """Yield what secrets a line seems to hold.

    >>> list(kinds('token = "Zk3w9Qx71LmB0v"')), list(kinds('token = os.environ["TOKEN"]'))
    (['a password or token, assigned'], [])
    """
    line = line[:_LOOKED_AT]
    found = False
    for words, shape in _SHAPES:
        if shape.search(line):
            found = True
            yield words
    if not found and any(_tells(each["value"]) for each in _ASSIGNED.finditer(line)):
        yield "a password or token, assigned"


def _tells(value: str) -> bool:
    """Whether a value looks made up by a machine or kept from people, and not like a word or a place."""
    if _PLACEHOLDER.search(value) or not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value):
        return False
    counted = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counted.values())
    return bits >= _LEAST_BITS


def findings(file: Changed) -> Iterator[Finding]:
    """Yield the secrets in added lines, by kind; never what they are."""
    for number, line in file.added:
        for words in kinds(line):
            yield Finding("secret", file.path, number, f"the line seems to hold {words}")
