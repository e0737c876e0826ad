"""The action `git.pull_request`: proposes to a repository the patch that an earlier step has proven.

The patch is a blob that the earlier step's result names by its digest. What it says is what was proven, and
what people approve: the plan shows the diff and the digest. Branch, commit and pull request have names that
follow from the task, so a step that is taken up again finds them. Nothing is merged and nothing forced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sentinel.actions.following import refused
from sentinel.core.approvals import canonical
from sentinel.core.patch_blobs import Proposal, unpacked
from sentinel.core.pull_request_body import Origin, body_of, title_of
from sentinel.core.pull_requests import Published, PullRequest
from sentinel.core.recipes import Name
from sentinel.core.repositories import RepositoryConfig
from sentinel.core.steps import Again, Done, Failed, Nothing, NotYet, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Malformed, Missing, Rejected, Unavailable
from sentinel.ports_patches import Blobs, Publisher

MAKES: Final = "ai.patch"  # whose results alone name patches: what other steps are told may be anybody's
MOST_DIFF: Final = 24_000  # bytes of a diff that are shown: a plan of more than 32,768 is not shown at all
MOST_EVIDENCE: Final = 4_000
_OVER: Final = frozenset({"merged", "closed"})
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,49}$")]


class PullRequestInputs(BaseModel):
    """A step's `with`. `patch` is the id of the step that made the patch; by default the newest one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch: Name | None = None
    title: str = Field(default="", max_length=72)
    labels: tuple[Label, ...] = Field(default=("sentinel",), max_length=10)
    draft: bool = True


@dataclass(frozen=True, slots=True)
class _Wanted:
    repository: RepositoryConfig
    proposal: Proposal
    digest: str
    request: PullRequest


class GitPullRequest:
    """Publishes through the ports. `repositories` are asked at each step for those that are set up now."""

    name = "git.pull_request"
    stream = "git"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = PullRequestInputs
    Inputs = PullRequestInputs

    def __init__(
        self,
        publisher: Callable[[], Publisher],
        repositories: Callable[[], Mapping[str, RepositoryConfig]],
        blobs: Callable[[], Blobs],
    ) -> None:
        self._publisher = publisher
        self._repositories = repositories
        self._blobs = blobs

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether there is a patch shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it changes something outside."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: which diff it would propose to which branch, and what is known.

        Raises `Malformed` where there is no patch.
        """
        try:
            wanted = self._wanted(run)
        except Missing as error:
            raise Malformed(str(error)) from None
        proposal, request = wanted.proposal, wanted.request
        return {
            "repository": {"name": proposal.repository, "is": wanted.repository.told},
            "from": {"branch": request.branch, "on_top_of": request.commit},
            "into": request.base,
            "title": request.title,
            "labels": list(request.labels),
            "draft": request.draft,
            "patch": {
                "sha256": wanted.digest,
                "files": sorted({*proposal.patch.before, *proposal.patch.after}),
            },
            "diff": _bounded(proposal.patch.diff),
            "evidence": _evidence(proposal.evidence),
            "scripted": proposal.scripted,
            "body": {"sha256": sha256(request.body.encode()).hexdigest()},
        }

    def perform(self, run: StepRun) -> Outcome:
        """Make the pull request, or bring what is there to what is wanted."""
        try:
            wanted = self._wanted(run)
            publisher = self._publisher()
            if run.resumed or run.task.tries:
                there = publisher.found(wanted.repository, run.task.id)
                if there is not None and there.state in _OVER:
                    return Done(_result(there))  # it was made, and people have decided already
            return Done(_result(publisher.publish(wanted.repository, wanted.request)))
        except Unavailable as error:
            after = int(error.retry_after * SECOND) if error.retry_after > 1 else None
            return Again(str(error), after, unsure=not error.unsent)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the pull request is there; where only its branch is, the rest is to be done."""
        repository = self._wanted(run).repository
        there = self._publisher().found(repository, run.task.id)
        whole = there is not None and (there.number > 0 or repository.kind == "local")
        return Done(_result(there)) if there is not None and whole else Nothing()

    def _wanted(self, run: StepRun) -> _Wanted:
        inputs = _inputs(run.step.with_)
        result = _patch_of(run, inputs.patch)
        digest = str(result["patch"])
        proposal = unpacked(self._blobs().get(digest))
        if proposal.evidence.get("proven") is not True:
            raise Malformed("the patch is not a proven one: nothing else is proposed")
        for name, value in (("repository", proposal.repository), ("commit", proposal.commit)):
            if result.get(name) != value:
                raise Malformed(f"the patch is of another {name} than the step's result says")
        known = self._repositories()
        if proposal.repository not in known:
            raise Missing(f"there is no repository {proposal.repository}: push its document again")
        repository = known[proposal.repository]
        if proposal.base != repository.branch:
            raise Malformed(
                f"the patch is for {proposal.base}, and the repository's branch is {repository.branch} by now"
            )
        request = request_of(run.task, proposal, digest, inputs)
        return _Wanted(repository, proposal, digest, request)


