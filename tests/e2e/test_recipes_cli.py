"""`sentinel recipes` and `sentinel authors`: trying recipes offline, and documents that are signed."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from sentinel.bootstrap import application
from tests.e2e.test_cli import cli as cli  # noqa: PLC0414 - the fixture

RULE = """title: Failed login
name: failed
status: test
level: high
logsource: {category: application}
detection: {it: {message|contains: failed}, condition: it}
"""
BURST = """title: Many failures
name: burst
status: test
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {gte: 2}}
"""
RECIPE = """id: tell
on: {rule: failed}
dedup: {by: [user]}
steps:
  - id: open
    uses: http.call
    with:
      url: "https://desk.example.com/users/${entry.user}/incidents"
      headers: {Authorization: {secret: desk, prefix: "Bearer "}}
      body: {title: "$title: ${entry.user}", n: "${entry.n}"}
  - {id: say, uses: siem.send, with: {to: [out, hec]}}
  - {id: link, uses: http.call, with: {url: "https://desk.example.com", body: "${steps.open.result.status}"}}
"""
SINKS = """sinks:
  out: {kind: file, path: a.ndjson}
  hec: {kind: splunk, url: "https://hec.example.com:8088", token: hec-token}
"""
LOG = [
    {"user": "ann", "message": "login failed", "n": 1},
    {"user": "bob", "message": "fine"},
    {"user": "ann", "message": "failed again", "n": 2},
    {"user": "..", "message": "failed", "n": 3},
]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Make a folder with a rule, a recipe and sinks, and beside it a log."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in (("rule.yml", RULE), ("recipe.yml", RECIPE), ("sinks.yml", SINKS)):
        (folder / name).write_text(text)
    (tmp_path / "log.ndjson").write_text("".join(json.dumps(each) + "\n" for each in LOG))
    return folder


def rehearsed(cli: Any, docs: Path, recipe: str = "recipe.yml") -> Any:
    """Return what `recipes test` prints of a recipe and the log."""
    arguments = (docs / recipe, "--input", docs.parent / "log.ndjson", "--rules", docs)
    done = cli("recipes", "test", *arguments, "--home", docs.parent / "none", "--json")
    assert done.code == 0, done.err
    return done.json["tasks"]


def test_a_recipe_is_tried_offline(cli: Any, docs: Path) -> None:
    """Tasks by the lines that cause them, and each step's very request, with secrets as their names."""
    first, second = rehearsed(cli, docs)
    assert (first["lines"], second["lines"]) == ([1, 3], [4])
    assert (first["rule"], first["title"]) == ("failed", "Failed login")
    opened, said, linked = (step["plan"] for step in first["steps"])
    assert (opened["method"], opened["host"]) == ("POST", "desk.example.com")
    assert opened["url"] == "https://desk.example.com/users/ann/incidents"
    assert opened["headers"]["Authorization"] == "Bearer <secret desk>"
    assert json.loads(opened["body"]) == {"title": "Failed login: ann", "n": 1}
    file, hec = said["sinks"]
    assert [file["events"], hec["events"]] == [2, 2]
    assert hec["requests"][0]["headers"]["Authorization"] == "Splunk <secret hec-token>"
    assert hec["requests"][0]["url"] == "https://hec.example.com:8088/services/collector/event"
    assert json.loads(file["requests"][0]["lines"].splitlines()[1])["entry"] == LOG[2]
    assert json.loads(linked["body"]) == "${steps.open.result.status}"
    assert "makes another path" in second["steps"][0]["problem"]
    assert not (docs.parent / "none").exists()


def test_ids_are_those_of_the_tasks(cli: Any, docs: Path) -> None:
    """The id that is told is the one that the ledger's entries then get, whoever stored them when."""
    home = docs.parent / "home"
    told = {each["id"] for each in rehearsed(cli, docs)}
    assert cli("recipes", "push", docs, "--home", home).code == 0
    from tests.e2e.test_cli import store

    store(home, "shop", [b"\n".join(json.dumps(each).encode() for each in LOG)])
    app = application(str(home))
    app.detector.detect(app.ledger.read("shop/0"))
    assert {task.id for task in app.tasks.listing()} == told


def test_ids_that_hang_on_the_ledger_are_not_told(cli: Any, docs: Path) -> None:
    """Without `dedup.by`, or with a window, an id hangs on where or when an entry is stored: none is told."""
    for change in ("", "dedup: {by: [user], within: 1h}"):
        (docs / "recipe.yml").write_text(RECIPE.replace("dedup: {by: [user]}", change))
        assert {each["id"] for each in rehearsed(cli, docs)} == {None}


def test_correlations_count_as_if_all_came_at_once(cli: Any, docs: Path) -> None:
    """A burst in a file is a burst, and its lines are those that were counted."""
    (docs / "burst.yml").write_text(BURST)
    (docs / "recipe.yml").write_text(RECIPE.replace("rule: failed", "rule: burst"))
    (only,) = rehearsed(cli, docs)
    assert (only["lines"], only["title"]) == ([1, 3], "Many failures")


