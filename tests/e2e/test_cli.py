"""The `sentinel` command: what each subcommand prints, its JSON, its errors and its exit codes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import zstandard

from examples import check_trace
from sentinel import siem
from sentinel.actions.deliver_read import Reader
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.bootstrap import application
from sentinel.cli.main import run
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.rules import RuleSet
from sentinel.usecases.ingest import Origin
from tests.contracts.made_tasks import created
from tests.e2e.trees import ROOT, Tree, environment, sentinel, up


@dataclass
class Ran:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Standard error as one JSON value."""
        return json.loads(self.err)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command line in this process."""
    for name in list(os.environ):
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        return Ran(code, *capfd.readouterr())

    return call


def store(home: Path, service: str, batches: Sequence[bytes]) -> None:
    """Store batches without a server."""
    ingest = application(str(home)).ingest
    for body in batches:
        ingest.entries(Origin(service, "/v1/entries", uuid4().hex, encryption="store"), body, {})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a folder with two chains: `a/0` of three segments and `b/0` of one."""
    folder = tmp_path / "home"
    store(folder, "a", [b'{"n":1}\n{"n":2}', b'{"n":3}', b'{"n":4}'])
    store(folder, "b", [b'{"m":1}'])
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Run a tree."""
    with up(tmp_path_factory.mktemp("cli")) as running:
        yield running


def _spent_below() -> float:
    """Return the processor time of this process's ended children in seconds; other processes do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick_and_names_every_command() -> None:
    """`sentinel --help` imports nothing heavy, and takes at most 3.6 times what click alone takes.

    That is 150 ms of a processor on which click takes 42, however busy it is.
    """
    times, bare = [], []
    told = ""
    for _ in range(5):
        began = _spent_below()
        subprocess.run([sys.executable, "-c", "import click"], check=True, env=environment())
        bare.append(_spent_below() - began)
        began = _spent_below()
        done = subprocess.run(
            [sys.executable, "-m", "sentinel.cli.main", "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
        )
        times.append(_spent_below() - began)
        told = done.stdout
    for name in ("up", "ingest", "chains", "verify", "export", "tasks", "recipes", "rules"):
        assert f"\n  {name} " in told
    assert min(times) < 3.6 * min(bare)
    heavy = ("yaml", "pydantic", "redis", "botocore", "aiohttp", "sigma", "orjson")
    code = f"import sys, sentinel.cli.main; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_chains_lists_names_entries_and_heads(cli: Any, home: Path) -> None:
    """`chains --json` prints a list of objects with chain, entries and head; the table has the same."""
    listed = cli("chains", "--home", home, "--json").json
    assert [(each["chain"], each["entries"]) for each in listed] == [("a/0", 4), ("b/0", 1)]
    assert all(set(each) == {"chain", "entries", "head"} and len(each["head"]) == 64 for each in listed)
    shown = cli("chains", "--home", home)
    assert shown.code == 0
    assert listed[0]["head"] in shown.out
    assert "\x1b" not in shown.out


def test_verify_passes_whole_chains(cli: Any, home: Path) -> None:
    """Whole chains exit 0, with one object a chain in JSON."""
    done = cli("verify", "--home", home, "--json")
    assert done.code == 0
    assert [(each["chain"], each["verified"], each["segments"]) for each in done.json] == [
        ("a/0", True, 3),
        ("b/0", True, 1),
    ]
    assert [each["chain"] for each in cli("verify", "--home", home, "--chain", "b/0", "--json").json] == [
        "b/0"
    ]


@pytest.mark.parametrize(
    ("damage", "entry", "kind"),
    [
        ("UPDATE segments SET t = t + 1 WHERE chain = 'a/0' AND first = 2", 2, "hash"),
        ("DELETE FROM segments WHERE chain = 'a/0' AND first = 2", 2, "missing"),
        ("DELETE FROM segments WHERE chain = 'a/0' AND first = 0", 0, "missing"),
        ("UPDATE segments SET prev = zeroblob(32) WHERE chain = 'a/0' AND first = 3", 3, "link"),
        ("UPDATE segments SET t = 'noon' WHERE chain = 'a/0' AND first = 2", 2, "type"),
        ("UPDATE segments SET count = 1.5 WHERE chain = 'a/0' AND first = 3", 3, "type"),
        ("UPDATE segments SET head = 'x' WHERE chain = 'a/0' AND first = 3", 3, "hash"),
        ("UPDATE segments SET recent = 7 WHERE chain = 'a/0' AND first = 3", 3, "window"),
        ("UPDATE segments SET payload = 'text' WHERE chain = 'a/0' AND first = 2", 2, "payload"),
        (
            "UPDATE segments SET payload = CAST(payload AS TEXT) || '!' WHERE chain = 'a/0' AND first = 2",
            2,
            "payload",
        ),
    ],
)
def test_verify_names_the_damage(cli: Any, home: Path, damage: str, entry: int, kind: str) -> None:
    """A chain that was changed behind our back exits 1 and says where and how; the others are verified."""
    with sqlite3.connect(home / "ledger.db") as db:
        db.execute(damage)
    db.close()
    done = cli("verify", "--home", home, "--json")
    assert done.code == 1
    bad, good = done.json
    assert (bad["chain"], bad["verified"], bad["entry"], bad["kind"]) == ("a/0", False, entry, kind)
    assert good["verified"] is True
    shown = cli("verify", "--home", home)
    assert shown.code == 1
    assert "damaged" in shown.out
    assert cli("chains", "--home", home).code in {0, 1}
    assert cli("export", "--chain", "a/0", "--home", home).code in {0, 1}


def test_verify_against_finds_cut_and_lost_and_rewritten_chains(cli: Any, home: Path, tmp_path: Path) -> None:
    """Heads that were written down find what hashes alone cannot: a cut end, a lost chain, a new history."""
    heads = tmp_path / "heads.json"
    heads.write_text(cli("chains", "--home", home, "--json").out)
    store(home, "a", [b'{"n":5}'])
    assert cli("verify", "--home", home, "--against", heads).code == 0
    with sqlite3.connect(home / "ledger.db") as db:
        db.execute("DELETE FROM segments WHERE chain = 'a/0' AND first >= 3")
        db.execute("DELETE FROM segments WHERE chain = 'b/0'")
    db.close()
    assert cli("verify", "--home", home).code == 0
    done = cli("verify", "--home", home, "--against", heads, "--json")
    assert done.code == 1
    assert [(each["chain"], each["kind"]) for each in done.json] == [("a/0", "cut"), ("b/0", "cut")]
    store(home, "b", [b'{"m":"another"}'])
    found = cli("verify", "--home", home, "--against", heads, "--json").json
    assert [each.get("kind") for each in found if each["chain"] == "b/0"] == ["rewritten"]
    heads.write_text("{}[")
    assert cli("verify", "--home", home, "--against", heads).code == 2


def test_a_file_that_is_no_database_is_damage(cli: Any, home: Path) -> None:
    """A ledger that was overwritten is told in two lines with exit code 1, without a traceback."""
    for path in home.glob("ledger.db*"):
        path.write_bytes(b"not a database at all" * 1000)
    done = cli("verify", "--home", home)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


def test_export_is_one_segment_a_line(cli: Any, home: Path) -> None:
    """An export has the documented keys and verifies with nothing but hashlib."""
    done = cli("export", "--home", home, "--chain", "a/0")
    lines = [json.loads(line) for line in done.out.splitlines()]
    keys = ["chain", "first", "count", "prev", "head", "t", "nonce", "context", "entries"]
    assert [list(line) for line in lines] == [keys] * 3
    assert lines[0]["entries"] == ['{"n":1}', '{"n":2}']
    check = [sys.executable, "-m", "examples.check_export"]
    whole = subprocess.run(check, input=done.out.encode(), capture_output=True, cwd=ROOT, check=False)
    assert whole.returncode == 0, whole.stderr
    nothing = subprocess.run(check, input=b"", capture_output=True, cwd=ROOT, check=False)
    assert (nothing.returncode, nothing.stdout) == (1, b"")
    bent = done.out.replace('{\\"n\\":3}', '{\\"n\\":9}')
    assert bent != done.out
    assert (
        subprocess.run(check, input=bent.encode(), capture_output=True, cwd=ROOT, check=False).returncode == 1
    )


def test_an_event_of_a_delivery_is_found_in_an_export_by_hashlib_alone(cli: Any, home: Path) -> None:
    """The id that a SIEM has leads to the entry, offline and in a trace; of another one that is said."""
    app = application(str(home))
    plan = DeliveryPlan.model_validate({"to": "any", "since": "beginning"})
    sink = siem.make(siem.load("s", b"sinks: {any: {kind: file, path: a.ndjson}}")["any"])
    reader = Reader(app.ledger, plan, sink, lambda: RuleSet(()), lambda: 0)
    events = [each for segment in app.ledger.read("a/0", 0) for each in reader.events(segment, 0)]
    export = cli("export", "--home", home, "--chain", "a/0").out.encode()
    entries = [entry for line in export.splitlines() for entry in json.loads(line)["entries"]]
    ids = [event.item.id for event in events]
    check = [sys.executable, "-m", "examples.check_export", *ids]
    done = subprocess.run(check, input=export, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[1:] == [
        f"found: {name} is entry {seq}: {entries[seq]}" for seq, name in enumerate(ids)
    ]
    other = [*check[:3], "0" * 64, ids[1]]
    done = subprocess.run(other, input=export, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert f"not here: {'0' * 64}" in done.stdout.decode()
    traced = cli("trace", "a/0:1", "--home", home, "--json").json
    assert [each["hash"] for each in traced["entries"]] == [ids[1]]
    assert check_trace.check(traced)
    traced["entries"][0]["hash"] = ids[0]
    with pytest.raises(check_trace.Broken, match="another hash"):
        check_trace.check(traced)
    assert ids[1] in cli("trace", "a/0:1", "--home", home).out
    assert "sentinel trace CHAIN:SEQ" in cli("trace", ids[1], "--home", home).err


def test_export_into_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """`sentinel export | head` says nothing about the pipe."""
    store(tmp_path, "a", [b'{"n":"%s"}' % os.urandom(20_000).hex().encode() for _ in range(30)])
    command = [sys.executable, "-m", "sentinel.cli.main", "export", "--chain", "a/0", "--home", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("chains", "--home", "{none}"), 3, "Unavailable"),
        (("verify", "--home", "{none}"), 3, "Unavailable"),
        (("tasks", "--home", "{none}"), 3, "Unavailable"),
        (("export", "--chain", "x/0", "--home", "{none}"), 3, "Unavailable"),
        (("export", "--chain", "x/0", "--home", "{home}"), 1, "Missing"),
        (("verify", "--chain", "x/0", "--home", "{home}"), 1, "Missing"),
        (("tasks", "show", "nope", "--home", "{home}"), 1, "Missing"),
        (("tasks", "--state", "dancing", "--home", "{home}"), 2, "Usage"),
        (("ingest", "{home}/none", "--service", "a", "--home", "{home}"), 2, "Usage"),
        (("ingest", "{file}", "--service", "a/b", "--home", "{home}"), 1, "Malformed"),
        (("ingest", "{file}", "--service", "a", "--url", "ftp://x", "--home", "{home}"), 1, "Malformed"),
        (("ingest", "{file}", "--service", "a", "--url", "http://x:y", "--home", "{home}"), 1, "Malformed"),
        (("ingest", "{file}", "--service", "a", "--url", "http://[x", "--home", "{home}"), 1, "Malformed"),
        (("up", "--port", "70000", "--home", "{home}"), 2, "Usage"),
        (("up", "--port", "0", "--home", "{file}"), 3, "FileExistsError"),
        (("up", "--port", "0", "--home", "{file}/below"), 3, "NotADirectoryError"),
        (("ingest", "{file}", "--home", "{home}"), 2, "Usage"),
        (("export", "--home", "{home}"), 2, "Usage"),
        (("dance",), 2, "Usage"),
        (("chains", "--nonsense"), 2, "Usage"),
        (("recipes", "check", "{file}", "--home", "{home}"), 1, "Malformed"),
    ],
)
def test_errors_are_two_lines_or_one_json_object(
    cli: Any, home: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    """Every expected error says what is wrong and what to do, has its exit code, and is JSON with --json."""
    file = tmp_path / "file.log"
    file.write_text("- hello\n")
    names = {"none": tmp_path / "none", "home": home, "file": file}
    line = [each.format(**names) for each in arguments]
    plain = cli(*line)
    assert plain.code == code, plain.err
    assert plain.err.startswith("error: ")
    assert "Traceback" not in plain.err
    assert plain.out == ""
    told = cli(*line, "--json")
    assert (told.code, told.error["error"], told.error["code"]) == (code, kind, code)
    assert told.error["message"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("group", [(), ("recipes",), ("rules",)])
def test_no_command_shows_the_help(cli: Any, group: tuple[str, ...]) -> None:
    """A group without its command tells what commands there are, as people can read it."""
    done = cli(*group)
    assert done.code == 2
    assert "\nCommands:\n" in done.err
    assert "\\x0a" not in done.err


def test_a_full_disk_is_said_plainly(home: Path) -> None:
    """What cannot be written ends in two lines and exit code 3."""
    command = [sys.executable, "-m", "sentinel.cli.main", "export", "--chain", "a/0", "--home", str(home)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment(), check=False)
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("region", ["", "eu-central-1"])
def test_aws_that_cannot_be_used_is_said_plainly(home: Path, region: str) -> None:
    """Without a region or credentials the tables cannot be asked: two lines, exit code 3."""
    tables = {f"SENTINEL_{name}_TABLE": "none" for name in ("LEDGER", "TASKS", "CATALOG", "COUNTERS")}
    told = {name: value for name, value in environment(**tables).items() if not name.startswith("AWS_")}
    told |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(home)}
    told |= {"AWS_DEFAULT_REGION": region} if region else {}
    command = [sys.executable, "-m", "sentinel.cli.main", "chains"]
    done = subprocess.run(command, capture_output=True, env=told, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(b"error: AWS: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOG_LEVEL", "LOUD"), ("REDIS_URL", "http://secret@x"), ("LANES", "0"), ("LANES", "many")],
)
def test_a_setting_that_is_wrong_is_named(
    cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A bad value stops every command before anything is started, by the setting's name."""
    monkeypatch.setenv(f"SENTINEL_{name}", value)
    done = cli("chains", "--home", home)
    assert done.code == 1
    assert f"SENTINEL_{name}" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [("PROXY", "desk=http://10.0.0.1"), ("PROXY", "desk"), ("OIDC_ISSUERS", "http://id.example.com=us")],
)
def test_a_list_among_the_settings_is_read_before_anything_starts(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """`up` names the setting to whoever can mend it, and leaves it to no sender to find out."""
    monkeypatch.setenv(f"SENTINEL_{name}", value)
    done = cli("up", "--port", "0", "--home", tmp_path / "home")
    assert done.code == 1
    assert f"SENTINEL_{name}" in done.err
    assert not (tmp_path / "home").exists()


RULE = """
title: Too many {n}
id: 6f2f3a53-5d2c-4c35-9b0e-0f5c6f5f1dfe
logsource: {{product: test}}
detection: {{sel: {{n|gte: {n}}}, condition: sel}}
"""
RECIPE = """
id: tell
on: {rule: Too many 3}
steps:
  - {id: tell, uses: siem.send, with: {to: [file]}}
"""
SINKS = "sinks: {file: {kind: file, path: a.ndjson}}"
STEP = "{id: tell, uses: siem.send, with: {to: [file]}}"
CONTAIN = """{id: ask, uses: approval, with: {by: [ann], within: 1h}}
  - {id: contain, uses: falcon.contain_host, with: {account: edr, host: 0123456789abcdef0123456789abcdef}}"""


def _documents(folder: Path, **bodies: str) -> Path:
    folder.mkdir()
    for name, body in bodies.items():
        (folder / f"{name}.yaml").write_text(body)
    return folder


def test_documents_are_told_apart_checked_and_pushed(cli: Any, home: Path, tmp_path: Path) -> None:
    """A folder of rules, sinks and recipes is pushed by one command; pushing it again changes nothing."""
    folder = _documents(tmp_path / "docs", rule=RULE.format(n=3), recipe=RECIPE, sinks=SINKS)
    checked = cli("recipes", "check", folder, "--home", home, "--json")
    assert {each["kind"] for each in checked.json} == {"rule", "recipe", "sink"}
    assert application(str(home)).catalog.active("recipe") == []
    for _ in range(2):
        pushed = cli("recipes", "push", folder, "--home", home, "--json").json
        assert [(each["kind"], each["version"]) for each in pushed] == [
            ("rule", 1),
            ("sink", 1),
            ("recipe", 1),
        ]
    (folder / "rule.yaml").write_text(RULE.format(n=4).replace("many 4", "many 3"))
    pushed = cli("recipes", "push", folder / "rule.yaml", "--home", home, "--json").json
    assert [(each["id"], each["version"]) for each in pushed] == [("6f2f3a53-5d2c-4c35-9b0e-0f5c6f5f1dfe", 2)]
    # What is in the catalog counts: the recipe alone is fine now.
    assert cli("recipes", "check", folder / "recipe.yaml", "--home", home).code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("recipe", "Too many 3", "Too few"), "no rule 'Too few'"),
        (("recipe", "siem.send", "siem.shout"), "no action 'siem.shout'"),
        (("recipe", "[file]", "[elsewhere]"), "no sink 'elsewhere'"),
        (("recipe", "to:", "two:"), "siem.send"),
        (("recipe", "siem.send, with: {to: [file]", "alert.reply, with: {to: file"), "no account 'file'"),
        (("recipe", STEP, CONTAIN), "no account 'edr'"),
        (("sinks", "sinks:", "accounts:"), "kind is one of"),
        (("recipe", "id: tell\non", "id: tell\nwhen: now\non"), "when"),
        (("rule", "n|gte", "n|dances"), "dances"),
        (("sinks", "kind: file", "kind: drawer"), "kind is one of"),
        (("recipe", "steps:", "steps: ["), "not YAML"),
    ],
)
def test_a_bad_document_stops_the_push(
    cli: Any, home: Path, tmp_path: Path, change: tuple[str, str, str], said: str
) -> None:
    """One bad document: nothing is pushed, exit code 1, and the message names the file and what to change."""
    bodies = {"rule": RULE.format(n=3), "recipe": RECIPE, "sinks": SINKS}
    name, old, new = change
    assert old in bodies[name]
    bodies[name] = bodies[name].replace(old, new, 1)
    folder = _documents(tmp_path / "docs", **bodies)
    done = cli("recipes", "push", folder, "--home", home, "--json")
    assert done.code == 1
    assert any(said in problem and f"{name}.yaml" in problem for problem in done.error["problems"])
    catalog = application(str(home)).catalog
    assert [catalog.active(kind) for kind in ("rule", "recipe", "sink")] == [[], [], []]


