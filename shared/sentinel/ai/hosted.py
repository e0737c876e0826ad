"""Asking a model of a provider: once, with a few tries where it is busy, all of it before one deadline.

Only what surely was not charged is tried again here: a connection that was never made, and an answer that
says `not now`. Where a reply may be lost, whoever asked decides: the budget counts it as spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

from sentinel.ai.answers import document, refusal
from sentinel.ai.model import HostedConfig, Reach
from sentinel.core import budgets
from sentinel.core.questions import Busy, Question, Reply, Usage
from sentinel.errors import Malformed, SentinelError, TimedOut, TooLarge, Unavailable
from sentinel.ports import HttpResponse

TRIES: Final = 4
PATIENCE: Final = 30.0  # seconds: a provider that wishes a longer wait is not waited for
_FIRST_PAUSE: Final = 0.5
_LEAST: Final = 0.2  # seconds in which a reply could come at all
TIMEOUT: Final = 3_600.0  # seconds that SDKs are told; what counts is the carrier's deadline
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Said:
    """What stands in a provider's answer: the reply's text, its name of the model, and what it counted."""

    text: str
    model: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request: to whom, with which key. `left` returns the seconds for it, or raises `TimedOut`."""

    config: Any
    key: str
    left: Callable[[], float]
    reach: Reach


class Provider(Protocol):
    """One provider: how its SDK is asked, and what its answers say."""

    @property
    def who(self) -> str:
        """Its name, for messages."""

    def send(self, call: Call, question: Question) -> HttpResponse:
        """Ask by its SDK and return the answer, whatever its status. Raises what `ports.Http` does."""

    def said(self, answer: dict[str, Any], question: Question) -> Said:
        """Read an answer; pure. Raises `NotAnswered` where there is none in it, `BadAnswer`."""


class Hosted:
    """One model of a provider: `ports_patches.Model`."""

    def __init__(self, config: HostedConfig, provider: Provider, reach: Reach) -> None:
        self._config = config
        self._provider = provider
        self._reach = reach

    def ask(self, question: Question, deadline: int) -> Reply:
        """Ask; see `ports_patches.Model`. Raises `Missing` where there is no such secret."""
        question = self._fitting(question)
        key = self._key()
        for number in range(TRIES):
            try:
                return self._once(question, key, partial(self._left, deadline))
            except Unavailable as error:
                pause = max(error.retry_after if isinstance(error, Busy) else 0.0, _FIRST_PAUSE * 2**number)
                again = isinstance(error, Busy) or error.unsent
                left = (deadline - self._reach.clock()) / _SECOND
                if not again or number + 1 == TRIES or pause > PATIENCE or pause + _LEAST > left:
                    error.retry_after = max(error.retry_after, pause)
                    raise
                self._reach.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(self, question: Question, key: str, left: Callable[[], float]) -> Reply:
        who = self._provider.who
        left()
        answer = self._provider.send(Call(self._config, key, left, self._reach), question)
        if answer.status != 200:
            now = self._reach.clock() / _SECOND
            raise refusal(answer, who, self._config.key, now)
        said = self._provider.said(document(answer, who), question)
        used = said.usage or budgets.worst(question)
        prices = self._config.cost
        usd = prices.usd(used) if said.usage else prices.worst(used)
        return Reply(said.text, self._config.kind, said.model, used, usd, counted=said.usage is not None)

    def _fitting(self, question: Question) -> Question:
        asked = replace(question, max_output=min(question.max_output, self._config.max_output))
        needed = budgets.worst(asked).tokens
        if needed > self._config.context:
            raise TooLarge(
                f"the question with its answer may have {needed:,} tokens; the model's context is "
                f"{self._config.context:,}"
            )
        return asked

    def _key(self) -> str:
        key = self._reach.secrets.get(self._config.key)
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise Malformed(f"the secret {self._config.key} is no key: it is empty, or has blanks in it")
        return key

    def _left(self, deadline: int) -> float:
        left = (deadline - self._reach.clock()) / _SECOND
        if left < _LEAST:
            late = TimedOut(f"no time is left to ask {self._provider.who}")
            late.unsent = True
            raise late
        return left


def outcome(answer: HttpResponse | None, failure: SentinelError | None) -> HttpResponse:
    """Return what a carrier has after an SDK used it."""
    if failure is not None:
        raise failure from None
    if answer is None:
        raise Malformed("the provider's SDK did not send the question: see its model and effort")
    return answer
