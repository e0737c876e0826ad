"""What an approver signs: a statement about one digest of one task, in a DSSE envelope (`core.dsse`).

The lineage keeps the envelope as it came, so that anybody with the authors' public keys can tell afterwards
who approved what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sentinel.core import dsse
from sentinel.core.approvals import Verdict, canonical
from sentinel.core.tasks import MAX_REASON
from sentinel.errors import Malformed, Unauthenticated

PAYLOAD_TYPE = "application/vnd.sentinel.approval+json"
_KEYS = {"task", "digest", "verdict", "why", "t"}


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said. `t` is the signer's clock in nanoseconds: it is told, and decides nothing."""

    task: str
    digest: str
    verdict: Verdict
    why: str
    t: int = 0

    def payload(self) -> bytes:
        """Return the bytes that are signed."""
        told = {"task": self.task, "digest": self.digest, "verdict": self.verdict.value, "why": self.why}
        return canonical({**told, "t": self.t})


def sign(statement: Statement, seed: bytes) -> dict[str, object]:
    """Return the envelope of a statement, as JSON, signed with the private key of 32 raw bytes."""
    made: dict[str, object] = orjson.loads(dsse.dump(dsse.sign(seed, PAYLOAD_TYPE, statement.payload())))
    return made


def opened(envelope: object, keys: Mapping[str, bytes]) -> tuple[str, Statement]:
    """Return who signed an envelope, of those whose public `keys` are given, and what they say.

    Raises `Malformed` for what is no such envelope, `Unauthenticated` where none of them signed it.
    """
    found = dsse.load(orjson.dumps(envelope)) if isinstance(envelope, Mapping) else None
    if found is None or found.payload_type != PAYLOAD_TYPE or len(found.signatures) != 1:
        raise Malformed(f"this is no envelope of one signature around {PAYLOAD_TYPE}")
    names = dsse.signers(found, keys)
    if not names:
        raise Unauthenticated("the approval bears no signature of an author who is known here")
    return names[0], read(found.payload)


def read(payload: bytes) -> Statement:
    """Return what a payload says. Raises `Malformed`."""
    try:
        told: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict) or set(told) != _KEYS or type(told["t"]) is not int:
        raise Malformed(f"an approval says {', '.join(sorted(_KEYS))}, and nothing else")
    texts = [told[name] for name in ("task", "digest", "verdict", "why")]
    if not all(isinstance(each, str) for each in texts):
        raise Malformed("an approval says its task, digest, verdict and why as texts")
    return Statement(
        told["task"], told["digest"], verdict_of(told["verdict"]), reason(told["why"]), told["t"]
    )


def verdict_of(text: str) -> Verdict:
    """Return the verdict that a text names. Raises `Malformed`."""
    try:
        return Verdict(text)
    except ValueError:
        raise Malformed(f"a verdict is {' or '.join(Verdict)}") from None


def reason(text: str) -> str:
    """Return a reason as it is kept in the lineage. Raises `Malformed` for what cannot be."""
    if len(text) > MAX_REASON or not text.isprintable():
        raise Malformed(f"why is at most {MAX_REASON} printable characters: it is kept in the lineage")
    return text