def test_the_examples_documents_are_good(cli: Any, tmp_path: Path) -> None:
    """The rules, recipes and sinks in `examples/` pass the check, on a machine without any data."""
    paths = [ROOT / "examples" / name for name in ("rules", "recipes", "sinks.yaml")]
    assert cli("recipes", "check", *paths, "--home", tmp_path / "none").code == 0
    assert not (tmp_path / "none").exists()


def test_rules_test_counts_matches(cli: Any, tmp_path: Path) -> None:
    """`rules test` says how many lines each rule matches, and which."""
    (tmp_path / "rule.yml").write_text(RULE.format(n=3))
    log = tmp_path / "log"
    log.write_text('{"n":1}\n\n{"n":3}\nplain text\n{"n":5}\n')
    found = cli("rules", "test", tmp_path / "rule.yml", "--input", log, "--json").json
    assert (found["lines"], found["matched"]) == (4, 2)
    assert [(each["matched"], each["lines"]) for each in found["rules"]] == [(2, [3, 5])]
    assert "2 of 4 lines match" in cli("rules", "test", tmp_path, "--input", log).out
    examples = cli("rules", "test", ROOT / "examples" / "rules", "--input", log)
    assert "not tried" in examples.out
    assert "Many failed logins" in examples.out


def test_rules_that_are_refused_are_told_as_people_read(cli: Any, tmp_path: Path) -> None:
    """Each file that is not taken is one line with its reason, and no dump of an object."""
    (tmp_path / "a.yml").write_text(RULE.format(n=3).replace("n|gte", "n|dances"))
    (tmp_path / "b.yml").write_text("just text")
    done = cli("rules", "test", tmp_path, "--input", tmp_path / "a.yml")
    assert done.code == 1
    assert "b.yml: document 1: a rule must be a map\n" in done.err
    assert "{" not in done.err


