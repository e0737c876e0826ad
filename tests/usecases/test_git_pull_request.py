"""The action `git.pull_request`: what people approve is what is proposed, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from sentinel.actions.ai_patch import AiPatch
from sentinel.actions.git_pull_request import MOST_DIFF, GitPullRequest
from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.core.approvals import MAX_SHOWN
from sentinel.core.edits import patch_of
from sentinel.core.patch_blobs import Proposal, packed
from sentinel.core.recipes import Recipe, load
from sentinel.core.steps import Again, Done, Failed, Nothing, NotYet, StepRun, needs_approval, writes
from sentinel.errors import Malformed, Unavailable
from sentinel.usecases.check_recipe import problems
from tests.forges import Forge, forge
from tests.repositories import PATCH, PLAIN_FILES, TASK, git, made_repository
from tests.steps import step_run


class Setting:
    """A repository, a proposal for it in the store, and the action."""

    def __init__(self, kind: str, tmp_path: Path) -> None:
        made = made_repository(tmp_path / "shop", PLAIN_FILES)
        self.one: Forge = forge(kind, made, tmp_path)
        self.blobs = FolderBlobs(tmp_path / "blobs")
        evidence = {"proven": True, "reasons": [], "seen": {}, "rank": []}
        self.proposal = Proposal(
            "shop", made.commit, "main", PATCH, "Fixes #1", "x was 1", evidence, ("openai/m",), 0.1
        )
        self.known = {"shop": self.one.repository}

    def action(self) -> GitPullRequest:
        return GitPullRequest(
            lambda: self.one.publisher(self.one.http), lambda: self.known, lambda: self.blobs
        )

    def result(self, proposal: Proposal | None = None) -> dict[str, object]:
        it = proposal or self.proposal
        digest = self.blobs.put(packed(it))
        return {"repository": it.repository, "commit": it.commit, "base": it.base, "patch": digest}

    def run(
        self, inputs: Mapping[str, Any], results: Mapping[str, object] | None = None, **changes: Any
    ) -> StepRun:
        run = step_run("git.pull_request", inputs, **changes)
        steps = [
            {"id": "a", "uses": "ai.patch"},
            {"id": "b", "uses": "ai.patch"},
            {"id": "s", "uses": "git.pull_request", "with": inputs},
        ]
        recipe = Recipe.model_validate({"id": "tell", "on": {"rule": "r"}, "steps": steps})
        found = {"a": self.result()} if results is None else results
        return replace(run, recipe=recipe, step=recipe.steps[2], task=replace(run.task, results=found))


@pytest.fixture(params=["local", "github", "gitlab"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    """Give each kind."""
    return Setting(request.param, tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Setting:
    """Give a repository of this machine."""
    return Setting("local", tmp_path)


def test_only_a_proven_patch_of_the_step_that_makes_them_is_proposed(local: Setting) -> None:
    """A candidate is kept before it is proven, and the result of another step may be anybody's words."""
    unproven = replace(local.proposal, evidence={})
    refused = local.action().perform(local.run({}, {"a": local.result(unproven)}))
    assert isinstance(refused, Failed)
    assert "proven" in refused.reason
    run = local.run({})
    steps = [{"id": "a", "uses": "http.call"}, {"id": "s", "uses": "git.pull_request"}]
    recipe = Recipe.model_validate({"id": "tell", "on": {"rule": "r"}, "steps": steps})
    refused = local.action().perform(replace(run, recipe=recipe, step=recipe.steps[1]))
    assert isinstance(refused, Failed)
    assert "no patch" in refused.reason


def test_a_patch_is_proposed(setting: Setting) -> None:
    """The result says where; doing it again finds it, and so does a probe."""
    action, run = setting.action(), setting.run({})
    assert action.probe(run) == Nothing()
    done = action.perform(run)
    assert isinstance(done, Done)
    assert done.result["branch"] == f"sentinel/{TASK}"
    assert git(setting.one.bare, "show", f"sentinel/{TASK}:src/a.py") == "x = 2"
    assert git(setting.one.bare, "show", "-s", "--format=%s", f"sentinel/{TASK}") == "Fixes # 1"
    assert setting.action().probe(run) == done
    assert setting.action().perform(setting.run({}, resumed=True)) == done
    if setting.one.server:
        assert (done.result["number"], done.result["state"]) == (1, "draft")
        assert len(setting.one.server.pulls) == 1


