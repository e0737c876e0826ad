"""The picture of a trace: what a person sees, line by line, in terminals of several kinds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.cli.picture import Canvas, columns, cut
from sentinel.cli.trace_picture import draw
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Failed
from sentinel.usecases.proofs import Wish
from tests.approvals import ALICE, AskingWorld, approving_recipe
from tests.scenario import Target, World, correlation, recipe, rule
from tests.traced import entry, eventful, forked, new_world, settled, store, tracing

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "trace"


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything."""
    found = new_world(client)
    yield found
    found.close()


def lines(trace: dict[str, Any], width: int, *, unicode: bool = True) -> list[str]:
    """Return a picture; all of it fits."""
    found = draw(trace, Canvas(width, unicode))
    assert all(columns(line) <= width for line in found), max(found, key=columns)
    return found


def golden(name: str, trace: dict[str, Any], width: int, *, unicode: bool = True) -> None:
    """Compare a picture with its golden."""
    path = GOLDENS / f"{name}.txt"
    found = "\n".join(lines(trace, width, unicode=unicode)) + "\n"
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        path.write_text(found)
    assert found == path.read_text()


def test_a_task(world: World) -> None:
    """A task with a retry and a doubt, at 80 and 120 columns and without Unicode."""
    task = eventful(world)
    trace = tracing(world).of_task(task.id, Wish())
    golden("task-80", trace, 80)
    golden("task-120", trace, 120)
    golden("task-ascii", trace, 80, unicode=False)
    assert all(line.isascii() for line in lines(trace, 80, unicode=False))


def test_a_family(world: World) -> None:
    """A task asked for by an effect, and its fork."""
    task = eventful(world)
    forked(world, task)
    golden("family-80", tracing(world).of_step(task.id, "s2", Wish()), 80)


def test_an_entry_with_several_tasks(world: World) -> None:
    """Forward from an entry: what it set off, and what failed."""
    world.targets["act"].answers = [
        Failed("the server answered 404: there is no such thing, and there was none")
    ]
    world.push("rule", "two", correlation("two", "odd", "user", 2, "10m"))
    world.push("recipe", "two", recipe("two", "two", "tell"))
    world.push("recipe", "each", recipe("each", "errors", "act"))
    boom = entry("boom odd", user="ann")
    world.detect(store(world, "shop/0", [boom, entry("odd", user="ann")]))
    settled(world)
    golden("entry-80", tracing(world).of_entry("shop/0", 0, Wish(), 100), 80)


def test_many_entries_and_many_events(world: World) -> None:
    """What is long is shown by its beginning and its end, with how much is between."""
    world.push("rule", "many", correlation("many", "odd", "user", 40, "10m"))
    world.push("recipe", "r", recipe("r", "many", "tell", "act", "tell", "act", "tell", "act", "tell", "act"))
    world.detect(store(world, "shop/0", [entry("odd", user="ann")] * 50))
    settled(world)
    golden("many-80", tracing(world).of_task(world.only().id, Wish()), 80)


def test_an_approval(client: redis.Redis) -> None:
    """Whom a task asked stands in its lineage, then who said what, and at the effects whose word they had."""
    targets = [Target("tell", "siem", forms={"body": Form.JSON}), Target("act", "action")]
    world = AskingWorld(RedisQueue(client), targets)
    world.push("rule", "errors", rule("errors", "boom"))
    task = world.begin(approving_recipe("uses: act", by=[ALICE, "service:ops"], more=", needs: 2"))
    for name in (ALICE, "service:ops"):
        world.approve(task, name)
    world.run()
    told = "\n".join(lines(tracing(world).of_task(task.id, Wish()), 100))
    assert f": 2 of {ALICE}, service:ops" in told
    assert f"approve, by {ALICE}" in told
    assert f"done; approved by {ALICE}, service:ops" in told
    world.close()


def test_damage(world: World) -> None:
    """What is damaged stands out, and is told where it is."""
    task = eventful(world)
    with world.tasks._database.transaction() as connection:
        connection.execute("UPDATE events SET nonce = zeroblob(32) WHERE seq = 2")
    trace = tracing(world).of_task(task.id, Wish(written={"shop/0": {9: "00" * 32}}))
    golden("damaged-80", trace, 80)


def test_nothing_set_off(world: World) -> None:
    """An entry that set nothing off is a proof and a line that says so."""
    store(world, "shop/0", [entry("fine")])
    assert "it set no task off" in lines(tracing(world).of_entry("shop/0", 0, Wish(), 100), 80)


def test_strangers_draw_nothing(world: World) -> None:
    """Control characters, wide letters and endless words of recipes and reasons stay in their places."""
    nasty = "\x1b[31m" + "日本語" * 30 + "\u202e" + "x" * 300
    world.targets["tell"].answers = [Failed(nasty)]
    body = recipe("r", "errors", "tell")
    world.push("recipe", "r", body)
    world.detect(store(world, "shop/0", [entry("boom")]))
    settled(world)
    trace = tracing(world).of_task(world.only().id, Wish())
    trace["tasks"][0]["cause"]["title"] = nasty
    for width in (80, 120, 500):
        for unicode in (True, False):
            text = "".join(lines(trace, width, unicode=unicode))
            assert "\x1b" not in text
            assert "\u202e" not in text


@given(st.text(), st.integers(0, 60))
def test_a_cut_text_fits(text: str, most: int) -> None:
    """A text that is cut takes no more columns than it may, and is whole where it fits."""
    found = cut(text, most)
    assert columns(found) <= most
    assert found == text or columns(text) > most