def test_ingest_stores_each_line_once_however_often_it_runs(cli: Any, tree: Tree, tmp_path: Path) -> None:
    """A text log becomes entries with their source and line; a second run stores nothing; growth is added."""
    log = tmp_path / "app.log"
    log.write_bytes(b"first\r\n\nthird \xff\n" + b"x" * 70_000 + b"\n")
    line = ("ingest", log, "--service", "text", "--home", tree.home)
    told = cli(*line, "--json").json
    assert (told["entries"], told["sent"], told["blank"], told["chain"]) == (11, 11, 1, "text/0")
    assert cli(*line, "--json").json["sent"] == 0
    with log.open("ab") as file:
        file.write(b"more\n")
    grown = cli(*line, "--json").json
    assert (grown["entries"], grown["sent"]) == (12, 1)
    (tmp_path / "link.log").symlink_to(log)
    for same in (tmp_path / "link.log", tmp_path / ".." / tmp_path.name / "app.log"):
        again = ("ingest", same, "--service", "text", "--home", tree.home, "--json")
        assert cli(*again).json["sent"] == 0
    done = cli("export", "--chain", "text/0", "--home", tree.home)
    found = [json.loads(each) for line in done.out.splitlines() for each in json.loads(line)["entries"]]
    assert found[0] == {"message": "first", "source": "app.log", "line": 1}
    assert found[1] == {"message": "third \ufffd", "raw_b64": "dGhpcmQg/w==", "source": "app.log", "line": 3}
    assert "".join(each["message"] for each in found[2:11]) == "x" * 70_000
    assert [(each["line"], each["part"], each["parts"]) for each in found[2:11]] == [
        (4, part, 9) for part in range(1, 10)
    ]
    assert found[11:] == [{"message": "more", "source": "app.log", "line": 5}]


