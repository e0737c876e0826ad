"""From an exception in the ledger to a pull request: proposed, judged, proven, and made once whoever dies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sentinel.adapters.sandbox_bwrap import here
from sentinel.core.patch_blobs import unpacked
from sentinel.core.questions import Missed
from sentinel.core.states import State
from sentinel.errors import Unavailable
from sentinel.usecases.prove_patch import ProveHere
from tests.patch_scenes import RECIPE, RIGHT, WRONG, Scene, files, lives, set_up
from tests.repositories import Made, git, made_repository
from tests.usecases.test_recall import replayed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make the repository once."""
    return made_repository(tmp_path_factory.mktemp("made") / "shop", files())


@pytest.fixture
def scene(client: redis.Redis, made: Made, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Return what sets a scene up."""
    scenes: list[Scene] = []

    def one(*args: Any, **named: Any) -> Scene:
        scenes.append(set_up(client, made, tmp_path, *args, **named))
        return scenes[-1]

    yield one
    for each in scenes:
        each.world.close()


def test_a_failure_becomes_a_proven_pull_request(scene: Callable[..., Scene]) -> None:
    """In a real sandbox: what catches everything is refused, the repair is proven and proposed."""
    try:
        sandbox = here()
    except Unavailable as error:
        pytest.skip(str(error))
    it = scene("local", prover=ProveHere(sandbox))
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


def test_each_line_of_the_pipeline_may_be_its_last(client: redis.Redis, made: Made, tmp_path: Path) -> None:
    """A worker is killed before or behind a call of a store, model, prover or host: one pull request.

    Of every fifth call; `benchmarks.patches` takes all.
    """
    count, wrong, asked = lives(client, made, tmp_path, every=5)
    assert count > 15
    assert wrong == 0
    assert asked <= {2, 3}  # an answer that a killed worker had is asked for again, and no other


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
