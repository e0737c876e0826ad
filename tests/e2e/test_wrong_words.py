"""What the command line says to slips: what is wrong and what to do, and never to another folder's tasks."""

from __future__ import annotations

import json
import os
import sqlite3
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


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("HTTP_HOSTS", "127.0.0.1:9000"),
        ("AWS_ROLES", "nonsense"),
        ("K8S_CLUSTERS", "nonsense"),
        ("TERRAFORM_URL", "nonsense"),
        ("AWS_SERVICES", "cart=1..9"),
    ],
)
def test_up_refuses_a_setting_that_workers_cannot_use(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    """A slip in a setting ends `up` at once: nothing says that it is up while no worker can start."""
    del home
    monkeypatch.setenv(f"SENTINEL_{setting}", value)
    code, text = told(capsys, "up", "--port", "0", "--insecure")
    assert (code, f"SENTINEL_{setting}" in text) == (1, True), text


def test_what_nobody_expected_is_told_without_a_traceback(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that somebody wrote over ends a command in two lines, which quote nothing of it."""
    public = str(home.parent / "alice.pub")
    assert run(["authors", "add", "alice", "--key", public]) == 0
    capsys.readouterr()
    with sqlite3.connect(home / "registry.db") as database:
        assert database.execute("UPDATE records SET body = ?", (b"secret words",)).rowcount == 1
    database.close()
    code, text = told(capsys, "authors", "ls")
    assert (code, len(text.splitlines()), "secret" in text, "Traceback" in text) == (1, 2, False, False)
    code, text = told(capsys, "authors", "ls", "--json")
    assert (code, json.loads(text)["error"]) == (1, "Unexpected")
    monkeypatch.setenv("SENTINEL_LOG_LEVEL", "DEBUG")
    with pytest.raises(ValueError, match="line 1"):
        run(["authors", "ls"])
