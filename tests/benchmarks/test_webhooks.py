"""The benchmark of webhooks: what it takes for right, for stopped and for sent once; a short run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import webhooks, webhooks_bodies, webhooks_load, webhooks_sns
from benchmarks.webhooks_attacks import ATTACKS, Tally, Try, attacked, remembered, tallied
from benchmarks.webhooks_bodies import Body, Told, bodies, files, fits, why_not
from benchmarks.webhooks_ways import Way, ways
from benchmarks.webhooks_world import World
from sentinel.webhooks import SOURCES
from tests.data import need
from tests.webhooks.senders import NOW, SENDERS, first

ALERT = {"title": "Disk full", "severity": "error", "status": "firing", "fingerprint": "disk-7"}
USUAL = {way.source: way for way in reversed(list(ways()))}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A deployment without webhooks."""
    return World(tmp_path / "world")


def test_every_file_is_looked_at() -> None:
    """Each is a webhook with a meaning or is left out with a reason, and nothing is both."""
    need("webhooks")
    known = {body.file for body in bodies()}
    left_out = {file for file in files() if why_not(file)}
    assert known | left_out == set(files())
    assert not known & left_out


def test_all_real_bodies_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is sealed is what their senders mean, and each file that is no webhook is printed."""
    need("webhooks")
    figures = webhooks_bodies.measured(tmp_path / "world")
    assert (figures["correct_percent"], figures["webhooks"] + figures["left_out"]) == (100, figures["files"])
    assert capsys.readouterr().out.count("no webhook: ") == figures["left_out"]


@pytest.mark.parametrize(
    ("means", "right"),
    [
        (("Disk full", "error", "firing", "disk-7"), True),
        (("Disk full", "error", "firing", ""), True),
        (("Disk", "error", "firing", "disk-7"), False),
        (("Disk full", "critical", "firing", "disk-7"), False),
        (("Disk full", "error", "resolved", "disk-7"), False),
        (("Disk full", "error", "firing", "disk-8"), False),
    ],
)
def test_what_counts_as_the_alert_that_is_meant(means: Told, right: bool) -> None:
    """Title, severity and status, and the fingerprint where the sender has one."""
    assert fits(ALERT, means) is right
    assert not fits({**ALERT, "fingerprint": ""}, means)


@pytest.mark.parametrize("wrong", ["title", "none", "two", "parked"])
def test_a_body_that_is_read_wrong_counts_as_wrong(
    world: World, wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another alert than it means, too many, too few, and none that is understood."""
    monkeypatch.setattr(webhooks_bodies, "FOLDER", tmp_path)
    (tmp_path / "splunk").mkdir()
    (tmp_path / "splunk" / "a.json").write_bytes(b"[]" if wrong == "parked" else first("splunk"))
    alert = SOURCES["splunk"].make({}).alerts({}, first("splunk"))[0]
    good: Told = (alert.title, alert.severity.value, alert.status.value, alert.fingerprint)
    means = {"title": [("x", *good[1:])], "none": [], "two": [good, good], "parked": []}[wrong]
    assert not webhooks_bodies.correct(world, Body("splunk/a.json", "splunk", {}, means))
    if wrong != "parked":
        body = Body("splunk/a.json", "splunk", {}, [good])
        assert webhooks_bodies.correct(World(tmp_path / "again"), body)


def test_every_source_and_option_of_proof_is_attacked() -> None:
    """All sources, and each option that says how a sender proves itself, with each value that it names."""
    there = {*(way.source for way in ways()), "sns"}
    assert there == set(SOURCES)
    used: dict[str, set[str]] = {}
    for way in ways():
        used.setdefault(way.source, set()).update(way.sender.options)
    proof = {
        *("auth", "header", "user", "signature_header", "timestamp_header", "signed", "encoding", "prefix"),
        *("algorithm", "tolerance", "order", "secondary_header"),
    }
    for source, names in used.items():
        optional = set(SOURCES[source].options) & proof
        # What is usual has to be asked for nowhere: a secret that is shown where nobody signs.
        assert names >= optional - {"auth"}, source
    assert {way.sender.options.get("algorithm") for way in ways()} >= {"sha256", "sha384", "sha512"}