def test_ingest_sends_ndjson_byte_for_byte_and_reports_refused_lines(
    cli: Any, tree: Tree, tmp_path: Path
) -> None:
    """Good lines are stored as they are; bad ones are reported by their numbers, and the exit code is 1."""
    good = [b'{"n": %d , "x":1.0}' % number for number in range(1200)]
    lines = [*good[:30], b"oops", *good[30:], b'{"big":"%s"}' % (b"x" * 70_000)]
    log = tmp_path / "app.ndjson"
    log.write_bytes(b"\n".join(lines))
    done = cli("ingest", log, "--service", "nd", "--home", tree.home, "--json")
    assert done.code == 1
    assert (done.json["entries"], done.json["refused"]) == (1200, 2)
    assert [each["line"] for each in done.json["problems"]] == [31, 1202]
    exported = cli("export", "--chain", "nd/0", "--home", tree.home)
    stored = [each.encode() for line in exported.out.splitlines() for each in json.loads(line)["entries"]]
    assert stored == good
    again = cli("ingest", log, "--service", "nd", "--home", tree.home)
    assert again.code == 1
    assert cli("chains", "--home", tree.home, "--json").code == 0


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_compressed_log_is_refused(cli: Any, tree: Tree, tmp_path: Path, pack: Any) -> None:
    """Compressed bytes are no log: they are named, and how to unpack them; nothing is stored."""
    log = tmp_path / "packed.log"
    log.write_bytes(pack(b"one\ntwo\n"))
    done = cli("ingest", log, "--service", "packed", "--home", tree.home, "--json")
    assert (done.code, done.error["error"]) == (2, "Malformed")
    assert "| sentinel ingest -" in done.error["hint"]
    assert not [
        each for each in cli("chains", "--home", tree.home, "--json").json if "packed" in each["chain"]
    ]


