"""The judge: an answer becomes a patch by its edits, and the policy gate says whether it may be tried.

An answer whose edits cannot be applied is told to the model once, with the reason. What the gate refuses is
out: it is not negotiated. What the gate wants people's approval for is out, too, where no step of the recipe
asks for that before it is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sentinel.actions.patch_course import ASK, PROVE, Candidate, Course
from sentinel.actions.patch_read import repository_of, situation_of
from sentinel.core import patch_context, patch_reading
from sentinel.core.approvals import ACTION
from sentinel.core.edit_answers import load
from sentinel.core.edit_refusals import EditRefused, NothingProposed, shown
from sentinel.core.edits import Patch
from sentinel.core.exchanges import parse
from sentinel.core.patch_blobs import Proposal, packed
from sentinel.core.patch_findings import Finding, Verdict
from sentinel.core.patch_paths import allowed
from sentinel.core.patch_policy import Judgement, judge
from sentinel.core.recipes import Recipe
from sentinel.core.steps import StepRun
from sentinel.core.trees import Tree

if TYPE_CHECKING:
    from sentinel.core.questions import Reply
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.ports_patches import Blobs

PUBLISH = "git.pull_request"
_WORST = 3  # findings that are told


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a proposal is for, and what it may do: by the recipe and the repository's document alone."""

    name: str
    repository: RepositoryConfig
    recipe: Recipe

    def judged(self, patch: Patch, tree: Tree) -> Judgement:
        """Judge by the recipe's policy, then by the paths that the repository's document allows."""
        found = judge(patch, self.recipe.policy.gate(self.repository.infrastructure), tree.modes)
        outside = [path for path in patch.after if not allowed(path, self.repository.paths)]
        if not outside:
            return found
        why = "no pattern of the repository's document allows it"
        more = (Finding("outside", shown(path), 0, why) for path in sorted(outside))
        return Judgement((*more, *found.findings))

    @property
    def asks(self) -> bool:
        """Whether people are asked before anything is published."""
        uses = [step.uses for step in self.recipe.steps]
        until = uses.index(PUBLISH) if PUBLISH in uses else len(uses)
        return ACTION in uses[:until]


@dataclass(frozen=True, slots=True)
class Judge:
    """Reads kept replies; asks nobody."""

    known: Callable[[], Mapping[str, RepositoryConfig]]
    blobs: Blobs
    asked: Blobs

    def judge(self, run: StepRun, course: Course) -> tuple[Course, str]:
        """Judge the candidates that are in; return what follows, and words on it for people."""
        repository = repository_of(course.repository, self.known())
        situation, tree = situation_of(self.blobs, course)
        prepared = situation.prepared(tree)
        for index, candidate in enumerate(course.candidates):
            if not candidate.answered:
                continue
            _, reply = parse(self.asked.get(candidate.reply))
            to = _Bounds(course.repository, repository, run.recipe)
            changes = self._judged(to, candidate, reply, prepared, tree)
            course = course.having(index, **changes)
        course = _without_twins(course)
        if any(each.waits for each in course.candidates):
            return replace(course, stage=ASK), "edits that cannot be applied go back to their model, once"
        good = len(course.open)
        return replace(course, stage=PROVE), f"{good} of {len(course.candidates)} candidates pass the gate"

    def _judged(
        self,
        to: _Bounds,
        candidate: Candidate,
        reply: Reply,
        prepared: patch_context.Prepared,
        tree: Tree,
    ) -> Mapping[str, object]:
        patch = self._applied(candidate, reply, prepared, tree)
        if not isinstance(patch, Patch):
            return patch
        judgement = to.judged(patch, tree)
        worst = judgement.verdict
        if worst is Verdict.REFUSED or (worst is Verdict.APPROVAL and not to.asks):
            return _refused(judgement)
        approval = {each.rule for each in judgement.findings if each.verdict is Verdict.APPROVAL}
        proposal = Proposal(
            to.name,
            tree.commit,
            to.repository.branch,
            patch,
            cause=load(reply.text.encode()).cause,
            models=(f"{reply.provider} {reply.model}",),
            usd=reply.usd,
            scripted=reply.scripted,
        )
        return {"proposal": self.blobs.put(packed(proposal)), "approval": tuple(sorted(approval))}

    def _applied(
        self, candidate: Candidate, reply: Reply, prepared: patch_context.Prepared, tree: Tree
    ) -> Patch | Mapping[str, object]:
        """Return the patch that an answer is, or what is to be changed of the candidate where it is none."""
        try:
            return patch_reading.read_answer(reply.text, prepared, tree)
        except EditRefused as error:
            if candidate.corrected or isinstance(error, NothingProposed):
                return {"refused": f"its edits: {error}", "rule": type(error).__name__}
            told = patch_reading.correction_of(error, prepared)
            return {"correction": self.asked.put(told.encode())}


def _refused(judgement: Judgement) -> Mapping[str, object]:
    worst = [each for each in judgement.findings if each.verdict is judgement.verdict]
    told = [f"{each.rule}{f' {each.path}:{each.line}' if each.path else ''}: {each.words}" for each in worst]
    return {"refused": f"the gate: {'; '.join(told[:_WORST])}", "rule": worst[0].rule}


def _without_twins(course: Course) -> Course:
    """Return it with one of each proposal: two models may propose the same."""
    seen: set[str] = set()
    for index, each in enumerate(course.candidates):
        if each.proposal and each.proposal in seen:
            course = course.having(index, refused="the same as an earlier one", rule="twin", proposal="")
        seen.add(each.proposal)
    return course
