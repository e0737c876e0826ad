"""Models that ask nobody, and several in a row: scripts, recordings, and which one is asked next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import ai
from sentinel.adapters.read_files import ReadFiles
from sentinel.ai import Reach
from sentinel.ai.failover import Failover, Named
from sentinel.core import exchanges
from sentinel.core.budgets import Budget, OverBudget, Prices, Spent, cost, worst
from sentinel.core.questions import (
    Busy,
    CutOff,
    Missed,
    NobodyAnswers,
    NobodyNow,
    NotAnswered,
    Question,
    Reply,
    Turn,
    Usage,
)
from sentinel.errors import (
    Forbidden,
    Malformed,
    Missing,
    SentinelError,
    Tampered,
    TimedOut,
    TooLarge,
    Unavailable,
)

QUESTION = Question("s", (Turn("user", "| type: KeyError\n"),), {"type": "object"}, max_output=2_000)
REPLY = Reply('{"n":1}\n', "openai", "gpt", Usage(10, 2, 1, 5), 0.25)
PRICES = Prices(1, 1, 1, 10)
_NOBODY: Any = None


def _model(body: object, folder: Path | None = None) -> Any:
    reach = Reach(_NOBODY, _NOBODY, ReadFiles(folder)) if folder else Reach(_NOBODY, _NOBODY)
    return ai.make(ai.load("models.yaml", orjson.dumps({"models": {"m": body}}))["m"], reach)


def _scripted(folder: Path, script: object) -> Any:
    (folder / "answers.json").write_bytes(orjson.dumps(script))
    return _model({"kind": "scripted", "file": "answers.json"}, folder)


def _asked(model: Any, **over: Any) -> str:
    fields = {"system": "s", "turns": QUESTION.turns, "schema": {}, **over}
    return str(model.ask(Question(**fields), 0).text)


def test_a_script_answers_by_what_was_asked(tmp_path: Path) -> None:
    """The first entry answers whose text stands in the data, or whose number is the sample's, or both."""
    script = [
        {"when": ["KeyError", 1], "answer": "both"},
        {"when": "KeyError", "answer": {"n": 1}},
        {"when": 2, "answer": "sample"},
        {"answer": "else"},
    ]
    model = _scripted(tmp_path, script)
    assert _asked(model, sample=1) == "both"
    assert _asked(model, sample=2) == '{"n":1}'
    assert _asked(model, turns=(Turn("user", "x"),), sample=2) == "sample"
    assert _asked(model, turns=(), system="KeyError") == "else"


def test_a_script_is_labelled_and_free(tmp_path: Path) -> None:
    """Each reply says that it is from a file, and costs no dollar, whatever usage it pretends."""
    model = _scripted(tmp_path, [{"answer": "x", "usage": {"input": 5, "output": 7}}])
    reply = model.ask(QUESTION, 0)
    assert (reply.scripted, reply.provider, reply.usd) == (True, "scripted", 0.0)
    assert reply.usage.tokens == 12


def test_a_script_without_an_answer_says_so(tmp_path: Path) -> None:
    """No answer is made up."""
    with pytest.raises(NotAnswered, match=r"answers\.json has no answer"):
        _scripted(tmp_path, [{"when": 7, "answer": "x"}]).ask(QUESTION, 0)


@pytest.mark.parametrize(
    "script",
    [{}, [1], [{"when": "x"}], [{"answer": 1}], [{"answer": "x", "if": 1}], [{"answer": "x", "when": ""}]],
)
def test_scripts_are_checked(tmp_path: Path, script: object) -> None:
    """What is no script is refused with where its form stands."""
    with pytest.raises(Malformed, match=r"docs/models\.md"):
        _scripted(tmp_path, script).ask(QUESTION, 0)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.json", "a/../x", "a//b", ".hidden", "a/.ssh", ""])
