"""A world in which tasks ask people: its authors, its recipes with approvals, and what they say."""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sentinel.actions.approval import Approval
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.bootstrap import App
from sentinel.core import dsse
from sentinel.core.access import Author
from sentinel.core.approval_statements import Statement, sign
from sentinel.core.approvals import Approver, How, Verdict
from sentinel.core.signing import PAYLOAD_TYPES, Opener
from sentinel.core.tasks import SECOND, Task
from sentinel.ports import Queue
from sentinel.usecases.approve import Approving, Decision
from sentinel.usecases.approvers import Approvers
from sentinel.usecases.authors import Authors, Signed
from sentinel.usecases.execute import Executor
from sentinel.usecases.playbook import Playbook
from tests.chains import grow
from tests.core.test_dsse import KEYS, SEEDS
from tests.scenario import Target, World

BOOM = b'{"message": "boom", "user": {"id": "u-1"}}'
ALICE, BOB = "alice", "bob"  # the authors that have the keys A and B


@functools.cache
def approver(name: str) -> Approver:
    """Return somebody whose identity is established already."""
    return Approver(name, How.SERVICE if name.startswith("service:") else How.LINK)


def approving_recipe(
    *after: str, by: Sequence[str] = (ALICE, BOB), more: str = "", before: str = ""
) -> bytes:
    """Return a recipe that asks, and then does each of `after`, steps called s0, s1, ..."""
    steps = "".join(f"  - {{id: s{number}, {each}}}\n" for number, each in enumerate(after))
    asks = f"  - {{id: ask, uses: approval, with: {{by: [{', '.join(by)}]{more}}}}}\n"
    return f"id: r\non: {{rule: errors}}\nretry: {{attempts: 5}}\nsteps:\n{before}{asks}{steps}".encode()


class AskingWorld(World):
    """A world with the action `approval`, and with authors alice and bob, of whom bob is in `team`."""

    def __init__(
        self,
        queue: Queue,
        targets: Sequence[Target],
        wrap: Callable[[str, Any], Any] = lambda _, port: port,
        *,
        required: bool = False,
    ) -> None:
        super().__init__(queue, targets, wrap)
        self.registry = SqliteRegistry(":memory:")
        self.authors = Authors(self.registry, self.clock)
        self.authors.add(Author(ALICE, ""), KEYS["A"])
        self.authors.add(Author(BOB, "", groups=("team",)), KEYS["B"])
        self.actions = {**self.targets, "approval": Approval()}
        self.approvers = Approvers(self.authors, self.clock, required)
        opener: Opener | None = Signed(self.authors, self.clock, 0) if required else None
        self.playbook = Playbook(wrap("catalog", self.catalog), self.clock, opener=opener)
        self.detector = self.new_detector()

    def close(self) -> None:
        super().close()
        self.registry._database.close()

    def push_signed(self, kind: str, name: str, body: bytes, key: str = "A") -> None:
        """Push a document with somebody's signature."""
        self.push(kind, name, dsse.dump(dsse.sign(SEEDS[key], PAYLOAD_TYPES[kind], body)))

    def executor(self, stream: str, worker: str = "w1") -> Executor:
        return replace(super().executor(stream, worker), removed=self.approvers.removed)

    def approving(self) -> Approving:
        """Return what shows and takes decisions."""
        return Approving(
            self._tasks,
            self._ledger,
            self.playbook,
            self.actions,
            self.clock,
            self.nonce,
            self.queue,
            gates=self.gates,
            removed=self.approvers.removed,
        )

    def begin(self, recipe: bytes) -> Task:
        """Set a recipe off, and let it come to its question."""
        self.push("recipe", "r", recipe)
        self.detect(self.store("s/0", [BOOM]))
        self.run()
        return self.only()

    def run(self) -> None:
        """Let everything run that can."""
        for _ in range(4):
            self.dispatch()
            self.drain("action")
            self.drain("siem")

    def digest(self, task: Task) -> str:
        """Return the digest of what would be done now."""
        return str(self.approving().look(task.id)["digest"])

    def approve(self, task: Task, name: str, digest: str = "", **more: Any) -> Task:
        """Approve as somebody."""
        seen = digest or self.digest(task)
        return self.approving().decide(task.id, Decision(approver(name), Verdict.APPROVE, seen, **more))

    def refuse(self, task: Task, name: str, why: str = "no") -> Task:
        """Refuse as somebody."""
        said = Decision(approver(name), Verdict.REFUSE, self.digest(task), why)
        return self.approving().decide(task.id, said)

    def signed(self, task: Task, key: str, digest: str = "", verdict: Verdict = Verdict.APPROVE) -> Decision:
        """Return a decision that is signed with a key."""
        statement = Statement(task.id, digest or self.digest(task), verdict, "fine", self.clock.now)
        envelope = sign(statement, SEEDS[key])
        who, said = self.approvers.signed(envelope)
        return Decision(who, said.verdict, said.digest, said.why, envelope)


def awaiting(app: App, recipe: bytes, rules: bytes, entry: bytes = BOOM, chain: str = "checkout/0") -> Task:
    """Let an application's recipe come to its question, as its worker does, without a queue."""
    app.catalog.push("rule", "errors", rules)
    app.catalog.push("recipe", "r", recipe)
    segments = grow(chain, [[entry]], t=time.time_ns())
    for segment in segments:
        app.ledger.append(segment)
    app.detector.detect(segments)
    (task,) = app.tasks.listing()
    nothing: Any = None
    executor = Executor(
        worker="w1",
        stream="action",
        tasks=app.tasks,
        ledger=app.ledger,
        queue=nothing,
        playbook=app.playbook,
        actions=app.actions,
        clock=time.time_ns,
        nonce=lambda: os.urandom(32),
        rng=random.random,
    )
    found = executor.execute(task, time.time_ns() + 60 * SECOND)
    assert found is not None
    return found