def test_a_schedule_is_tried_by_its_next_times(cli: Any, docs: Path) -> None:
    """Of a recipe with a schedule the next times are told, in UTC, and what each would do."""
    step = '{id: a, uses: http.call, with: {url: "https://x.example.com/${cause.scheduled}"}}'
    text = f'id: n\non: {{schedule: {{cron: "30 2 * * *", timezone: Asia/Tokyo}}}}\nsteps: [{step}]\n'
    (docs / "night.yml").write_text(text)
    told = rehearsed(cli, docs, "night.yml")
    assert len({each["id"] for each in told}) == 5
    assert all(each["title"].endswith("T17:30:00Z") for each in told)
    assert told[0]["steps"][0]["plan"]["url"].endswith("T17%3A30%3A00Z")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "desk.example.com/users",
            "${entry.host}/users",
            "line 5: steps: open: url: an expression",
        ),
        ("{to: [out, hec]}", '{to: ["${entry.sink}"]}', "line 11: steps: say: to.0: takes no expression"),
        ("{to: [out, hec]}", "{to: [out], too: 1}", "line 11: steps: say: siem.send: too: Extra inputs"),
        (
            "steps.open",
            "steps.say2",
            "line 12: steps: link: ${steps.say2.result.status}: names",
        ),
        ("rule: failed", 'schedule: {cron: "0 3 * * *"}', "dedup: a schedule makes one task each time"),
        ("{rule: failed}\ndedup: {by: [user]}", "{schedule: {every: 5m}}", "a schedule has no entry"),
        ("{rule: failed}\ndedup: {by: [user]}", "{schedule: {every: 5m}}", "siem.send tells of entries"),
        ("{rule: failed}", "{schedule: {every: 5s}}", "on.schedule.every"),
        ("{rule: failed}", '{schedule: {cron: "61 * * * *"}}', "cron: minute"),
        ("{rule: failed}", '{schedule: {cron: "0 3 * * *", timezone: Mars}}', "IANA name"),
        ("{rule: failed}", "{rule: failed, schedule: {every: 5m}}", "either a rule or a schedule"),
    ],
)
def test_a_check_names_the_line_and_the_step(cli: Any, docs: Path, old: str, new: str, said: str) -> None:
    """What is wrong with a step is told with the line at which it begins, and what to change."""
    assert old in RECIPE
    (docs / "recipe.yml").write_text(RECIPE.replace(old, new, 1))
    done = cli("recipes", "check", docs, "--home", docs.parent / "none", "--json")
    assert done.code == 1
    assert any(said in each for each in done.error["problems"]), done.error["problems"]


def test_signed_documents_are_pushed_where_signatures_are_required(
    cli: Any, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsigned, nothing is pushed; signed by a known author it is, and the catalog keeps the envelope."""
    home, key = docs.parent / "home", docs.parent / "ann.pem"
    public = docs.parent / "ann.pub"
    public.write_text(cli("recipes", "keygen", "--key", key).out)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert cli("recipes", "keygen", "--key", key, "--home", home).code == 2  # no such option
    assert cli("recipes", "keygen", "--key", key).code == 1  # a key is never written over
    monkeypatch.setenv("SENTINEL_RECIPES_SIGNED", "required")
    refused = cli("recipes", "push", docs, "--home", home, "--json")
    assert refused.code == 1
    assert all("is not signed" in each for each in refused.error["problems"])
    assert len(cli("recipes", "sign", docs, "--key", key, "--json").json) == 3
    stranger = cli("recipes", "push", docs, "--home", home, "--json")
    assert stranger.code == 1
    assert all("no signature of an author" in each for each in stranger.error["problems"])
    assert cli("authors", "add", "ann", "--key", public, "--until", "2100-01-01", "--home", home).code == 0
    pushed = cli("recipes", "push", docs, "--home", home, "--json").json
    assert [(each["id"], each["author"]) for each in pushed] == [
        *(("failed", "ann"), ("sinks", "ann"), ("tell", "ann"))
    ]
    (stored,) = application(str(home)).catalog.active("recipe")
    assert stored.body == (docs / "recipe.yml.dsse.json").read_bytes()
    assert cli("recipes", "verify", docs, "--home", home).code == 0
    assert cli("recipes", "verify", docs, "--public-key", public).code == 0
    assert cli("authors", "remove", "ann", "--home", home).code == 0
    assert cli("recipes", "verify", docs, "--home", home).code == 1
    assert cli("authors", "ls", "--home", home, "--json").json == []


def test_a_signed_form_that_is_out_of_date_is_refused(cli: Any, docs: Path) -> None:
    """A text that was changed after it was signed is neither pushed as it was, nor as it is."""
    key = docs.parent / "k.pem"
    assert cli("recipes", "keygen", "--key", key).code == 0
    assert cli("recipes", "sign", docs, "--key", key).code == 0
    (docs / "recipe.yml").write_text(RECIPE + "# changed\n")
    done = cli("recipes", "push", docs, "--home", docs.parent / "home", "--json")
    assert done.code == 1
    (problem,) = [each for each in done.error["problems"] if "recipe.yml" in each]
    assert "sign it again" in problem
    assert cli("recipes", "sign", docs, "--key", key).code == 0
    assert cli("recipes", "push", docs, "--home", docs.parent / "home").code == 0


def test_a_private_key_that_others_can_read_signs_nothing(cli: Any, docs: Path) -> None:
    """A key file with loose rights, and one that is no Ed25519 key, are refused."""
    key = docs.parent / "k.pem"
    assert cli("recipes", "keygen", "--key", key).code == 0
    key.chmod(0o644)
    assert cli("recipes", "sign", docs, "--key", key).code == 1
    key.write_text("no key")
    key.chmod(0o600)
    assert cli("recipes", "sign", docs, "--key", key).code == 1
    assert not list(docs.glob("*.dsse.json"))