def test_it_is_something_that_writes(local: Setting) -> None:
    """Strangers alone do not start it; whether people approve is the recipe's."""
    assert writes(local.action(), {})
    assert not needs_approval(local.action())


def test_the_plan_shows_the_diff_and_changes_nothing(local: Setting) -> None:
    """Repository, branch, diff, evidence and digest: what people approve. Nothing is made for it."""
    run = local.run({"title": "Mine", "labels": ["x"]})
    plan: Any = local.action().plan(run)
    assert plan["diff"] == PATCH.diff
    assert plan["patch"]["sha256"] == run.task.results["a"]["patch"]  # type: ignore[index]
    assert plan["patch"]["files"] == ["new/b.py", "run.sh", "src/a.py"]
    assert plan["into"] == "main"
    assert plan["from"] == {"branch": f"sentinel/{TASK}", "on_top_of": local.proposal.commit}
    assert plan["title"] == "Mine"
    assert local.one.branches() == ["main"]


def test_another_patch_is_another_plan(local: Setting) -> None:
    """So an approval of the one is none of the other; the same again has the same plan."""
    action = local.action()
    other = replace(local.proposal, patch=patch_of({}, {"c.py": b"c"}))
    plans = [
        action.plan(local.run({}, {"a": local.result(each)}))
        for each in (local.proposal, other, local.proposal)
    ]
    assert plans[0] == plans[2] != plans[1]
    body = replace(local.proposal, cause="something else")
    assert action.plan(local.run({}, {"a": local.result(body)})) != plans[0]


def test_a_large_plan_is_still_shown(local: Setting) -> None:
    """A long diff is cut and named by its digest, so that the whole plan fits what approvers are shown."""
    patch = patch_of({}, {f"f{number}.py": b"x = 1  # long\n" * 400 for number in range(10)})
    seen = {"proven": True, "seen": {str(number): "x" for number in range(5_000)}}
    run = local.run({}, {"a": local.result(replace(local.proposal, patch=patch, evidence=seen))})
    plan: Any = local.action().plan(run)
    assert plan["diff"]["bytes"] == len(patch.diff)
    assert patch.diff.startswith(plan["diff"]["begins"])
    assert len(plan["diff"]["begins"]) == MOST_DIFF
    assert plan["evidence"]["proven"] is True
    assert len(orjson.dumps(plan)) < MAX_SHOWN


def test_the_newest_patch_counts_unless_one_is_named(local: Setting) -> None:
    """Of steps before it; a step that made none is passed over."""
    other = replace(local.proposal, title="Second")
    results = {"a": local.result(), "b": local.result(other)}
    action = local.action()
    assert action.plan(local.run({}, results))["title"] == "Second"
    assert action.plan(local.run({"patch": "a"}, results))["title"] == "Fixes # 1"
    assert action.plan(local.run({}, {"a": results["a"], "b": {"patch": None}}))["title"] == "Fixes # 1"
    for inputs, found in (({}, {}), ({"patch": "b"}, {"a": results["a"]}), ({"patch": "s"}, results)):
        with pytest.raises(Malformed, match="no patch"):
            action.plan(local.run(inputs, found))
        assert isinstance(action.perform(local.run(inputs, found)), Failed)


def test_what_does_not_fit_is_refused(local: Setting) -> None:
    """A blob that says something else than the result, a repository or branch that is another by now."""
    good = local.result()
    for changes, words in (
        ({"repository": "other"}, "another repository"),
        ({"commit": "b" * 40}, "another commit"),
        ({"patch": "0" * 64}, "nothing is kept"),
        ({"patch": local.blobs.put(b"{}")}, "cannot be read"),
    ):
        run = local.run({}, {"a": {**good, **changes}})
        found = local.action().perform(run)
        assert isinstance(found, Failed)
        assert words in found.reason
        with pytest.raises(Malformed, match=words):
            local.action().plan(run)
    local.known = {}
    assert "no repository shop" in local.action().perform(local.run({})).reason  # type: ignore[union-attr]
    local.known = {"shop": local.one.repository.model_copy(update={"branch": "develop"})}
    assert "for main" in local.action().perform(local.run({})).reason  # type: ignore[union-attr]
    assert local.one.branches() == ["main"]


