"""What tests of actions share: grants, targets that fail, and a driver that tries a step as a worker does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentinel.core.grants import Grants, parse_roles
from sentinel.core.steps import Action, Again, Done, Failed, Outcome
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, TimedOut, Unavailable
from sentinel.ports_aws import AssumedRole, AwsCalls
from tests.steps import step_run

ACCOUNT = "123456789012"  # moto's
REGION = "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
ROLES = ",".join(
    f"{name}=arn:aws:iam::{ACCOUNT}:role/sentinel-{name.split('.')[-1]}"
    for name in ("aws.invoke_lambda", "aws.ssm_run", "aws.ecs_update_service", "notify")
)
GRANTS = Grants(
    roles=parse_roles(ROLES, "SENTINEL_AWS_ROLES"),
    functions=("restart-*",),
    documents=("Shop-Restart",),
    services={"shop/cart": (1, 6), "shop/web": None},
    topics=(TOPIC, f"{TOPIC}.fifo"),
    clusters={"prod": "https://k8s.example.com:6443"},
    deployments=("prod/shop/*",),
    workspaces=("ws-abcdefgh12345678",),
    terraform="https://tfe.example.com",
)
NOW = 1_790_000_000 * SECOND  # Mon, 21 Sep 2026 14:13:20 GMT


class Killed(BaseException):
    """The worker dies."""


class Clock:
    """A clock that stands until it is told."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Faulty:
    """`AwsCalls` before another: keeps what was called, and loses the reply of the call with number `at`.

    `how` is what becomes of it then: the request did not arrive, its reply is lost, or the worker dies behind
    it. The calls of one step are counted from 1 over all of its tries.
    """

    def __init__(self, real: AwsCalls, at: int = 0, how: str = "lost") -> None:
        self._real = real
        self._at = at
        self._how = how
        self.calls: list[tuple[str, str, Mapping[str, Any], AssumedRole]] = []

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        role: AssumedRole,
        timeout: float = 10.0,
    ) -> Mapping[str, Any]:
        self.calls.append((service, operation, dict(params), role))
        now = len(self.calls) == self._at
        if now and self._how == "refused":
            raise Unavailable("ThrottlingException", 1.0)
        answer = self._real.call(service, operation, params, role, timeout)
        if now:
            raise {"lost": BadAnswer("no answer"), "slow": TimedOut("no answer in time"), "killed": Killed()}[
                self._how
            ]
        return answer

    def named(self, operation: str) -> int:
        """How often an operation was called."""
        return sum(called == operation for _, called, _, _ in self.calls)


FAULTS = ("refused", "lost", "slow", "killed")


def drive(
    action: Action, inputs: Mapping[str, Any], clock: Clock | None = None, *, looks: int = 60
) -> tuple[Outcome, list[Outcome]]:
    """Try a step as the worker does until it is done or failed; return that, and what came before.

    What an `Again` tells is kept, and a worker that dies keeps nothing; the clock goes on by what is asked
    for.
    """
    told: list[Outcome] = []
    done: Mapping[str, object] = {}
    tries = 0
    for attempt in range(looks):
        run = step_run(action.name, inputs, resumed=attempt > 0, tries=tries, done=done)
        try:
            outcome = action.perform(run)
        except Killed:
            tries += 1
            continue
        if isinstance(outcome, Done | Failed):
            return outcome, told
        assert isinstance(outcome, Again)
        tries += not (outcome.done and outcome.done != done)
        done = outcome.done or done
        told.append(outcome)
        assert tries < 10, f"a look counts as a failed try: {outcome}"
        if clock:
            clock.now += outcome.after if outcome.after is not None else SECOND
    raise AssertionError(f"the step does not end: {told[-3:]}")


def never() -> AwsCalls:
    """Stand for AWS where nothing may call it."""
    raise AssertionError("AWS was called")


Calls = Callable[[], AwsCalls]
