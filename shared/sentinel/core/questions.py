"""Questions to models and their replies, as every provider takes and gives them.

A question is all that a model is told; it has no tools. The reply is text that should be JSON of the
question's schema: a provider asks for that in the strictest way it has, and whoever asked checks it.

::

    Rejected
    └── NotAnswered        the model gave no answer that can be used; another one may
        ├── Declined       it refused, or a filter of the provider did
        ├── CutOff         the reply ended at the greatest length, or the context was full
        └── NobodyAnswers  none of several models did, and asking again changes nothing
    Unavailable            the provider did not answer: ask again later, or another one
    ├── Busy               it said that it does not answer now: nothing was made, and nothing is charged
    └── NobodyNow          none of several models answered; one of them may later
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from sentinel.core.approvals import canonical
from sentinel.errors import Rejected, Unavailable

Role = Literal["user", "assistant"]


class NotAnswered(Rejected):
    """The model gave no answer that can be used. The message names the reason, never text of it.

    `usage` is what is charged all the same; None where nothing is.
    """

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class Declined(NotAnswered):
    """The model refused, or a filter of the provider did."""


class CutOff(NotAnswered):
    """The reply is not whole: it reached the greatest length, or the context was full."""


class Busy(Unavailable):
    """The provider answered with a status that says: not now. Nothing was made, and nothing is charged."""


@dataclass(frozen=True, slots=True)
class Missed:
    """One model of several that gave no answer: the recipe's name of it, why, and what that cost at most."""

    model: str
    why: str
    tokens: int = 0
    usd: float = 0.0


class NobodyAnswers(NotAnswered):
    """None of several models gave an answer, and asking the same again changes nothing."""

    def __init__(self, message: str, failed: tuple[Missed, ...]) -> None:
        super().__init__(message)
        self.failed = failed


class NobodyNow(Unavailable):
    """None of several models gave an answer; one of them may later."""

    def __init__(self, message: str, failed: tuple[Missed, ...], retry_after: float) -> None:
        super().__init__(message, retry_after)
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: the user's, or the model's own earlier reply."""

    role: Role
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked. `schema` is JSON Schema as strict modes take it, `name` names it.

    `max_output` is in tokens. `sample` tells apart questions that are the same otherwise, of which several
    replies are wanted; a provider does not get it.
    """

    system: str = field(repr=False)
    turns: tuple[Turn, ...]
    schema: Mapping[str, Any] = field(repr=False)
    name: str = "answer"
    max_output: int = 16_000
    sample: int = 0

    @property
    def document(self) -> dict[str, object]:
        """It as JSON."""
        turns = [{"role": each.role, "text": each.text} for each in self.turns]
        head = {"system": self.system, "turns": turns, "schema": dict(self.schema), "name": self.name}
        return {**head, "max_output": self.max_output, "sample": self.sample}

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical form, hex: what a recording is found by."""
        return sha256(canonical(self.document)).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. `cached` and `written` are parts of `input`; see its prices."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said: `text` byte for byte, and what it cost.

    `model` is the provider's name of it; `scripted` says that nobody was asked: the text is from a file.
    Where not `counted` the provider told no usage, and `usage` is the worst case. `failed` are the models
    that were asked before and gave no answer.
    """

    text: str = field(repr=False)
    provider: str
    model: str
    usage: Usage = Usage()
    usd: float = 0.0
    scripted: bool = False
    counted: bool = True
    failed: tuple[Missed, ...] = ()
