"""Approvals: what people are asked to approve, by which digest it is known, and when it is approved.

What is asked is a JSON document that says exactly what the task would do next (`Shown`). Approvers see that
document and nothing else, and its digest is what they approve: SHA-256 of its canonical form. Each of its
steps has a digest too, so that a worker which is about to do one can tell whether it still is what was
approved. What is stored of it (`Asked`) are digests, never the document: it may hold what entries say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

VERSION = 1
ACTION = "approval"  # what `uses` of a step says that asks
SERVICE = "service:"  # what the name of a service begins with where approvers are named
MAX_SHOWN = 32_768  # bytes of a step's inputs, or of its plan, that are shown; of more the digest is
MAX_NEEDS = 20


class Verdict(StrEnum):
    """What an approver says."""

    APPROVE = "approve"
    REFUSE = "refuse"


class How(StrEnum):
    """How it was established who an approver is; the lineage tells it.

    `SIGNED`: by a signature with the key of an author, which anybody can check. `SERVICE`: by the access
    token and the certificate of a service. `LINK`: by a one-time link that was made for them. `OPERATOR`: by
    the word of whoever may write the tasks' table.
    """

    SIGNED = "signed"
    SERVICE = "service"
    LINK = "link"
    OPERATOR = "operator"


def canonical(value: object) -> bytes:
    """Return the canonical form of a JSON value: keys in order of their code points, no spaces, UTF-8.

    Numbers and escapes are as Python's `json` writes them.

    >>> canonical({"b": [1, "é"], "a": None}).decode()
    '{"a":null,"b":[1,"é"]}'
    """
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def digest(value: object) -> str:
    """Return SHA-256 of a JSON value's canonical form, hex."""
    return sha256(canonical(value)).hexdigest()


def bounded(value: object) -> object:
    """Return a value as it is shown: itself, or where it is over `MAX_SHOWN` bytes its size and digest."""
    form = canonical(value)
    return value if len(form) <= MAX_SHOWN else {"bytes": len(form), "sha256": sha256(form).hexdigest()}


@dataclass(frozen=True, slots=True)
class Shown:
    """What would be done. `about` says for which task and whom is asked; `steps` are what follows, in order.

    The digest covers all of it; `about["lineage"]` is the head of the task's lineage before it was asked, so
    what was approved once is not approved again when it is asked again.
    """

    about: Mapping[str, object]
    steps: tuple[Mapping[str, object], ...]

    @property
    def document(self) -> dict[str, object]:
        """The whole, as it is shown and hashed."""
        return {**self.about, "steps": [dict(each) for each in self.steps]}

    @property
    def digest(self) -> str:
        """What is approved."""
        return digest(self.document)

    @property
    def parts(self) -> dict[str, str]:
        """The digest of each step, by its id."""
        return {str(each["id"]): digest(each) for each in self.steps}


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who decides. `id` is that of an author, `service:ID`, or the name that an operator gave."""

    id: str
    how: How
    groups: frozenset[str] = frozenset()

    def among(self, by: Iterable[str]) -> bool:
        """Whether a list of approvers names them, or a group of theirs."""
        return not ({self.id, *self.groups} if self.how is not How.SERVICE else {self.id}).isdisjoint(by)


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval that counts: whose, how that was established, and when (nanoseconds)."""

    who: str
    how: str
    t: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task keeps of what it asks, or has asked.

    `step` is the id of the approval step, `next` the index of the step with which the task goes on. `digest`
    is what is to be approved, `about` and `parts` its parts by which a worker tells what has changed. `after`
    is the head of the lineage before it was asked. `makers` are those who made what is asked: the recipe's
    author, and who forked the task; they do not suffice by themselves. `until` is nanoseconds. `used` are ids
    of links that were used, `refused` is who refused.
    """

    step: str
    next: int
    digest: str
    about: str
    parts: Mapping[str, str]
    after: str
    by: tuple[str, ...]
    needs: int
    makers: tuple[str, ...]
    until: int
    message: str = ""
    approvals: tuple[Approval, ...] = ()
    used: tuple[str, ...] = ()
    refused: str = ""

    @staticmethod
    def of(stored: Mapping[str, Any]) -> Asked | None:
        """Read what a task has stored; None where it never asked."""
        if not stored:
            return None
        lists = {name: tuple(stored[name]) for name in ("by", "makers", "used")}
        return Asked(
            **{**stored, **lists, "approvals": tuple(Approval(**each) for each in stored["approvals"])}
        )

    def json(self) -> dict[str, object]:
        """Return what a task stores, as it is read back."""
        told = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who has approved, in order."""
        return tuple(each.who for each in self.approvals)

    @property
    def enough(self) -> bool:
        """Whether as many have approved as are needed, and not only those who made what is asked."""
        return len(self.approvals) >= self.needs and not set(self.approvers) <= set(self.makers)

    @property
    def missing(self) -> str:
        """What is still missing, for people."""
        left = self.needs - len(self.approvals)
        if left > 0:
            return f"{left} more of {', '.join(self.by)}"
        return (
            "" if self.enough else f"somebody else than {', '.join(self.approvers)}, who made what is asked"
        )

    def with_approval(self, approval: Approval) -> Asked:
        """Return it with one more approval; the same approver counts once."""
        if approval.who in self.approvers:
            return self
        return replace(self, approvals=(*self.approvals, approval))

    def standing(self, removed: Collection[str]) -> Asked:
        """Return it without what was approved by authors who were removed since."""
        gone = {How.SIGNED.value, How.LINK.value}
        left = tuple(each for each in self.approvals if each.who not in removed or each.how not in gone)
        return self if left == self.approvals else replace(self, approvals=left)

    def renewed(self, shown: Shown) -> Asked:
        """Return what is asked when something else would be done than what was: nobody has approved that."""
        return replace(self, digest=shown.digest, about=digest(shown.about), parts=shown.parts, approvals=())

    def changed(self, shown: Shown) -> list[str]:
        """Name what differs from what is asked: ids of steps, and `task` for the rest."""
        parts = shown.parts
        found = [name for name in (*self.parts, *parts) if self.parts.get(name) != parts.get(name)]
        return [*([] if digest(shown.about) == self.about else ["task"]), *dict.fromkeys(found)]

    def result(self) -> dict[str, object]:
        """Return the result of the approval step."""
        return {"approved_by": list(self.approvers), "digest": self.digest}


def asked_for(shown: Shown, step: str, following: int, until: int, makers: Sequence[str]) -> Asked:
    """Return what a task stores of what it asks; whom, and how many, is in what is shown."""
    approval: Any = shown.about["approval"]
    return Asked(
        step=step,
        next=following,
        digest=shown.digest,
        about=digest(shown.about),
        parts=shown.parts,
        after=str(shown.about["lineage"]),
        by=tuple(approval["by"]),
        needs=approval["needs"],
        makers=tuple(makers),
        until=until,
        message=approval["message"],
    )
