"""Proving the candidates, one a try, and the result: the best that is proven, with what speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sentinel.actions.patch_course import Candidate, Course
from sentinel.actions.patch_read import repository_of, situation_of
from sentinel.core.approvals import canonical
from sentinel.core.patch_blobs import packed, unpacked
from sentinel.core.proving import Evidence, Job
from sentinel.core.steps import StepRun

if TYPE_CHECKING:
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.ports_patches import Blobs, Prover

MUTANTS = 40
_WORST = 3  # reasons that are told


@dataclass(frozen=True, slots=True)
class Proving:
    """`prover` gives what tries a patch here, or begins to elsewhere."""

    known: Callable[[], Mapping[str, RepositoryConfig]]
    blobs: Blobs
    prover: Callable[[], Prover]

    def prove(self, run: StepRun, course: Course) -> tuple[Course, str]:
        """Prove the next candidate, or look how far it is; return what follows, and words on it."""
        if not course.open:
            return course, "there is nothing to prove"
        index = course.open[0]
        candidate = course.candidates[index]
        repository = repository_of(course.repository, self.known())
        situation, tree = situation_of(self.blobs, course)
        proposal = unpacked(self.blobs.get(candidate.proposal))
        policy = run.recipe.policy
        how = repository.how_to_test
        job = Job(tree, proposal.patch, situation.failure, how, MUTANTS, policy.mutants)
        found = self.prover().prove(job, f"{run.key}-{index}", candidate.handle, run.stopped)
        if not isinstance(found, Evidence):
            after = replace(course.having(index, handle=found.handle), looks=course.looks + 1)
            return after, f"candidate {index + 1}: {found.reason}"
        evidence = found.json()
        changes: dict[str, object] = {"evidence": self.blobs.put(canonical(evidence)), "handle": ""}
        if found.proven:
            changes |= {"rank": found.rank}
            changes |= {"proposal": self.blobs.put(packed(replace(proposal, evidence=evidence)))}
        else:
            told = "; ".join(f"{each.rule}: {each.words}" for each in found.reasons[:_WORST])
            changes |= {"refused": f"the proof: {told}", "rule": found.reasons[0].rule}
        words = "proven" if found.proven else str(changes["refused"])
        return replace(course.having(index, **changes), looks=0), f"candidate {index + 1}: {words}"

    def result(self, course: Course) -> dict[str, object]:
        """Return the step's result: digests, figures, and no text of a model or file."""
        best = course.proven[0]
        proposal = unpacked(self.blobs.get(best.proposal))
        return {
            "repository": course.repository,
            "commit": course.commit,
            "base": proposal.base,
            "patch": best.proposal,
            "evidence": dict(proposal.evidence),
            "approval": list(best.approval),
            "model": best.model,
            "scripted": best.scripted,
            "spent": dict(course.spent),
            "context": course.context,
            "prompt": course.prompt,
            "chosen": dict(course.chosen),
            "candidates": [_candidate(each) for each in course.candidates],
        }


def _candidate(each: Candidate) -> dict[str, object]:
    told = {"model": each.model, "reply": each.reply, "proven": not each.out, "corrected": each.corrected}
    return {**told, "rule": each.rule, "why": each.refused}