@pytest.mark.parametrize("source", USUAL)
def test_attacks_on_a_source_are_stopped(world: World, source: str) -> None:
    """One way of each source: nothing passes, every attack tries something."""
    found = tallied(world, USUAL[source])
    for name, tally in found.items():
        assert tally.stopped + tally.other == tally.tries, name
        assert bool(tally.tries) is (name != "stale time" or USUAL[source].sender.dated), name
        assert not tally.other or (name == "altered body" and not USUAL[source].sender.covers)
    # An hour later it is recognised all the same, or refused where a time is signed.
    assert found["replayed body"].refused == (1 if USUAL[source].sender.dated else 0)
    assert found["wrong secret"].refused == found["wrong secret"].tries


@pytest.mark.parametrize(("source", "kept"), [("standard-webhooks", True), ("sentry", False)])
def test_what_a_chain_forgets_is_said(world: World, source: str, kept: bool) -> None:
    """After 64 further messages a replay is stored again, unless the sender signs a time."""
    assert remembered(world, USUAL[source]) is kept


@pytest.mark.parametrize("version", ["1", "2"])
def test_attacks_on_sns_are_stopped(world: World, version: str) -> None:
    """Both versions of its signature."""
    found = webhooks_sns.tallied(world, version)
    assert set(found) == set(ATTACKS)
    assert all(tally.stopped == tally.tries > 0 for tally in found.values())


def test_what_passes_is_seen(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A try that is taken is not stopped, and nothing of its attack counts where the chain grew by it."""
    way = next(way for way in ways() if (way.source, way.name) == ("datadog", "secret in Bearer"))
    world.add("open", way.source, {}, way.sender.secret)
    lines = tuple(way.sender.sign(b"{}", way.sender.secret, NOW).items())
    tries: Mapping[str, list[Try]] = {"wrong secret": [Try(lines, b'{"other": 1}'), Try((), b"{}")]}
    found = attacked(world, way.source, "open", lines, b"{}", tries, covers=False)
    assert found["wrong secret"] == Tally(tries=2)
    assert "THE CHAIN GREW" in capsys.readouterr().out
    figures = webhooks.figures_of({way.source: found})
    assert figures["stopped_percent"] == 0


def test_a_genuine_message_that_is_refused_ends_the_run(world: World) -> None:
    """A receiver that refuses everything would stop every attack."""
    way = next(way for way in ways() if way.source == "sentry")
    broken = replace(way.sender, sign=lambda body, secret, now: {})
    with pytest.raises(SystemExit, match="the genuine message is refused"):
        tallied(world, Way(way.source, "broken", broken))


def test_the_table_says_what_nobody_signs(capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped of tried; what cannot be stopped stands beside, and what was not tried is a dash."""
    row = {name: Tally(4, 3, 1) for name in ATTACKS}
    row |= {"altered body": Tally(5, 2, 0, 3), "stale time": Tally()}
    webhooks.show({"splunk": row})
    cells = capsys.readouterr().out.splitlines()[1]
    assert "4 of 4" in cells
    assert "2 of 2 +3" in cells
    assert cells.split()[-1] == "-"


def test_no_message_of_the_load_is_sent_twice() -> None:
    """Two rounds of numbers: each message has an id of its own at its webhook, and is still understood."""
    need("webhooks")
    told = webhooks_load.messages(0, 150)
    seen = set()
    for message in told:
        _, _, source, hook = message.path.split("/")
        options = {"mapping": hook.partition("-")[2]} if source == "generic" else {}
        made = SOURCES[source].make(options)
        lower = {name.lower(): value for name, value in message.headers.items()}
        made.verify(lower, message.body, [SENDERS[source][0].secret], int(time.time()))
        made.alerts(lower, message.body)
        seen.add((hook, made.message(lower, message.body)))
    assert len(seen) == len(told) == 150


def test_a_target_needs_its_figure() -> None:
    """Parts that are left out have no targets."""
    assert webhooks.targets_of({"stopped_percent": 100.0}) == {"stopped_percent": {"at_least": 100}}


@pytest.mark.nightly
@pytest.mark.slow
def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A real tree under load for some seconds: every message is answered with 200 and stored."""
    need("webhooks")
    webhooks.main(["--json", "--only", "answers", "--seconds", "2"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert figures["answered_and_not_stored"] == 0
    assert figures["answer_failures"] == figures["kept_connections_failures"] == 0
    assert 0 < figures["answer_p50_ms"] <= figures["answer_p99_ms"] <= figures["answer_max_ms"]
