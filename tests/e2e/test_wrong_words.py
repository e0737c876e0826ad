"""What the command line says to slips: what is wrong and what to do, and never to another folder's tasks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sentinel.cli.main import run
from sentinel.local import author_key

ID = "a" * 26


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with data in it, on which nothing runs."""
    from sentinel import bootstrap

    found = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith("SENTINEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SENTINEL_HOME", str(found))
    found.mkdir()
    assert bootstrap.application(str(found)).ledger.head("none/0") is None
    (tmp_path / "alice.pub").write_text(author_key.make(tmp_path / "alice.pem"))
    monkeypatch.chdir(tmp_path)
    return found


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it says on standard error."""
    code = run(words)
    out, err = capsys.readouterr()
    assert not out
    return code, err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("tasks", "--home", "x", "show", ID), 2, "--home stands behind the subcommand: sentinel tasks show"),
        (("tasks", "--recipe", "r", "bulk", "cancel", "--why", "w"), 2, "--recipe stands behind"),
        (("queues", "--home", "x", "pause", "all", "--why", "w"), 2, "--home stands behind the subcommand"),
        (("tasks", "--state", "Failed"), 2, "state is one of proposed, queued"),
        (("tasks", "bulk", "cancel", "--state", "no", "--why", "w"), 2, "state is one of proposed, queued"),
        (("tasks", "approve", ID, "--key", "none.pem"), 2, "'none.pem' does not exist"),
        (("tasks", "approve", ID, "--key", "alice.pem", "--who", "bob"), 2, "either --key"),
        (("tasks", "link", ID, "--for", "bob", "--within", "soon"), 2, "a duration is a number with a unit"),
        (("tasks", "link", ID, "--for", "bob"), 3, "start it with `sentinel up`"),
        (("tasks", "dead"), 3, "`sentinel tasks --state failed` needs none"),
        (("tasks", "show", ID), 1, "there is no such task"),
        (("tasks", "cancel", ID), 2, "Missing option '--why'"),
    ],
)
def test_a_slip_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, says: str
) -> None:
    """Each ends with its code, two lines for people, and one JSON object for programs."""
    del home
    found, text = told(capsys, *words)
    assert (found, says in text) == (code, True), text
    assert 2 <= len(text.splitlines()) <= 3 or "`sentinel " in text
    found, text = told(capsys, *words, "--json")
    problem = json.loads(text)
    assert (found, problem["code"]) == (code, code)
    assert says in f"{problem['message']} {problem['hint']}"


def test_a_pause_of_nothing_warns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pause of a recipe that is not in force counts, and whoever meant another one is told."""
    del home
    assert run(["queues", "pause", "recipe:tel", "--why", "w"]) == 0
    out, err = capsys.readouterr()
    assert out == "recipe:tel is paused\n"
    assert err == "warning: no recipe tel is in force\n"
    assert run(["queues"]) == 0
    assert "paused: recipe:tel since" in capsys.readouterr().out
