"""The wiring of an evaluation: the stages of `ai.patch` over one case, with a deployment's models at most.

Each case runs by the code that a deployment runs: its repository is the case's project, its entry the case's
trace, its model the case's scripted answer, or a model that is asked. Programs run in this machine's sandbox.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from sentinel.actions.patch_course import ASK, Course
from sentinel.actions.patch_parts import PatchParts
from sentinel.core.evaluation import ASKED, Case, Result
from sentinel.core.failure_reading import failure_of
from sentinel.core.patch_blobs import unpacked
from sentinel.core.proving import HowToTest, Ran
from sentinel.core.questions import Question, Reply
from sentinel.core.recipes import Recipe
from sentinel.core.repositories import LocalRepository, RepositoryConfig
from sentinel.core.states import State
from sentinel.core.steps import Matched, StepRun
from sentinel.core.tasks import Task, effect_key
from sentinel.core.trees import PLAIN, Tree, digest_of
from sentinel.errors import Missing, Rejected, Unavailable
from sentinel.usecases.prove_patch import ProveHere

if TYPE_CHECKING:
    from sentinel.actions.patch_ask import Models
    from sentinel.ports_patches import Model, Sandbox

Keep = Callable[[Question, Reply], None]
HIDDEN = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "hidden")
PLAIN_PYTEST = (("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"),)  # Sentinel's own are no part of a case
_REPOSITORY, _MODEL = "case", "scripted"


@dataclass
class Timed:
    """A sandbox that tells how long programs ran in it: overlapping runs count once."""

    sandbox: Sandbox
    _spans: list[tuple[float, float]] = field(default_factory=list)

    def run(self, *given: Any, **named: Any) -> Ran:
        """See `ports_patches.Sandbox`."""
        began = time.perf_counter()
        try:
            return self.sandbox.run(*given, **named)
        finally:
            self._spans.append((began, time.perf_counter()))

    @property
    def seconds(self) -> float:
        """How long at least one program ran."""
        total, until = 0.0, 0.0
        for start, end in sorted(self._spans):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total


@dataclass(frozen=True, slots=True)
class _Scripted:
    """A model that gives one answer."""

    answer: str

    def ask(self, question: Question, deadline: int) -> Reply:
        """Give it."""
        del question, deadline
        return Reply(self.answer, "scripted", "answers", scripted=True)


@dataclass
class _Asked:
    """A model whose time is told."""

    model: Model
    keep: Keep
    seconds: float = 0.0

    def ask(self, question: Question, deadline: int) -> Reply:
        """See `ports_patches.Model`."""
        began = time.perf_counter()
        try:
            reply = self.model.ask(question, deadline)
        finally:
            self.seconds += time.perf_counter() - began
        self.keep(question, reply)
        return reply


class _Memory:
    """Blobs of one run."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes."""
        name = digest_of(data)
        self._kept[name] = data
        return name

    def get(self, digest: str) -> bytes:
        """Return them."""
        if digest not in self._kept:
            raise Missing("there is nothing of this digest")
        return self._kept[digest]


