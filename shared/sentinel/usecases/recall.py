"""Recalling: what a step asks that answers in another way each time, as models do, is kept with its answer.

Each question of a step is an effect of its own, under the step's key, the question's hash, and how often it
was asked before in the same try. A step that is taken up again gets the answers that it had to the same
questions and asks only what it has not asked yet; a replay gets them all. Besides the ledger, what is kept
here is the only content that Sentinel keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from sentinel.core.tasks import Effect, EffectState
from sentinel.errors import Malformed

MOST = 300_000  # bytes of a question with its answer: an item of DynamoDB has 400 KB
_BEHIND = "."  # between an effect's key and the number of a question


@dataclass(slots=True)
class Recall:
    """One try's questions. `known` are the task's effects, `keep` stores one; `clock` is in nanoseconds."""

    task_id: str
    key: str
    step: str
    attempt: int
    known: Mapping[str, Effect]
    keep: Callable[[Effect], object]
    clock: Callable[[], int]
    digest: str = ""  # of all questions and answers so far, hex: the lineage tells it
    _asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, question: str, ask: Callable[[], str]) -> str:
        """Return the answer to a question; see `core.steps.StepRun.recorded`."""
        key = key_of(self.key, question, self._asked[question])
        self._asked[question] += 1
        answer = answer_of(self.known.get(key), question)
        if answer is None:
            answer = ask()
            if len(question.encode()) + len(answer.encode()) > MOST:
                raise Malformed(f"a question with its answer is over {MOST:,} bytes: ask for less at a time")
            said = {"question": question, "answer": answer}
            state = EffectState.DONE
            self.keep(Effect(self.task_id, key, state, self.step, self.clock(), said, self.attempt))
        parts = orjson.dumps([self.digest, question, answer])
        self.digest = sha256(parts).hexdigest()
        return answer


def key_of(key: str, question: str, before: int) -> str:
    """Return the key of a question that was asked so often before in the same try."""
    return f"{key}{_BEHIND}{sha256(question.encode()).hexdigest()[:32]}{_BEHIND}{before}"


def answer_of(effect: Effect | None, question: str) -> str | None:
    """Return the answer that is kept of a question; None where there is none."""
    if effect is None or effect.result.get("question") != question:
        return None
    answer = effect.result.get("answer")
    return answer if isinstance(answer, str) else None


def of_step(key: str) -> str:
    """Return the key of the step's effect that an effect's key belongs to."""
    return key.partition(_BEHIND)[0]


def is_question(key: str) -> bool:
    """Say whether an effect is a question with its answer."""
    return _BEHIND in key