def request_of(
    task: Task, proposal: Proposal, digest: str, inputs: PullRequestInputs | None = None
) -> PullRequest:
    """Return what a task proposes: the same in every try. `digest` is that of the proposal as it is kept."""
    inputs = inputs or PullRequestInputs()
    origin = Origin(
        task=task.id,
        recipe=task.recipe,
        version=task.recipe_version,
        digest=task.recipe_digest,
        patch=digest,
        places=_places(task),
    )
    return PullRequest(
        task=task.id,
        base=proposal.base,
        commit=proposal.commit,
        patch=proposal.patch,
        title=title_of(inputs.title or proposal.title, f"Fix what {task.recipe} found"),
        body=body_of(proposal, origin),
        t=task.created,
        labels=(*inputs.labels, *(["sentinel-scripted"] if proposal.scripted else [])),
        draft=inputs.draft,
    )


def _patch_of(run: StepRun, wanted: str | None) -> Mapping[str, Any]:
    """Return the result with the patch. Raises `Malformed` where there is none."""
    steps = list(takewhile(lambda each: each.id != run.step.id, run.recipe.steps))
    before = [each.id for each in steps if each.uses == MAKES]
    for each in reversed(before) if wanted is None else [wanted]:
        result = run.task.results.get(each)
        if each in before and isinstance(result, Mapping) and isinstance(result.get("patch"), str):
            return result
    late = [each.id for each in run.recipe.steps if each.id in before and each.uses == MAKES]
    if late and (wanted is None or wanted in late):
        raise NotYet(f"git.pull_request: the step {wanted or late[-1]} has made no patch yet")
    named = f"the step {wanted} has made" if wanted else "an earlier step has made"
    raise Malformed(f"git.pull_request: there is no patch that {named}: let ai.patch come before it")


def _places(task: Task) -> tuple[str, ...]:
    entries = task.cause.get("entries")
    listed = entries if isinstance(entries, list | tuple) else ()
    return tuple(f"{each.get('chain')}#{each.get('seq')}" for each in listed if isinstance(each, Mapping))


def _bounded(diff: str) -> object:
    data = diff.encode(errors="replace")
    if len(data) <= MOST_DIFF:
        return diff
    return {
        "bytes": len(data),
        "sha256": sha256(data).hexdigest(),
        "begins": data[:MOST_DIFF].decode(errors="ignore"),
    }


def _evidence(evidence: Mapping[str, object]) -> object:
    form = canonical(dict(evidence))
    if len(form) <= MOST_EVIDENCE:
        return dict(evidence)
    told = {"bytes": len(form), "sha256": sha256(form).hexdigest()}
    return {"proven": evidence.get("proven") is True, **told}


def _result(found: Published) -> dict[str, object]:
    return {
        "branch": found.branch,
        "commit": found.commit,
        "url": found.url,
        "number": found.number,
        "state": found.state,
    }


def _inputs(inputs: Mapping[str, Any]) -> PullRequestInputs:
    try:
        return PullRequestInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(GitPullRequest.name, error) from None