@dataclass(frozen=True, slots=True)
class _Project:
    """The repository of a case."""

    tree: Tree

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return the project."""
        del repository, ref
        return self.tree


def _forget(question: Question, reply: Reply) -> None:
    del question, reply


def nobody(*_: object) -> Model:
    """Stand in for models where none is asked. Raises `Missing`."""
    raise Missing("no model is named that could be asked")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`models` gives what is asked where answers are not scripted, by `names`; `keep` is told what they said.

    Cases ask the same questions in each run, so what was kept can answer them (`sentinel.ai.recorded`).
    """

    sandbox: Sandbox
    models: Models = nobody
    names: tuple[str, ...] = ()
    keep: Keep = _forget

    def scripted(self, case: Case, kind: str) -> Result:
        """Return what comes of one of a case's answers."""
        return self._result(case, kind, _Scripted(case.answers[kind].decode()))

    def asked(self, case: Case) -> Result:
        """Return what comes of a case whose answer models are asked for."""
        return self._result(case, ASKED, None)

    def _result(self, case: Case, kind: str, scripted: _Scripted | None) -> Result:
        began, sandbox, blobs = time.perf_counter(), Timed(self.sandbox), _Memory()
        waited: list[_Asked] = []

        def models(names: Sequence[str], *rest: Any) -> Model:
            waited.append(_Asked(scripted or self.models(names, *rest), self.keep))
            return waited[-1]

        parts = PatchParts(
            known=lambda: {_REPOSITORY: self._repository(case)},
            source=lambda: _Project(case.tree),
            models=models,
            blobs=lambda: blobs,
            asked=lambda: blobs,
            prover=lambda: ProveHere(sandbox),
            failure=failure_of,
            nonce=lambda: hashlib.sha256(case.name.encode()).hexdigest()[:32],
        )
        run = _run(case, kind, self.names if scripted is None else (_MODEL,))
        course, problem = self._driven(parts, run)
        took = time.perf_counter() - began
        own = took - sandbox.seconds - sum(each.seconds for each in waited)
        found = replace(_told(case.name, kind, course, problem, blobs), seconds=took, own=own)
        return replace(found, correct=self._correct(case, course, blobs))

    def _driven(self, parts: PatchParts, run: StepRun) -> tuple[Course, str]:
        action, course = parts.ai_patch(), Course()
        try:
            while not course.over:
                course, _ = action.advance(run, course)
        except (Rejected, Unavailable) as error:  # one case that is stopped does not end the others
            return course, str(error)
        return course, ""

    def _repository(self, case: Case) -> LocalRepository:
        return LocalRepository(kind="local", path="/", name=f"cases/{case.name}")

    def _correct(self, case: Case, course: Course, blobs: _Memory) -> bool | None:
        """Run the hidden tests over what was proposed, where something was."""
        best = course.proven or [each for each in course.candidates if each.proposal]
        if not best:
            return None
        patch = unpacked(blobs.get(best[0].proposal)).patch
        files = {**case.tree.plain(), **patch.after, **case.hidden}
        given = [(path, PLAIN, data) for path, data in sorted(files.items())]
        ran = self.sandbox.run(
            given, HIDDEN, HowToTest().limits, environment=sys.prefix, variables=PLAIN_PYTEST
        )
        return ran.code == 0


def _told(case: str, kind: str, course: Course, problem: str, blobs: _Memory) -> Result:
    spent = course.spent
    found = Result(case, kind, usd=float(spent.get("usd", 0)), tokens=int(spent.get("tokens", 0)))
    found = replace(found, proposed=any(each.reply for each in course.candidates))
    if problem:
        return replace(found, stage=course.stage, rule="stopped", why=problem)
    if course.proven:
        return replace(found, proven=True, evidence=orjson.loads(blobs.get(course.proven[0].evidence)))
    last = next((each for each in course.candidates if each.refused), None)
    if last is None:
        return replace(found, stage=ASK, rule="nothing", why="no model gave an answer")
    stage = last.refused.partition(":")[0]
    evidence = orjson.loads(blobs.get(last.evidence)) if last.evidence else {}
    return replace(found, stage=stage, rule=last.rule, why=last.refused, evidence=evidence)


def _run(case: Case, kind: str, names: Sequence[str]) -> StepRun:
    inputs = {"repository": _REPOSITORY, "models": list(names)}
    steps = [
        {"id": "patch", "uses": "ai.patch", "with": inputs},
        {"id": "review", "uses": "approval", "with": {"by": ["reviewers"]}},
        {"id": "propose", "uses": "git.pull_request"},
    ]
    policy = {"candidates": 1 if kind != ASKED else 2}
    recipe = Recipe.model_validate({"id": "evaluate", "on": {"rule": "r"}, "steps": steps, "policy": policy})
    digest = hashlib.sha256(f"{case.name} {kind}".encode()).hexdigest()
    task = Task(
        id=digest[:26],
        recipe=recipe.id,
        recipe_version=1,
        recipe_digest=digest,
        state=State.RUNNING,
        version=1,
        attempt=1,
        step=0,
        tries=0,
        stream="read",
        created=0,
        due=0,
        cause={"entries": []},
    )
    entries = [Matched("evaluation/0", 0, 0, case.trace)]
    key = effect_key(task.id, digest, "patch", inputs)
    return StepRun(task, recipe, recipe.steps[0], key, entries, resumed=False)
