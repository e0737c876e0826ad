"""A world with one repository and what makes patches for it, for tests and `benchmarks.patches`."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from sentinel.actions.approval import Approval
from sentinel.actions.patch_parts import PatchParts
from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.proving import Evidence, Job, Reason
from sentinel.core.questions import Missed, NobodyNow, Question, Reply, Usage
from sentinel.core.states import State
from sentinel.core.tasks import Task
from sentinel.core.trees import PLAIN, Held
from sentinel.errors import Unavailable
from sentinel.usecases.related import failure_from
from tests.faults_calls import Faults, Killed
from tests.forges import Forge, forge
from tests.repositories import Made
from tests.scenario import Target, World, rule

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "patching"
ANSWERS = [
    json.dumps(each["answer"])
    for each in json.loads((ROOT / "examples" / "patching" / "answers.json").read_text())
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
    place = EXAMPLE / "repository"
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


def set_up(
    client: redis.Redis,
    made: Made,
    tmp_path: Path,
    kind: str = "local",
    answers: Mapping[int, Sequence[str]] | None = None,
    faults: Faults | None = None,
    prover: Any = None,
    recipe: bytes = RECIPE,
) -> Scene:
    """Return a scene whose task has been made."""
    client.flushall()
    wrap = faults.wrap if faults else lambda _, port: port
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    one = forge(kind, made, folder)
    model = Answers(answers or {0: [WRONG], 1: [RIGHT]})
    blobs = wrap("blobs", FolderBlobs(folder / "blobs"))
    world = World(
        RedisQueue(client),
        [Target("tell", "siem")],
        wrap=lambda name, port: wrap(name, port) if name == "tasks" else port,
    )
    tries = prover or Believing()
    parts = PatchParts(
        known=lambda: {"shop": one.repository},
        source=lambda: wrap("source", one.reader(one.http)),
        publisher=lambda: wrap("publisher", one.publisher(one.http)),
        models=lambda names, budget, spent: wrap("model", model),
        blobs=lambda: blobs,
        asked=lambda: wrap("asked", FolderBlobs(folder / "asked")),
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


def lives(client: redis.Redis, made: Made, folder: Path, every: int = 1) -> tuple[int, int, set[int]]:
    """Have a worker killed before and behind each `every`-th call of all ports, each in a life of its own.

    Returns how many lives there were, how many had not just one pull request, and how often models were
    asked.
    """
    whole = Faults()
    it = set_up(client, made, folder, "github", faults=whole)
    assert it.run().state is State.SUCCEEDED
    it.world.close()
    assert {"blobs.put", "model.ask", "prover.prove", "publisher.publish", "source.fetch"} <= set(whole.log)
    asked, count, wrong = set[int](), 0, 0
    for at in range(1, whole.calls + 1, every):
        for lost in (False, True):
            faults = Faults(Killed, lambda call, at=at: call == at, applied=lost)  # type: ignore[misc]
            it = set_up(client, made, folder, "github", faults=faults)
            task = it.run()
            assert it.forge.server is not None
            branches = ["main", f"sentinel/{task.id}"]
            one = it.forge.branches() == branches and len(it.forge.server.pulls) == 1
            wrong += not (one and task.state is State.SUCCEEDED)
            asked.add(len(it.model.asked))
            count += 1
            it.world.close()
    return count, wrong, asked
