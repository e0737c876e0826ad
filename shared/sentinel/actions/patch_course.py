"""How far a patch is: what one stage hands to the next, as small JSON with the digests of what is kept.

::

    read ──▶ ask ──▶ judge ──▶ prove ──▶ prove … ──▶ done
              ▲        │
              └────────┘  once, where an edit could not be applied
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sentinel.errors import Unavailable

READ, ASK, JUDGE, PROVE = "read", "ask", "judge", "prove"
STREAMS = {READ: "read", ASK: "ai", JUDGE: "read", PROVE: "read"}  # whose stage is whose


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposal. `reply` is the exchange with a model that it came from, `proposal` what came of it.

    `refused` says why it is out: a rule and words, of the edits, the gate or the proof; "" while it is in.
    `correction` is what the model is told to correct. `rank` orders those that are proven.
    """

    reply: str = ""
    model: str = ""
    scripted: bool = False
    proposal: str = ""
    refused: str = ""
    rule: str = ""
    correction: str = ""
    corrected: bool = False
    approval: tuple[str, ...] = ()
    evidence: str = ""
    handle: str = ""
    rank: tuple[float, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether a model is to be asked: it has no answer yet, or one that is to be corrected."""
        return not self.out and (not self.reply or bool(self.correction and not self.corrected))

    @property
    def answered(self) -> bool:
        """Whether it has an answer that was not judged yet."""
        return not self.out and not self.waits and not self.proposal

    @property
    def out(self) -> bool:
        """Whether nothing more comes of it."""
        return bool(self.refused)


class Charged(Unavailable):
    """No model answered now, and asking was charged all the same: `course` has it counted."""

    def __init__(self, message: str, course: Course) -> None:
        super().__init__(message)
        self.course = course


@dataclass(frozen=True, slots=True)
class Course:
    """The state of one step. `context`, `tree` and `prompt` are digests of what is kept.

    `chosen` tells which files are shown to models and why, `spent` is of all models.
    """

    stage: str = READ
    repository: str = ""
    commit: str = ""
    context: str = ""
    tree: str = ""
    prompt: str = ""
    candidates: tuple[Candidate, ...] = ()
    spent: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    looks: int = 0

    @staticmethod
    def of(done: Mapping[str, Any]) -> Course:
        """Read what an earlier stage left."""
        if not done:
            return Course()
        candidates = tuple(
            Candidate(**{**each, "approval": tuple(each["approval"]), "rank": tuple(each["rank"])})
            for each in done["candidates"]
        )
        return Course(**{**done, "candidates": candidates})

    def json(self) -> dict[str, object]:
        """Return what the next stage is handed."""
        told = asdict(self)
        for each in told["candidates"]:
            each.update(approval=list(each["approval"]), rank=list(each["rank"]))
        return {**told, "candidates": list(told["candidates"])}

    def having(self, index: int, **changes: Any) -> Course:
        """Return it with one candidate changed."""
        changed = replace(self.candidates[index], **changes)
        return replace(self, candidates=(*self.candidates[:index], changed, *self.candidates[index + 1 :]))

    @property
    def open(self) -> list[int]:
        """The candidates that are in and have no evidence yet, in order."""
        return [
            i
            for i, each in enumerate(self.candidates)
            if each.proposal and not each.out and not each.evidence
        ]

    @property
    def over(self) -> bool:
        """Whether no stage follows."""
        return self.stage == PROVE and not self.open

    @property
    def proven(self) -> list[Candidate]:
        """The proven candidates, the best first; of equals the earlier."""
        there = [each for each in self.candidates if each.evidence and not each.out]
        return sorted(there, key=lambda each: each.rank, reverse=True)