@pytest.mark.parametrize("kind", [{"kind": "scripted", "file": ""}, {"kind": "recorded", "folder": ""}])
def test_paths_stay_below_the_folder(path: str, kind: dict[str, str]) -> None:
    """A document cannot name a file elsewhere."""
    named = {name: each if name == "kind" else path for name, each in kind.items()}
    with pytest.raises(Malformed, match=r"file|folder"):
        _model(named)


def test_files_are_read_below_the_folder_only(tmp_path: Path) -> None:
    """Neither a link, nor a path upwards, nor what is no file is read; what is too long is not either."""
    inside = tmp_path / "home"
    (inside / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (inside / "a" / "b.json").write_text("12345")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "up").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    read = ReadFiles(inside, most=5)
    assert read("a/b.json") == b"12345"
    for path in ("../secret", "link", "up/secret", "a", "pipe", "a/b.json/c", "a/\0", "/etc/passwd"):
        with pytest.raises(Forbidden):
            read(path)
    with pytest.raises(Missing):
        read("a/c.json")
    with pytest.raises(TooLarge):
        ReadFiles(inside, most=4)("a/b.json")


def test_without_a_folder_nothing_is_read() -> None:
    """In AWS there is no such folder, and the error says what to do."""
    with pytest.raises(Forbidden, match="model of another kind"):
        _model({"kind": "scripted", "file": "a.json"}).ask(QUESTION, 0)


def test_recordings_are_replayed_byte_for_byte(tmp_path: Path) -> None:
    """A question that was kept gets its very reply, with usage, dollars and label; any other gets none."""
    (tmp_path / "kept").mkdir()
    kept = exchanges.exchange(QUESTION, REPLY)
    (tmp_path / "kept" / f"{exchanges.key(QUESTION)}.json").write_bytes(kept)
    model = _model({"kind": "recorded", "folder": "kept"}, tmp_path)
    assert model.ask(QUESTION, 0) == REPLY
    with pytest.raises(NotAnswered, match="was recorded"):
        model.ask(Question("other", (), {}), 0)


def test_a_recording_under_another_name_is_not_replayed(tmp_path: Path) -> None:
    """A file that answers another question than its name says is damage, and no answer."""
    other = Question("other", (), {})
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{exchanges.key(other)}.json").write_bytes(exchanges.exchange(QUESTION, REPLY))
    with pytest.raises(Tampered):
        _model({"kind": "recorded", "folder": "kept"}, tmp_path).ask(other, 0)


class _Fake:
    """A model that does as it is told, and notes what it was asked and until when."""

    def __init__(self, does: Callable[[], Reply] | SentinelError | Reply) -> None:
        self._does = does
        self.asked: list[tuple[int, int]] = []

    def ask(self, question: Question, deadline: int) -> Reply:
        """Do it."""
        self.asked.append((question.max_output, deadline))
        found = self._does
        if isinstance(found, SentinelError):
            raise found
        return found if isinstance(found, Reply) else found()


def _over(*models: _Fake, budget: Budget | None = None, prices: Prices = PRICES) -> Failover:
    named = [Named(f"m{number}", each, prices) for number, each in enumerate(models)]
    return Failover(named, lambda: 1_000, budget)


def test_the_next_model_is_asked_where_one_fails() -> None:
    """Whatever keeps a model from answering, the next is asked; the reply says who failed, and why."""
    errors = [
        NotAnswered("no"),
        Unavailable("lost"),
        Busy("busy"),
        Forbidden("key"),
        Missing("gone"),
        TooLarge("long"),
    ]
    fakes = [_Fake(each) for each in errors]
    last, never = _Fake(REPLY), _Fake(REPLY)
    reply = _over(*fakes, last, never).ask(QUESTION, 10_000)
    at_worst = worst(QUESTION)
    assert [each.model for each in reply.failed] == ["m0", "m1", "m2", "m3", "m4", "m5"]
    assert [each.why for each in reply.failed] == ["no", "lost", "busy", "key", "gone", "long"]
    assert [each.tokens for each in reply.failed] == [0, at_worst.tokens, 0, 0, 0, 0]
    assert cost(reply) == Spent(15 + at_worst.tokens, pytest.approx(0.25 + PRICES.worst(at_worst)))  # type: ignore[arg-type]
    assert never.asked == []


