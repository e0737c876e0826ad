"""From an exception in the ledger to a pull request: proposed, judged, proven, and made once whoever dies."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from sentinel.actions.approval import Approval
from sentinel.actions.patch_parts import PatchParts
from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.sandbox_bwrap import here
from sentinel.adapters.sandbox_own import OwnEnvironment
from sentinel.core.patch_blobs import unpacked
from sentinel.core.proving import Evidence, Job, Reason
from sentinel.core.questions import Missed, NobodyNow, Question, Reply, Usage
from sentinel.core.states import State
from sentinel.core.tasks import Task
from sentinel.core.trees import PLAIN, Held
from sentinel.errors import Unavailable
from sentinel.usecases.prove_patch import ProveHere
from sentinel.usecases.related import failure_from
from tests.faults_calls import Faults, Killed
from tests.forges import Forge, forge
from tests.repositories import Made, git, made_repository
from tests.scenario import Target, World, rule
from tests.usecases.test_recall import replayed

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = [
    json.dumps(each["answer"]) for each in json.loads((ROOT / "examples" / "answers.json").read_text())
]
WRONG, RIGHT = ANSWERS
RECIPE = b"""id: r
on: {rule: errors}
steps:
  - {id: patch, uses: ai.patch, with: {repository: shop, models: [one]}}
  - {id: propose, uses: git.pull_request}
retry: {attempts: 3, backoff: 2s..4s}
"""
STREAMS = ("read", "ai", "git", "action")


def files() -> dict[str, Held]:
    """Return the example's repository."""
    place = ROOT / "examples" / "repository"
    found = {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }
    found = {path: data for path, data in found.items() if "__pycache__" not in path}
    found["src/checkout/__init__.py"] = b""
    found["src/checkout/pricing.py"] = (ROOT / "examples" / "checkout" / "pricing.py").read_bytes()
    return {path: Held(PLAIN, data) for path, data in found.items()}


