"""Limits, rates and windows on whole tasks: who is held and why, who goes on, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.places import RESERVED
from sentinel.core.states import By, State
from sentinel.core.steps import Again, Failed
from sentinel.core.tasks import SECOND, Task, moved
from sentinel.errors import Conflict, Unavailable
from sentinel.usecases.flow import NO_STORE
from tests.faults_calls import Faults, Killed
from tests.scenario import START, Target, World, recipe, rule

ONE = "concurrency: [{most: 1}]"
WHO = ("ann", "as agreed")


@pytest.fixture
def faults() -> Faults:
    """Break calls on demand."""
    return Faults()


@pytest.fixture
def world(client: redis.Redis, faults: Faults) -> Iterator[World]:
    """Wire everything, with a rule in force and no recipe yet."""
    found = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")], faults.wrap)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _log(world: World, chain: str, count: int, user: str = "ann") -> None:
    entry = f'{{"message": "boom", "user": "{user}"}}'.encode()
    world.detect(world.store(chain, [entry] * count, t=world.clock.now))
    world.dispatch()


def _begin(world: World, flow: str, count: int = 3, *uses: str, **options: object) -> None:
    world.push("recipe", "r", recipe("r", "errors", *(uses or ("tell",)), flow=flow, **options))  # type: ignore[arg-type]
    _log(world, "shop/0", count)


def _busy(world: World, count: int = 1) -> None:
    """Have the next tasks that start wait a long time at their target."""
    world.targets["tell"].answers += [Again("busy", 3600 * SECOND)] * count


def _by(world: World, state: State) -> list[Task]:
    return sorted(world.tasks.listing(state), key=lambda task: (task.created, task.id))


def _held(world: World) -> list[Task]:
    return [task for task in world.tasks.listing(State.WAITING) if task.held]


def test_a_full_limit_holds_the_others_and_says_so(world: World) -> None:
    """One task is on its way, waits included; the others say of how many, and start as places come free."""
    _begin(world, ONE)
    _busy(world)
    world.drain("siem")
    waiting = _held(world)
    assert len(waiting) == 2
    for task in waiting:
        assert task.held == "place/recipe/r"
        assert task.reason == "held: 1 of 1 tasks of recipe r are on their way"
        assert (task.attempt, task.state) == (0, State.WAITING)
        assert world.bodies(task)[-1]["held"] == task.held
    first = next(task for task in world.tasks.listing() if task.attempt)
    world.control().retry(first.id, *WHO)
    world.dispatch()
    assert world.drain("siem").succeeded == 1
    # The next one was told at once, by the worker and not by a sweep.
    (following,) = _by(world, State.QUEUED)
    assert (following.held, following.reason) == ("", "")
    assert world.bodies(following)[-1]["reason"] == "its turn has come"
    world.dispatch()
    assert world.drain("siem").succeeded == 1
    world.settle()
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


@pytest.mark.parametrize("end", ["cancel", "fail", "expire"])
def test_every_end_gives_the_place_back(world: World, end: str) -> None:
    """A task that is cancelled, fails or expires lets the next one start."""
    _begin(world, ONE, 1, timeout="2h")
    world.targets["tell"].answers = [Again("busy", 7000 * SECOND), Failed("no")]
    world.drain("siem")
    world.clock.sleep(3600)
    _log(world, "shop/1", 1)
    world.drain("siem")
    (held,) = _held(world)
    (first,) = (task for task in world.tasks.listing() if task.attempt)
    if end == "cancel":
        world.control().cancel(first.id, *WHO)
    elif end == "fail":
        world.control().retry(first.id, *WHO)
        world.dispatch()
        world.drain("siem")
    else:
        world.tasks.extend(first, first.deadline)
        world.tasks.extend(held, held.deadline)
        world.clock.sleep(3600)
        world.sweep()
    assert [task.state.value for task in world.tasks.listing() if task.attempt] == [
        {"cancel": "cancelled", "fail": "failed", "expire": "expired"}[end]
    ]
    assert [task.id for task in _by(world, State.QUEUED)] == [held.id]


def test_limits_count_by_service_and_key_and_in_groups(world: World) -> None:
    """Per service and per key each counts by itself; recipes of one group count together."""
    world.push(
        "recipe",
        "r",
        recipe("r", "errors", "tell", by=["user"], flow="concurrency: [{most: 1, per: service}]"),
    )
    world.push(
        "recipe", "k", recipe("k", "errors", "tell", by=["user"], flow="concurrency: [{most: 1, per: key}]")
    )
    for name in ("g1", "g2"):
        flow = "concurrency: [{most: 1, group: db}]"
        world.push("recipe", name, recipe(name, "errors", "tell", by=["user"], flow=flow))
    _busy(world, 8)
    for chain, user in (("shop/0", "ann"), ("shop/1", "bob"), ("desk/0", "cat")):
        _log(world, chain, 1, user)
    world.drain("siem")
    held = sorted((task.recipe, task.held) for task in _held(world))
    in_group = [each for each in held if each[1] == "place/group/db"]
    assert len(in_group) == 5
    assert [each for each in held if each not in in_group] == [("r", "place/recipe/r/service/shop")]
    assert "of group db" in next(task for task in _held(world) if task.recipe == "g1").reason


def test_all_places_or_none(world: World) -> None:
    """Who finds one of its limits full keeps no place at the others: nothing waits for it."""
    world.push("recipe", "a", recipe("a", "errors", "tell", flow="concurrency: [{most: 1, group: a}]"))
    _busy(world, 2)
    _log(world, "shop/0", 1)
    world.drain("siem")
    both = "concurrency: [{most: 1, group: '0'}, {most: 1, group: a}]"
    world.push("recipe", "a", recipe("a", "nothing", "tell"))
    world.push("recipe", "b", recipe("b", "errors", "tell", flow=both))
    world.clock.sleep(31)
    _log(world, "shop/1", 1)
    world.drain("siem")
    (held,) = _held(world)
    assert (held.recipe, held.held) == ("b", "place/group/a")
    world.push("recipe", "b", recipe("b", "nothing", "tell"))
    world.push("recipe", "c", recipe("c", "errors", "tell", flow="concurrency: [{most: 1, group: '0'}]"))
    world.clock.sleep(31)
    _log(world, "shop/2", 1)
    assert world.drain("siem").waiting == 1
    assert [task.recipe for task in world.tasks.listing() if task.attempt] == ["c", "a"]


def test_a_priority_and_a_quiet_service_come_first(world: World) -> None:
    """Whose turn it is: the higher priority, then the service that had fewer turns, then the older."""
    group = "concurrency: [{most: 1, group: g}]"
    world.push("recipe", "r", recipe("r", "errors", "tell", flow=group))
    world.push("rule", "urgent", rule("urgent", "fire"))
    world.push("recipe", "u", recipe("u", "urgent", "tell", flow=f"{group}\npriority: high"))
    _busy(world)
    _log(world, "flood/0", 4)
    world.drain("siem")
    _log(world, "quiet/0", 1)
    world.detect(world.store("flood/1", [b'{"message": "fire"}'], t=world.clock.now))
    world.dispatch()
    world.drain("siem")
    assert len(_held(world)) == 5
    running = next(task for task in world.tasks.listing() if task.attempt)
    world.control().cancel(running.id, *WHO)
    world.settle()
    begun = sorted(
        (body["t"], task.recipe, str(task.cause["entries"][0]["chain"]))  # type: ignore[index]
        for task in world.tasks.listing() for body in world.bodies(task) if body["event"] == "running"
    )  # fmt: skip
    assert [each[1:] for each in begun][1:4] == [("u", "flood/1"), ("r", "quiet/0"), ("r", "flood/0")]


def test_a_worker_that_dies_with_a_place_leaks_none(world: World, faults: Faults) -> None:
    """Killed at any call between asking and starting, a worker leaves a place that somebody gets in time."""
    _begin(world, ONE, 2)
    faults.calls, faults.error = 0, Killed
    for k in range(1, 12):
        faults.calls, faults.fails = 0, {k}.__contains__
        try:
            world.drain("siem")
        except Killed:
            continue
        finally:
            faults.fails = lambda _: False
    world.settle()
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


def test_a_place_of_who_never_starts_is_taken_over(world: World) -> None:
    """A task that has its place and whose worker is gone for good keeps nobody waiting for ever."""
    flow = "concurrency: [{most: 1, group: g}]"
    world.push("recipe", "r", recipe("r", "errors", "act", flow=flow))
    _log(world, "shop/0", 1)
    (stuck,) = world.tasks.listing()
    found = world.playbook.recipe("r", 1)
    assert world.gates.enter(stuck, found, world.clock()) is None  # and its worker dies
    world.push("recipe", "r", recipe("r", "nothing", "act"))
    world.push("recipe", "s", recipe("s", "errors", "tell", flow=flow))
    world.clock.sleep(31)
    _log(world, "shop/1", 1)
    world.drain("siem")
    assert [task.recipe for task in _held(world)] == ["s"]
    world.clock.sleep(RESERVED // SECOND + 16)
    for _ in range(3):  # nobody works on stream action
        world.sweep()
        world.drain("siem")
        world.clock.sleep(16)
    assert [task.recipe for task in world.tasks.listing(State.SUCCEEDED)] == ["s"]
    world.settle()
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


def test_who_took_a_place_away_has_made_the_start_impossible(world: World) -> None:
    """A worker that stood still between its place and the start cannot start once the place is another's."""
    _begin(world, ONE, 2)
    one, two = world.tasks.listing()
    found = world.playbook.recipe("r", 1)
    assert world.gates.enter(one, found, world.clock()) is None
    world.clock.sleep(16)
    world.sweep()  # it was taken for lost, and hinted again
    world.clock.sleep(RESERVED // SECOND)
    assert world.gates.enter(world.tasks.get(two.id), found, world.clock()) is None  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        world.executor("siem")._take(one, world.clock())


def test_a_late_end_takes_nothing_from_a_redriven_task(world: World) -> None:
    """A task that failed and was redriven has a place of its own, whenever its first end is told."""
    _begin(world, ONE, 2)
    world.targets["tell"].answers = [Failed("no"), *([Again("busy", 3600 * SECOND)] * 3)]
    world.drain("siem", seconds=51)
    failed = next(task for task in world.tasks.listing() if task.state is State.FAILED)
    (other,) = (task for task in world.tasks.listing() if task.id != failed.id)
    world.control().cancel(other.id, *WHO)
    world.control().redrive(failed.id, *WHO)
    world.dispatch()
    world.drain("siem")
    again = world.tasks.get(failed.id)
    assert again is not None
    assert again.state is State.WAITING
    world.gates.left(failed)  # the first worker comes to it only now
    _log(world, "shop/1", 1)
    world.drain("siem")
    assert len(_held(world)) == 1


def test_a_rate_gives_each_its_time(world: World) -> None:
    """A burst starts at once; then one task an interval, each at the time that its reason told it."""
    _begin(world, "rate: {most: 6, every: 1m, burst: 2}", 5)
    assert world.drain("siem").succeeded == 2
    held = sorted(_held(world), key=lambda task: task.due)
    assert [round((task.due - world.clock.now) / SECOND) for task in held] == [10, 20, 30]
    assert all(task.held == "rate" and task.ticket == task.due for task in held)
    assert held[0].reason.startswith("held: at most 6 tasks start in 1m for each recipe, this one at 2023-")
    done = []
    for _ in range(31):
        world.clock.sleep(1)
        world.sweep()
        done.append(world.drain("siem").succeeded)
    assert [n + 1 for n, count in enumerate(done) if count] in ([10, 20, 30], [11, 21, 31], [10, 20, 31])


def test_cancelled_tasks_give_their_times_back(world: World) -> None:
    """After a purge of what a rate holds, a new task waits no longer than if there had been none of it."""
    _begin(world, "rate: {most: 1, every: 1h}", 30)
    world.drain("siem")
    assert len(_held(world)) == 29
    told = world.queues().purge("recipe:r", *WHO)
    assert told["cancelled"] == 29
    _log(world, "shop/1", 1)
    world.drain("siem")
    (held,) = _held(world)
    assert 3500 < (held.due - world.clock.now) / SECOND <= 3600


def test_a_rate_reserves_nothing_beyond_a_deadline(world: World) -> None:
    """Tasks that would expire before their turn use up no time of those that come after them."""
    _begin(world, "rate: {most: 1, every: 1h}", 5, timeout="90m")
    world.drain("siem")
    told = [task.reason for task in _held(world)]
    assert sum("after its deadline" in reason for reason in told) == 3
    world.clock.sleep(3_601)
    assert world.sweep().woken == 4
    assert world.drain("siem").succeeded == 1
    world.clock.sleep(1_800)
    world.sweep()
    assert len(world.tasks.listing(State.EXPIRED)) == 3
    _log(world, "shop/1", 1)
    world.drain("siem")
    (held,) = _held(world)
    assert 0 < (held.due - START) / SECOND <= 7_201


def test_a_window_holds_starts_and_tries_but_nothing_that_runs(world: World) -> None:
    """In a maintenance window no task starts and none is tried again; when it is over, they go on."""
    # START is 22:13:20 UTC
    _begin(world, 'maintenance: [{cron: "15 22 * * *", for: 30m}]', 1)
    world.targets["tell"].answers = [Again("busy", 200 * SECOND)]
    world.drain("siem")
    world.clock.sleep(201)
    _log(world, "shop/1", 1)
    world.sweep()
    world.drain("siem")
    held = _held(world)
    assert len(held) == 2
    assert {task.held for task in held} == {"maintenance"}
    assert {task.reason.partition(";")[0] for task in held} == {
        "held: maintenance window until 2023-11-14T22:45:00Z"
    }
    assert "busy" in next(task.reason for task in held if task.tries)
    world.clock.sleep(1_700)
    world.sweep()
    assert world.drain("siem").succeeded == 2
    assert [task.reason for task in world.tasks.listing()] == ["", ""]


def test_looking_writes_no_lineage(world: World) -> None:
    """However long a task is held and looked at, its lineage grows by what happened alone."""
    _begin(world, ONE, 2)
    _busy(world)
    world.drain("siem")
    (held,) = _held(world)
    for _ in range(100):
        world.clock.sleep(20)
        world.sweep()
    again = world.tasks.get(held.id)
    assert again is not None
    assert again.version == held.version
    assert again.due > world.clock.now - 20 * SECOND


def test_a_lost_hand_over_is_mended_by_the_sweep(world: World, faults: Faults) -> None:
    """A worker that dies right after its task's end leaves a place that the sweep gives on within seconds."""
    _begin(world, ONE, 2)
    executor = world.executor("siem")
    first, second = _by(world, State.QUEUED)
    found = world.playbook.recipe("r", 1)
    assert world.gates.enter(first, found, world.clock()) is None
    taken = executor._take(first, world.clock())
    assert executor.execute(second, world.clock.now + 10**12).held == "place/recipe/r"  # type: ignore[union-attr]
    changed, event = moved(taken, State.SUCCEEDED, world.clock(), world.nonce(), {}, by=By.WORKER, due=0)
    world.tasks.move(taken, changed, event)  # and nobody tells the gates
    world.clock.sleep(16)
    assert world.sweep().woken == 1
    assert world.drain("siem").succeeded == 1


def test_while_counters_are_away_nothing_starts_and_the_sweep_goes_on(world: World, faults: Faults) -> None:
    """Without its counters a held task stays held and in nobody's way; a queued one does not start."""
    _begin(world, ONE, 3)
    _busy(world)
    world.drain("siem", seconds=50.001)
    world.drain("siem")
    held = _held(world)
    assert held
    before = world._counters
    world.clock.sleep(300)

    class Away:
        def load(self, key: str) -> tuple[bytes, int]:
            raise Unavailable("away")

    object.__setattr__(world.gates.places, "counters", Away())
    swept = world.sweep()
    assert swept.held == len(held)
    assert all(task.due >= world.clock.now + NO_STORE - SECOND for task in _held(world))
    found = world.playbook.recipe("r", 1)
    with pytest.raises(Unavailable):
        world.gates.enter(held[0], found, world.clock())
    object.__setattr__(world.gates.places, "counters", before)
    world.clock.sleep(3600)
    world.settle()
