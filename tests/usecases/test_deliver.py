"""Deliveries end to end: real stores, real sinks, every entry once, in order, whatever happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.actions.deliver_read import hashes_of
from sentinel.core.tasks import SECOND
from tests.deliveries import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a world with a file sink and a plan that means everything."""
    found = World(tmp_path)
    found.file()
    found.plan()
    yield found
    found.close()


def test_every_entry_of_every_chain_arrives_once_and_in_order(world: World) -> None:
    """Three chains of different lengths: each line once, each chain in its order, and the lag is nothing."""
    for chain, many in (("shop/0", 95), ("shop/1", 7), ("pay/0", 230)):
        world.count(chain, 0, many)
    found = world.run()
    assert (found.delivered, found.refused, found.twice, found.problem) == (332, 0, 0, "")
    for chain, many in (("shop/0", 95), ("shop/1", 7), ("pay/0", 230)):
        assert world.numbers(chain) == list(range(many))
    told = world.show.one("all")
    assert (told["lag"], told["delivered"], told["state"]) == (0, 332, "idle")


def test_the_id_of_an_event_is_the_hash_of_its_entry(world: World) -> None:
    """What is told as an event's id is H of the entry in its chain, hex."""
    segment = world.log("shop/0", [b'{"n":0}', b'{"n":1}'])
    world.run()
    assert [each["id"] for each in world.lines()] == [each.hex() for each in hashes_of(segment)]
    assert world.lines()[-1]["id"] == segment.head.hex()


def test_the_next_run_goes_on_where_the_last_one_ended(world: World) -> None:
    """New entries between two runs arrive, and none of the old ones again."""
    world.count("shop/0", 0, 25)
    world.run()
    world.count("shop/0", 25, 25)
    assert world.run(holder="two").delivered == 25
    assert world.numbers("shop/0") == list(range(50))


def test_a_plan_begins_with_what_is_sealed_after_it_was_seen(world: World) -> None:
    """`since: now` leaves out what was there before, also of a chain that nobody looked at until later."""
    world.plan(since="now")
    for number in range(20):
        world.count("shop/0", number, 1)
        world.sleep(1)
    world.run(1)
    assert world.lines() == []
    world.sleep(5)
    world.count("shop/0", 20, 3)
    world.count("pay/0", 0, 4)
    world.run()
    assert world.numbers("shop/0") == [20, 21, 22]
    assert world.numbers("pay/0") == [0, 1, 2, 3]


def test_a_batch_leaves_when_it_is_full_or_old(world: World) -> None:
    """Ten events make a batch at once; three wait until the oldest is as old as the plan says."""
    world.plan(batch={"events": 10, "within": "30s"})
    world.count("shop/0", 0, 23)
    world.run(5)
    assert len(world.lines()) == 20
    world.run(40)
    assert len(world.lines()) == 23


def test_only_the_services_that_a_plan_names_are_sent(world: World) -> None:
    """Patterns of services choose chains."""
    world.plan(services=["shop*"])
    world.count("shop-eu/0", 0, 3)
    world.count("pay/0", 0, 3)
    world.run()
    assert {each["chain"] for each in world.lines()} == {"shop-eu/0"}


def test_a_second_runner_leaves_a_delivery_alone(world: World) -> None:
    """While one has the lease the other does nothing; when it has run out the other goes on."""
    world.count("shop/0", 0, 5)
    taken = world.store.take("all", "another")
    assert taken is not None
    found = world.run(20)
    assert (found.delivered, found.running) == (0, True)
    assert world.run(15).delivered == 5


def test_a_plan_that_is_retired_ends(world: World) -> None:
    """A delivery whose plan goes away meanwhile stops, and gives its lease back."""
    world.count("shop/0", 0, 5)
    world.wakes.append((world.now + 3 * SECOND, world.plans.clear))
    world.run(1000)
    assert world.now < 1_790_000_000 * SECOND + 10 * SECOND
    assert world.store.lease("all")[0].holder == ""


def test_a_run_may_end_when_there_is_nothing_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each second is paid, a run ends soon after the last entry arrived, at once without any plan."""
    monkeypatch.setattr(world, "clock", time.time_ns)
    monkeypatch.setattr(world, "sleep", time.sleep)
    world.count("shop/0", 0, 30)
    begun = time.time_ns()
    found = world.deliverer().run(begun + 60 * SECOND, lambda: False, idle=0.6)
    assert found["all"].delivered == 30
    assert SECOND // 2 < time.time_ns() - begun < 55 * SECOND
    world.plans.clear()
    begun = time.time_ns()
    assert world.deliverer().run(begun + 60 * SECOND, lambda: False, idle=0.6) == {}
    assert time.time_ns() - begun < 50 * SECOND
