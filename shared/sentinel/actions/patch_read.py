"""The reader: from the entries that set a task off to a prompt about the files that matter.

It has what reads repositories and the ledger, and no model. The prompt is masked here; whoever asks the
models is handed nothing else. What the prompt was made of is kept, so that the same can be made again
(`Situation`): the masks are part of no store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from sentinel.actions.patch_course import ASK, Course
from sentinel.core import patch_context
from sentinel.core.approvals import canonical
from sentinel.core.failures import Call, Failure
from sentinel.core.prompt_parts import Facts, Said
from sentinel.core.relevance import select
from sentinel.core.steps import Matched, StepRun
from sentinel.core.trees import Tree
from sentinel.errors import Malformed, Missing

if TYPE_CHECKING:
    from sentinel.actions.ai_patch import PatchInputs
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.ports_patches import Blobs, Repositories


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a prompt follows from, but for the files of the tree."""

    repository: str
    facts: Facts
    roots: tuple[str, ...]
    failure: Failure
    nonce: str
    budget: int

    def packed(self) -> bytes:
        """Return it as it is kept."""
        return canonical(asdict(self))

    @staticmethod
    def unpacked(data: bytes) -> Situation:
        """Read what `packed` made."""
        told: dict[str, Any] = orjson.loads(data)
        facts, failure = told.pop("facts"), told.pop("failure")
        calls = tuple(Call(**each) for each in failure.pop("calls"))
        said = tuple(Said(**each) for each in failure.pop("said"))
        failure["traces"] = tuple(failure["traces"])
        return Situation(
            **{**told, "roots": tuple(told["roots"])},
            facts=Facts(facts["repository"], tuple(facts["paths"]), facts["release"]),
            failure=Failure(**failure, calls=calls, said=said),
        )

    def prepared(self, tree: Tree) -> patch_context.Prepared:
        """Return the prompt with its masks: the same, however often and wherever it is made."""
        selection = select(tree, self.failure, self.roots, self.budget)
        return patch_context.prepared(
            self.facts, self.failure, selection, tree, nonce=self.nonce, budget=self.budget
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """`asked` keeps what the patcher may see, `blobs` what it may not.

    `failure` tells what entries say, with what is around them; `nonce` gives a prompt's delimiter.
    """

    known: Callable[[], Mapping[str, RepositoryConfig]]
    source: Repositories
    blobs: Blobs
    asked: Blobs
    failure: Callable[[Sequence[Matched]], Failure]
    nonce: Callable[[], str]

    def read(self, run: StepRun, inputs: PatchInputs) -> tuple[Course, str]:
        """Return what the patcher is handed, and words on it for people.

        Raises `Malformed` where the entries tell of no failure that is in the repository's files.
        """
        repository = repository_of(inputs.repository, self.known())
        failure = self.failure(run.entries)
        if not failure.exception and not failure.calls:
            raise Malformed("the entries tell of no exception: a patch is made for a failure that has one")
        tree = self.source.fetch(repository, repository.ref)
        release = repository.deployed or tree.commit[:12]
        facts = Facts(repository.told, run.recipe.policy.paths, release)
        budget = run.recipe.policy.context_tokens
        situation = Situation(inputs.repository, facts, repository.roots, failure, self.nonce(), budget)
        prepared = situation.prepared(tree)
        if not prepared.prompt.shown:
            raise Malformed("no call of the failure is in a file of the repository: look at its roots")
        course = Course(
            ASK,
            inputs.repository,
            tree.commit,
            context=self.blobs.put(situation.packed()),
            tree=self.blobs.put(tree.packed()),
            prompt=self.asked.put(_prompt(prepared)),
            chosen=prepared.json(),
        )
        files = len(prepared.prompt.shown)
        return course, f"{files} files of {repository.told} at {tree.commit[:12]} are shown to models"


def repository_of(name: str, known: Mapping[str, RepositoryConfig]) -> RepositoryConfig:
    """Return a repository's document. Raises `Missing`."""
    found = known.get(name)
    if found is None:
        raise Missing(f"there is no repository {name!r}; push a repository document that has it")
    return found


def situation_of(blobs: Blobs, course: Course) -> tuple[Situation, Tree]:
    """Return what a course's prompt was made of."""
    return Situation.unpacked(blobs.get(course.context)), Tree.unpacked(blobs.get(course.tree))


def _prompt(prepared: patch_context.Prepared) -> bytes:
    prompt = prepared.prompt
    return canonical({"system": prompt.system, "user": prompt.user, "tokens": prompt.tokens})