def test_two_runs_may_store_the_same_log_at_once(tree: Tree, tmp_path: Path) -> None:
    """Runs side by side store each line once, and none of them stumbles over the other's bookmark."""
    log = tmp_path / "same.log"
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    command = [sys.executable, "-m", "sentinel.cli.main", "ingest", str(log), "--service", "side"]
    runs = [
        subprocess.Popen([*command, "--home", str(tree.home)], stdout=subprocess.PIPE, env=environment())
        for _ in range(3)
    ]
    assert [(run.communicate(timeout=60)[0][:14], run.returncode) for run in runs] == [
        (b"20,000 entries", 0)
    ] * 3
    assert application(str(tree.home)).inspect.head("side/0").entries == 20_000


def test_a_lost_bookmark_is_made_good_by_batch_ids(cli: Any, tree: Tree, tmp_path: Path) -> None:
    """Without its bookmark a repeated run sends everything again, and nothing is stored twice."""
    log = tmp_path / "twice.log"
    log.write_text("".join(f"line {number % 7}\n" for number in range(1500)))
    line = ("ingest", log, "--service", "twice", "--home", tree.home, "--json")
    first = cli(*line).json
    for path in (tree.home / "ingest").iterdir():
        path.unlink()
    assert cli(*line).json["head"] == first["head"]
    [chain] = [
        each for each in cli("chains", "--home", tree.home, "--json").json if each["chain"] == "twice/0"
    ]
    assert chain["entries"] == 1500


