"""`sentinel replay` on a run of the whole tree: nothing differs, and what was taken away or changed shows."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trees import ROOT, environment, sentinel


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the example once, with failing logins in a log; return the folder of its data."""
    folder = tmp_path_factory.mktemp("run")
    log = folder / "auth.log"
    lines = [f"Jan 01 00:00:{at % 60:02d} host sshd[{at}]: Failed password for root" for at in range(300)]
    log.write_text("\n".join(lines))
    command = [sys.executable, "-m", "examples.run", "--once", "--port", "0", "--home", str(folder / "home")]
    done = subprocess.run(
        [*command, "--input", str(log)],
        capture_output=True,
        timeout=100,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "home"


def replay(home: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Replay everything; return the exit code and the account."""
    done = sentinel("replay", "--from", "2000-01-01", "--json", *map(str, arguments), home=home)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    "slack",
    [(), pytest.param(("--slack", "0"), marks=pytest.mark.nightly)],
    ids=["by default", "without slack"],
)
def test_a_run_of_the_tree_has_no_differences(recorded: Path, slack: tuple[str, ...]) -> None:
    """What the tree made of a log is what is asked for: each task, lineage and effect."""
    code, found = replay(recorded, *slack)
    assert (code, found["differences"], found["waiting"], found["doubtful"]) == (0, [], 0, 0)
    assert found["entries"] == 300
    assert found["asked"] == found["recorded"] >= 1
    assert found["firings"] >= 1


def test_the_account_for_people(recorded: Path) -> None:
    """Without --json the last line is the number of differences."""
    done = sentinel("replay", "--from", "2000-01-01T00:00:00Z", home=recorded)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == "0 differ"
    empty = sentinel("replay", "--from", "2000-01-01", "--to", "946684801", home=recorded)
    assert empty.stdout.decode().splitlines()[0] == (
        "0 entries, 0 matches, 0 firings: 0 tasks asked for, 0 compared"
    )


@pytest.mark.nightly
def test_a_changed_rule_shows_which_tasks_would_differ(recorded: Path, tmp_path: Path) -> None:
    """With a rule that matches nothing the tasks of its correlation would be gone."""
    text = (ROOT / "examples" / "rules" / "login-failures.yml").read_text()
    rules = tmp_path / "login-failures.yml"
    rules.write_text(text)
    code, found = replay(recorded, "--slack", 0, "--rules", rules)
    assert (code, found["differences"]) == (0, [])
    rules.write_text(text.replace("Failed password", "Nothing of the kind"))
    code, found = replay(recorded, "--slack", 0, "--rules", rules)
    assert code == 1
    assert {each["difference"] for each in found["differences"]} == {"gone"}
    assert {each["recipe"] for each in found["differences"]} == {"tell-of-login-attack"}
    shown = sentinel(
        "replay", "--from", "2000-01-01", "--slack", "0", "--rules", str(rules), home=recorded
    ).stdout.decode()
    assert found["differences"][0]["task"] in shown
    assert "would differ" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--from", "yesterday"), 2, "a time is"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), 2, "--to is after --from"),
        ((), 2, "--from"),
        (
            ("--from", "2026-01-01", "--rules", str(ROOT / "examples" / "sinks.yaml")),
            1,
            "documents set nothing",
        ),
    ],
)
def test_what_cannot_be_replayed_is_said(
    recorded: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """A wrong time or document is two lines that say what is wrong."""
    done = sentinel("replay", *arguments, home=recorded)
    assert done.returncode == code
    assert says in done.stderr.decode()


@pytest.mark.nightly
def test_a_task_that_was_taken_away_shows(recorded: Path) -> None:
    """A row that is deleted from the file of tasks is named as missing, and the exit code says so."""
    _, before = replay(recorded, "--slack", 0)
    with sqlite3.connect(recorded / "tasks.db") as connection:
        gone = connection.execute("SELECT id FROM tasks ORDER BY id LIMIT 1").fetchone()[0]
        connection.execute("DELETE FROM tasks WHERE id = ?", (gone,))
    connection.close()
    code, found = replay(recorded, "--slack", 0)
    assert (code, found["recorded"]) == (1, before["recorded"] - 1)
    assert [(each["difference"], each["task"]) for each in found["differences"]] == [("missing", gone)]


@pytest.mark.nightly
def test_what_was_never_made_is_made(recorded: Path) -> None:
    """`sentinel detect` makes tasks of which nothing is left, once; `sentinel replay` then misses none."""
    with sqlite3.connect(recorded / "tasks.db") as connection:
        gone = [name for (name,) in connection.execute("SELECT DISTINCT task FROM events ORDER BY task")]
        for table in ("tasks", "events", "effects"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    arguments = ("detect", "--from", "2000-01-01", "--slack", "0", "--json")
    found = json.loads(sentinel(*arguments, home=recorded).stdout)
    assert sorted(found["made"]) == gone != []
    again = json.loads(sentinel(*arguments, home=recorded).stdout)
    assert (again["made"], again["asked"]) == ([], found["asked"])
    _, after = replay(recorded, "--slack", 0)
    assert [each for each in after["differences"] if each["difference"] == "missing"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a time"),
        (("--from", "2026-01-01", "--failures", "https://x/y"), "name a time"),
        (("--to", "2026-01-01", "--failures", "https://x/y"), "name a time"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "--to is after --from"),
    ],
)
def test_detecting_again_wants_one_source(recorded: Path, arguments: tuple[str, ...], says: str) -> None:
    """A time or a queue is named, not both and not neither."""
    done = sentinel("detect", *arguments, home=recorded)
    assert done.returncode == 2
    assert says in done.stderr.decode()