def entry() -> bytes:
    """Return what the shop logs of a voucher on an empty cart."""
    lines = (ROOT / "examples" / "checkout" / "pricing.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "VOUCHERS[voucher] //" in text)
    frame = {"file": "/srv/checkout/src/checkout/pricing.py", "function": "price", "line": line}
    frame |= {"vars": {"items": "[]", "voucher": "'WELCOME5'", "total": "0"}}
    exception = {
        "type": "ZeroDivisionError",
        "message": "integer division or modulo by zero",
        "frames": [frame],
    }
    return json.dumps({"level": "ERROR", "message": "boom", "exception": exception}).encode()


@dataclass
class Answers:
    """A model that answers by the number of the sample, and counts how often it is asked."""

    by_sample: Mapping[int, Sequence[str]]
    asked: list[Question] = field(default_factory=list)
    away: int = 0
    lost: tuple[Missed, ...] = ()

    def ask(self, question: Question, deadline: int) -> Reply:
        """Answer, or be away."""
        self.asked.append(question)
        if len(self.asked) <= self.away:
            raise NobodyNow("the provider is busy", self.lost, 1.0)
        turn = len(question.turns) // 2
        return Reply(
            self.by_sample[question.sample][turn], "scripted", "answers", Usage(1000, 0, 0, 100), 0.01, True
        )


@dataclass
class Believing:
    """A prover for tests that are about what stands around it: it believes what does not catch everything."""

    jobs: list[Job] = field(default_factory=list)

    def prove(self, job: Job, key: str, handle: str, stopped: Callable[[], bool]) -> Evidence:
        """Say that a patch is proven."""
        self.jobs.append(job)
        reasons = (
            ()
            if b"pieces == 0" in job.patch.after["src/checkout/pricing.py"]
            else (Reason("unnoticed", "x"),)
        )
        return Evidence({"after": {"tests": 7}}, reasons, (1.0,))


@dataclass
class Scene:
    """A world with one repository, what makes patches, and who counts."""

    world: World
    forge: Forge
    model: Answers
    prover: Any
    blobs: Any

    def run(self, rounds: int = 12) -> Task:
        """Let everything run, whoever dies."""
        for _ in range(rounds):
            parts: list[Callable[[], object]] = [self.world.dispatch]
            parts += [lambda stream=stream: self.world.drain(stream) for stream in STREAMS]  # type: ignore[misc]
            for part in (*parts, self.world.sweep):
                try:
                    part()
                except (Killed, Unavailable):
                    continue
            task = self.world.only()
            if task.state.ended or task.state.personal:
                return task
            self.world.clock.sleep(16)
        return self.world.only()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make the repository once."""
    return made_repository(tmp_path_factory.mktemp("made") / "shop", files())


@pytest.fixture
def scene(client: redis.Redis, made: Made, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Return what sets a scene up."""
    worlds: list[World] = []

    def set_up(
        kind: str = "local",
        answers: Mapping[int, Sequence[str]] | None = None,
        faults: Faults | None = None,
        prover: Any = None,
        recipe: bytes = RECIPE,
    ) -> Scene:
        client.flushall()
        wrap = faults.wrap if faults else lambda _, port: port
        number = len(worlds)
        one = forge(kind, made, tmp_path / str(number))
        model = Answers(answers or {0: [WRONG], 1: [RIGHT]})
        blobs = wrap("blobs", FolderBlobs(tmp_path / f"blobs{number}"))
        world = World(
            RedisQueue(client),
            [Target("tell", "siem")],
            wrap=lambda name, port: wrap(name, port) if name == "tasks" else port,
        )
        worlds.append(world)
        tries = prover or Believing()
        parts = PatchParts(
            known=lambda: {"shop": one.repository},
            source=lambda: wrap("source", one.reader(one.http)),
            publisher=lambda: wrap("publisher", one.publisher(one.http)),
            models=lambda names, budget, spent: wrap("model", model),
            blobs=lambda: blobs,
            prover=lambda: wrap("prover", tries),
            failure=lambda entries: failure_from(world.ledger, entries),
            nonce=lambda: world.random.randbytes(16).hex(),
            clock=world.clock,
        )
        world.actions = {
            **world.targets,
            "ai.patch": parts.ai_patch(),
            "git.pull_request": parts.git_pull_request(),
            "approval": Approval(),
        }
        world.push("rule", "errors", rule("errors", "boom"))
        world.push("recipe", "r", recipe)
        segments = world.store("s/0", [entry()])
        for _ in range(2):
            with contextlib.suppress(Killed):
                world.new_detector().detect(segments)
        return Scene(world, one, model, tries, blobs)

    yield set_up
    for world in worlds:
        world.close()


def test_a_failure_becomes_a_proven_pull_request(scene: Callable[..., Scene]) -> None:
    """In a real sandbox: what catches everything is refused, the repair is proven and proposed."""
    try:
        sandbox = here()
    except Unavailable as error:
        pytest.skip(str(error))
    it = scene("local", prover=ProveHere(OwnEnvironment(sandbox)))
    task = it.run()
    assert task.state is State.SUCCEEDED, task.reason
    result: Any = task.results["patch"]
    assert [each["rule"] for each in result["candidates"]] == ["swallowed", ""]
    assert result["scripted"] is True
    seen = result["evidence"]["seen"]
    assert result["evidence"]["proven"]
    assert seen["new_tests"]["reproduces"]
    assert {each["path"] for each in result["chosen"]["chosen"]} >= {
        "src/checkout/pricing.py",
        "tests/test_pricing.py",
    }
    assert it.forge.branches() == ["main", f"sentinel/{task.id}"]
    proposal = unpacked(it.blobs.get(result["patch"]))
    branch = f"sentinel/{task.id}"
    for path, data in proposal.patch.after.items():
        assert git(it.forge.bare, "show", f"{branch}:{path}") == data.decode().strip()
    assert replayed(it.world, task) == []
    told = "".join(str(body) for body in it.world.bodies(task))
    assert "pieces" not in told and "WELCOME5" not in told  # noqa: PT018 - no text of files or models


def test_each_line_of_the_pipeline_may_be_its_last(scene: Callable[..., Scene]) -> None:
    """A worker is killed before or behind any call of a store, model, prover or host: one pull request."""
    whole = Faults()
    assert scene("github", faults=whole).run().state is State.SUCCEEDED
    assert {"blobs.put", "model.ask", "prover.prove", "publisher.publish", "source.fetch"} <= set(whole.log)
    asked = Counter[int]()
    for at in range(1, whole.calls + 1):
        applied = at % 2 == 0
        for lost in (applied,) if whole.log[at - 1].startswith("blobs") else (False, True):
            faults = Faults(Killed, lambda call, at=at: call == at, applied=lost)  # type: ignore[misc]
            it = scene("github", faults=faults)
            task = it.run()
            assert task.state is State.SUCCEEDED, (at, lost, whole.log[at - 1], task.reason)
            assert it.forge.branches() == ["main", f"sentinel/{task.id}"], (at, lost, whole.log[at - 1])
            assert it.forge.server is not None
            assert len(it.forge.server.pulls) == 1, (at, lost, whole.log[at - 1])
            asked[len(it.model.asked)] += 1
    assert set(asked) <= {2, 3}  # an answer that a killed worker had is asked for again, and no other


BROKEN = RIGHT.replace("each = VOUCHERS[voucher] // sum", "each = VOUCHERS[voucher] / sum")


def test_an_edit_that_cannot_be_applied_is_corrected_once(scene: Callable[..., Scene]) -> None:
    """The model is told why, with what it said before; its next answer counts, and there is no third."""
    it = scene(answers={0: [BROKEN, RIGHT], 1: [BROKEN, BROKEN]})
    task = it.run()
    assert task.state is State.SUCCEEDED, task.reason
    result: Any = task.results["patch"]
    assert [(each["corrected"], each["rule"]) for each in result["candidates"]] == [
        (True, ""),
        (True, "AnchorMissing"),
    ]
    assert len(it.model.asked) == 4
    corrections = [question for question in it.model.asked if len(question.turns) == 3]
    assert [question.turns[1].text for question in corrections] == [BROKEN, BROKEN]
    assert "cannot be applied" in corrections[0].turns[2].text
    assert replayed(it.world, task) == []


def test_nothing_is_published_that_is_not_proven(scene: Callable[..., Scene]) -> None:
    """The task fails with what was found of each candidate, and there is no branch."""
    it = scene(answers={0: [WRONG], 1: [RIGHT.replace("pieces == 0", "pieces <= 0")]})
    task = it.run()
    assert task.state is State.FAILED
    assert "candidate 1: the gate: swallowed" in task.reason
    assert "candidate 2: the proof: unnoticed" in task.reason
    assert it.forge.branches() == ["main"]
    assert replayed(it.world, task) == []


def test_a_model_that_is_away_is_asked_again(scene: Callable[..., Scene]) -> None:
    """By the recipe's retries, and what was done before stays."""
    it = scene()
    it.model.away = 2
    task = it.run()
    assert task.state is State.SUCCEEDED, task.reason
    assert len(it.model.asked) == 4
    assert replayed(it.world, task) == []


def test_answers_that_are_lost_and_charged_count(scene: Callable[..., Scene]) -> None:
    """Or a recipe's budget would hold for one try only."""
    it = scene()
    it.model.away, it.model.lost = 2, (Missed("one", "no answer in time", 5_000, 0.25),)
    task = it.run()
    assert task.state is State.SUCCEEDED, task.reason
    result: Any = task.results["patch"]
    assert result["spent"] == {"tokens": 2 * 5_000 + 2 * 1_100, "usd": 0.52}
    assert replayed(it.world, task) == []


def test_what_needs_approval_is_out_where_nobody_is_asked(scene: Callable[..., Scene]) -> None:
    """A changed test is proposed where a step of the recipe asks people before it is published."""
    answer = json.loads(RIGHT)
    edit = {"search": 'converted(1001, "USD") == 1091', "replace": 'converted(2001, "USD") == 2181'}
    answer["edits"].append({"path": "tests/test_pricing.py", **edit})
    changed = json.dumps(answer)
    it = scene(answers={0: [changed], 1: [WRONG]})
    task = it.run()
    assert task.state is State.FAILED
    assert "test-changed" in task.reason
    review = b"  - {id: review, uses: approval, with: {by: [kim]}}\n"
    asking = RECIPE.replace(b"  - {id: propose", review + b"  - {id: propose")
    it = scene(answers={0: [changed], 1: [WRONG]}, recipe=asking)
    task = it.run()
    assert task.state is State.AWAITING_APPROVAL, task.reason
    result: Any = task.results["patch"]
    assert result["approval"] == ["test-changed"]
