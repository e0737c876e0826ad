"""A store that is away while a worker asks what became of an effect: the replay tells it as it was."""

from __future__ import annotations

import contextlib

import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Again, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from tests.faults_calls import Faults
from tests.replays import reenact_all
from tests.scenario import ProbedTarget, World, recipe, rule


def _lost(_: StepRun) -> Outcome:
    return Again("no answer", SECOND, unsure=True)


def test_every_call_may_fail_once_a_target_was_asked(client: redis.Redis) -> None:
    """Whichever call fails of the worker that asks, the same task comes out of what is recorded."""
    probed: set[tuple[object, object]] = set()
    for call in range(1, 100):
        client.flushall()
        faults = Faults()
        target = ProbedTarget("seen", "siem")
        world = World(RedisQueue(client), [target], faults.wrap)
        world.push("rule", "once", rule("once", "once"))
        world.push("recipe", "once", recipe("once", "once", "seen", attempts=5, step="effect: at-most-once"))
        world.new_detector().detect(world.store("s/0", [b'{"message": "once"}']))
        world.dispatch()
        target.answers = [_lost]
        world.drain("siem")
        world.clock.sleep(10)
        world.sweep()
        world.dispatch()
        faults.calls, faults.fails = 0, call.__eq__
        faults.error = Unavailable
        with contextlib.suppress(Unavailable):
            world.drain("siem")
        done = faults.calls < call
        faults.fails = lambda _: False
        world.settle(80)
        (task,) = world.tasks.listing(None, 10)
        assert task.state is State.SUCCEEDED
        probed |= {(body.get("probed"), body.get("answer")) for body in world.bodies(task)}
        assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == 1
        world.close()
        if done:
            break
    assert ("nothing", "away") in probed