def test_standard_input_is_stored_as_it_comes(tree: Tree) -> None:
    """A pipe that falls silent is flushed within about a second, not held until a batch is full."""
    command = [sys.executable, "-m", "sentinel.cli.main", "ingest", "-", "--service", "piped", "--json"]
    with subprocess.Popen(
        [*command, "--home", str(tree.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"one\ntwo\nthr")
        process.stdin.flush()
        end = time.monotonic() + 60  # it is held for ever, or for about a second
        while not (stored := _entries_of(tree, "piped/0")) and time.monotonic() < end:
            time.sleep(0.1)
        assert stored == 2
        process.stdin.write(b"ee\n")
        process.stdin.close()
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["entries"] == 3


def _entries_of(tree: Tree, chain: str) -> int:
    heads = json.loads(sentinel("chains", "--json", home=tree.home).stdout)
    return next((each["entries"] for each in heads if each["chain"] == chain), 0)


def test_nobody_there_is_exit_code_3(cli: Any, tmp_path: Path) -> None:
    """A gateway that does not answer is said with how far it got, and how to start one."""
    log = tmp_path / "a.log"
    log.write_text("hello\n")
    done = cli(
        "ingest", log, "--service", "a", "--url", "http://127.0.0.1:9", "--patience", 0.3, "--home", tmp_path
    )
    assert done.code == 3
    assert "sentinel up" in done.err
    assert "0 entries stored" in done.err


class _Moody(BaseHTTPRequestHandler):
    """Answers 429, 503, a cut connection, then 200; keeps the batch ids that came."""

    seen: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.headers["Sentinel-Batch-Id"])
        mood = len(self.seen)
        if mood == 3:
            self.close_connection = True
            return
        body = b'{"chain":"a/0","first":0,"count":1,"head":"00","t":1,"batch_id":"00"}' if mood > 3 else b"{}"
        self.send_response(200 if mood > 3 else {1: 429, 2: 503}[mood])
        self.send_header("Retry-After", "0.2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Say nothing."""


def test_what_may_pass_is_tried_again_under_the_same_batch_id(cli: Any, tmp_path: Path) -> None:
    """429, 503 and a lost connection are tried again after `Retry-After`, always as the same batch."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Moody)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    log = tmp_path / "a.log"
    log.write_text("hello\n")
    began = time.monotonic()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        done = cli("ingest", log, "--service", "a", "--url", url, "--home", tmp_path, "--json")
    finally:
        server.shutdown()
        server.server_close()
    assert done.json["entries"] == 1
    assert len(_Moody.seen) == 4
    assert len(set(_Moody.seen)) == 1
    assert time.monotonic() - began >= 0.4


def test_tasks_are_listed_and_shown(cli: Any, home: Path) -> None:
    """An empty list is an empty list, in both forms; a task is told with its lineage."""
    assert cli("tasks", "--home", home, "--json").json == []
    assert cli("tasks", "--home", home).code == 0
    SqliteTasks(home / "tasks.db").create(*created("one"))
    assert [each["id"] for each in cli("tasks", "--home", home, "--json").json] == ["one"]
    assert [each["event"] for each in cli("tasks", "show", "one", "--home", home, "--json").json["lineage"]]
    assert "created" in cli("tasks", "show", "one", "--home", home).out


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET entry = replace(CAST(entry AS TEXT), 'created', 'deleted')",
        "UPDATE events SET entry = 'text', nonce = 'text', head = 'text'",
        "UPDATE events SET t = -1",
        "UPDATE events SET t = 'noon'",
        "DELETE FROM events",
        "UPDATE tasks SET body = x'00'",
        "UPDATE tasks SET body = '{}'",
    ],
)
def test_a_task_that_was_changed_is_damage(cli: Any, home: Path, damage: str) -> None:
    """A task whose row or lineage somebody changed is told as tampered, without a traceback."""
    SqliteTasks(home / "tasks.db").create(*created("one"))
    with sqlite3.connect(home / "tasks.db") as db:
        db.execute(damage)
    db.close()
    done = cli("tasks", "show", "one", "--home", home, "--json")
    assert (done.code, done.error["error"]) == (1, "Tampered")