def test_all_models_share_one_deadline() -> None:
    """No model but the last may take all of the time; the last one may."""
    first, second = _Fake(NotAnswered("no")), _Fake(REPLY)
    _over(first, second).ask(QUESTION, 31_000)
    assert [each.asked[0][1] for each in (first, second)] == [21_000, 31_000]


def test_nobody_answers() -> None:
    """Where one may answer later the error says when; where none ever will it is final. Both name all."""
    with pytest.raises(NobodyNow, match="m0: key; m1: busy; m2: slow") as later:
        _over(_Fake(Forbidden("key")), _Fake(Busy("busy", 9.0)), _Fake(TimedOut("slow", 4.0))).ask(
            QUESTION, 1
        )
    assert (later.value.retry_after, later.value.unsent, len(later.value.failed)) == (4.0, False, 3)
    cut = CutOff("cut", Usage(10, 0, 0, 20))
    with pytest.raises(NobodyAnswers, match="m0: key; m1: cut") as never:
        _over(_Fake(Forbidden("key")), _Fake(cut)).ask(QUESTION, 1)
    assert cost(never.value) == Spent(30, 0.00021)
    assert never.value.failed[0] == Missed("m0", "key")


def test_what_one_model_cost_counts_for_the_next() -> None:
    """A reply that was lost takes its worst case from the budget before the next model is asked."""
    told = worst(QUESTION).input
    budget = Budget(2 * (told + 2_000) - 500, 100)
    lost, second = _Fake(TimedOut("lost")), _Fake(REPLY)
    _over(lost, second, budget=budget).ask(QUESTION, 1)
    assert [each.asked[0][0] for each in (lost, second)] == [2_000, 1_500]
    tight = Budget(2 * (told + 2_000) - 1_500, 100)
    first, unasked = _Fake(TimedOut("lost")), _Fake(REPLY)
    with pytest.raises(NobodyNow, match="m1: asking takes at least"):
        _over(first, unasked, budget=tight).ask(QUESTION, 1)
    assert unasked.asked == []


def test_a_cheaper_model_is_asked_where_the_first_is_too_dear() -> None:
    """The budget is looked at with each model's own prices; where none fits nobody is asked."""
    dear, cheap = _Fake(REPLY), _Fake(REPLY)
    models = [Named("dear", dear, Prices(output=1_000)), Named("cheap", cheap, PRICES)]
    reply = Failover(models, lambda: 0, Budget(10_000, 0.1)).ask(QUESTION, 1)
    assert (dear.asked, reply.failed[0].model) == ([], "dear")
    with pytest.raises(OverBudget):
        Failover(models, lambda: 0, Budget(10_000, 0.1), Spent(0, 0.0999)).ask(QUESTION, 1)
    assert len(cheap.asked) == 1


def test_damage_is_never_passed_over() -> None:
    """Where a model's recording does not verify, no other one is asked in its place."""
    second = _Fake(REPLY)
    with pytest.raises(Tampered):
        _over(_Fake(Tampered("recorded", 0, "question", "x")), second).ask(QUESTION, 1)
    assert second.asked == []


def test_models_are_asked_by_their_names(tmp_path: Path) -> None:
    """A recipe's names are those of documents, in its order; one that is unknown is named."""
    (tmp_path / "a.json").write_bytes(b'[{"answer": "a"}]')
    body = orjson.dumps({"models": {"a": {"kind": "scripted", "file": "a.json"}}})
    configs = ai.load("models.yaml", body)
    reach = Reach(_NOBODY, _NOBODY, ReadFiles(tmp_path))
    assert ai.asked(["a"], configs, reach).ask(QUESTION, 0).text == "a"
    with pytest.raises(Missing, match="there is no model b"):
        ai.asked(["a", "b"], configs, reach)
    with pytest.raises(Malformed):
        ai.asked([], configs, reach)