def test_scripted_answers_are_labelled(tmp_path: Path) -> None:
    """Whoever looks at the pull request sees that no model was asked."""
    setting = Setting("github", tmp_path)
    run = setting.run({}, {"a": setting.result(replace(setting.proposal, scripted=True))})
    assert isinstance(setting.action().perform(run), Done)
    assert setting.one.server is not None
    pull = setting.one.server.pulls[0]
    assert pull["labels"] == ["sentinel", "sentinel-scripted"]
    assert "no model was asked" in pull["body"]


def test_what_people_have_decided_stays(tmp_path: Path) -> None:
    """A pull request that was merged before its step was recorded is done; a new one is never made."""
    setting = Setting("github", tmp_path)
    assert isinstance(setting.action().perform(setting.run({})), Done)
    assert setting.one.server is not None
    setting.one.server.pulls[0].update(state="closed", merged_at="2026-09-21T14:13:20Z")
    done = setting.action().perform(setting.run({}, resumed=True))
    assert isinstance(done, Done)
    assert done.result["state"] == "merged"
    refused = setting.action().perform(setting.run({}))
    assert isinstance(refused, Failed)
    assert "merged by people" in refused.reason
    assert len(setting.one.server.pulls) == 1


def test_a_host_that_is_busy_is_asked_again(local: Setting) -> None:
    """Its wish counts, and an effect that may have happened is unsure."""

    class Busy:
        def publish(self, *_: object) -> Any:
            error = Unavailable("asked too often", 60.0)
            error.unsent = True
            raise error

        found = publish

    action = GitPullRequest(Busy, lambda: local.known, lambda: local.blobs)
    assert action.perform(local.run({})) == Again("asked too often", 60_000_000_000)
    with pytest.raises(Unavailable):
        action.probe(local.run({}))


@pytest.mark.parametrize(
    "inputs", [{"merge": True}, {"labels": ["a,b"]}, {"labels": "x"}, {"patch": "A B"}, {"title": "x" * 73}]
)
def test_unknown_inputs_are_refused(local: Setting, inputs: dict[str, object]) -> None:
    """As with every action."""
    with pytest.raises(Malformed, match=r"git\.pull_request"):
        local.action().check(inputs)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("{id: s, uses: git.pull_request}", "a step that uses ai.patch stands before it"),
        ("{id: s, uses: git.pull_request}, PATCH", "a step that uses ai.patch stands before it"),
        (
            "PATCH, {id: s, uses: git.pull_request, with: {patch: b}}",
            "no step 'b' before it uses",
        ),
        ("PATCH, {id: s, uses: git.pull_request, with: {patch: a}}", ""),
        ("PATCH, {id: s, uses: git.pull_request}", ""),
    ],
)
def test_a_recipe_makes_the_patch_that_it_proposes(local: Setting, steps: str, words: str) -> None:
    """One that proposes a patch which no step before makes is refused before it is pushed."""
    made = "{id: a, uses: ai.patch, with: {repository: shop, models: [m]}}"
    body = f"id: r\non: {{rule: x}}\nsteps: [{steps.replace('PATCH', made)}]\n"
    known: dict[str, Any] = {"git.pull_request": local.action(), "ai.patch": AiPatch(*[_never] * 4)}
    told = [why for _, why in problems(load("r", body.encode()), known)]
    assert (words in told[0]) if words else not told


def test_a_patch_that_is_not_made_yet_is_told_so(local: Setting) -> None:
    """Before its patch is made the plan hangs on that step; without such a step the recipe is wrong."""
    with pytest.raises(NotYet, match="the step b has made no patch yet"):
        local.action().plan(local.run({}, {}))
    with pytest.raises(Malformed, match=r"let ai\.patch come before it") as raised:
        local.action().plan(local.run({"patch": "c"}, {}))
    assert not isinstance(raised.value, NotYet)


def _never() -> NoReturn:
    raise AssertionError
