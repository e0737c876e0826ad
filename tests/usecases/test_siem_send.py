"""siem.send end to end: real HTTP to a collector that refuses what Splunk refuses, real files and secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from examples.loopback_hec import Collector, Refusal, Server
from sentinel import actions, siem
from sentinel.actions.siem_send import BUDGET, PARKED
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.steps import Action, Again, Done, Failed, Nothing, Outcome, Probing, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import FileAppend
from sentinel.siem.sink import SinkConfig
from tests.loopback import nobody
from tests.steps import step_run

TOKEN = "canary-4f6d1c"


class Deployment:
    """What siem.send works with, as `bootstrap` would wire it; `slept` and `now` are the injected time."""

    def __init__(self, folder: Path, hec: Server) -> None:
        self.folder = folder
        self.hec = hec
        self.slept: list[float] = []
        self.now = 0
        self.tick = 0
        self.sinks: dict[str, SinkConfig] = {}
        (folder / "secrets").mkdir()
        self.secret("hec-token", TOKEN)
        self.http = HttpClient(Hosts(["127.0.0.1"], private=True))
        self.files = AppendFiles(folder / "files")
        self.configure()

    def secret(self, name: str, value: str) -> None:
        """Store a secret."""
        path = self.folder / "secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def configure(self, **splunk: str) -> None:
        """Push the sink document, with changes to the collector's part."""
        told = {"kind": "splunk", "url": self.hec.url, "token": "hec-token", "timeout": "2", **splunk}
        body = {"sinks": {"splunk": told, "file": {"kind": "file", "path": "a.ndjson"}}}
        self.sinks = siem.load("sinks", json.dumps(body).encode())

    @property
    def action(self) -> Action:
        """The action as `bootstrap` gets it."""
        return actions.build(
            self.http,
            self.files,
            FileSecrets(self.folder / "secrets"),
            lambda: self.sinks,
            clock=self.clock,
            sleep=self.slept.append,
        )["siem.send"]

    def clock(self) -> int:
        """Tell the time, which goes on by `tick` with each look."""
        self.now += self.tick
        return self.now

    def send(self, *to: str, entries: list[bytes] | None = None, **more: Any) -> Outcome:
        """Carry the step out; no outcome may hold the token."""
        inputs = {"to": list(to), **more.pop("inputs", {})}
        found = self.action.perform(step_run("siem.send", inputs, entries, **more))
        assert TOKEN not in repr(found)
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the file sink."""
        path = self.folder / "files" / "a.ndjson"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the collector took."""
        return self.hec.collector.events

    @property
    def ids(self) -> list[str]:
        """The ids of what the collector took, in order."""
        return [each["fields"]["sentinel_event_id"] for each in self.events]


@pytest.fixture
def hec() -> Iterator[Server]:
    """Serve a collector on this machine."""
    server = Server(Collector(TOKEN))
    server.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def it(
    tmp_path: Path, hec: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Deployment]:
    """Give a deployment; afterwards no log line and no output may hold its token."""
    caplog.set_level(logging.DEBUG)
    found = Deployment(tmp_path, hec)
    yield found
    found.http.close()
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())


def test_every_entry_reaches_every_sink_once(it: Deployment) -> None:
    """Three entries and two sinks: three events and three lines, with the same ids, and the step is done."""
    assert it.send("splunk", "file") == Done({"delivered": 6, "sinks": ["splunk", "file"]})
    assert [each["event"] for each in it.events] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [each["entry"] for each in it.lines] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert it.ids == [each["id"] for each in it.lines]
    assert it.events[0]["time"] == 1_732_435_200.123
    assert it.events[0]["fields"]["sentinel_seq"] == "0"
    assert it.events[0]["fields"]["sentinel_level"] == "high"


def test_only_places_are_told_where_the_step_says_so(it: Deployment) -> None:
    """`include: place` sends no content."""
    it.send("splunk", "file", entries=[b'{"secret":1}'], inputs={"include": "place"})
    assert "secret" not in str(it.events) + str(it.lines)
    assert it.events[0]["event"]["sentinel_chain"] == "checkout/0"


@pytest.mark.parametrize("count", [499, 500, 501, 1001])
def test_many_entries_travel_in_batches(it: Deployment, count: int) -> None:
    """No request has more than 500 events, and none is lost or doubled at the edges."""
    it.send("splunk", entries=[b'{"n":%d}' % number for number in range(count)])
    assert [each["event"]["n"] for each in it.events] == list(range(count))
    assert max(it.hec.collector.requests) <= 500
    assert len(it.hec.collector.requests) == -(-count // 500)


def test_large_entries_travel_in_batches(it: Deployment) -> None:
    """Entries of the largest size are cut into requests that the collector's limit of 1 MB takes."""
    entries = [b'{"m":"%s"}' % (b"x" * 65_000)] * 40
    assert it.send("splunk", entries=entries) == Done({"delivered": 40, "sinks": ["splunk"]})
    assert it.hec.collector.requests == [13, 13, 13, 1]


@pytest.mark.parametrize("code", [8, 9, 23, 26])
def test_a_busy_collector_is_tried_again(it: Deployment, code: int) -> None:
    """Nothing is lost and nothing doubled when the collector says: later. Its Retry-After is kept."""
    it.hec.collector.trouble.codes = [code]
    it.hec.collector.trouble.retry_after = "7"
    found = it.send("splunk")
    assert isinstance(found, Again)
    assert f"/{code})" in found.reason
    assert found.after == (None if code == 8 else 7 * SECOND)
    assert isinstance(it.send("splunk", tries=1, resumed=True, done=found.done), Done)
    assert len(it.ids) == len(set(it.ids)) == 3


def test_a_collector_near_its_capacity_gets_a_pause(it: Deployment) -> None:
    """Code 24 is success; before the next batch, and only then, there is a pause."""
    it.hec.collector.trouble.slow_down = 2
    entries = [b'{"n":%d}' % number for number in range(700)]
    assert it.send("splunk", entries=entries) == Done({"delivered": 700, "sinks": ["splunk"]})
    assert it.slept == [1.0]


def test_a_lost_reply_gives_the_same_ids_again(it: Deployment) -> None:
    """Events that were taken while the reply was lost come again, recognisably: at least once."""
    it.hec.collector.trouble.lost_replies = 1
    found = it.send("splunk")
    assert isinstance(found, Again)
    assert "gave no answer" in found.reason
    assert found.after is None
    assert isinstance(it.send("splunk", resumed=True, tries=1, done=found.done), Done)
    assert len(it.events) == 6
    assert it.ids[:3] == it.ids[3:]


def test_a_worker_that_died_after_sending_repeats_the_same_ids(it: Deployment) -> None:
    """A step that is taken up again with nothing recorded sends the same events under the same ids."""
    it.send("splunk")
    it.send("splunk", resumed=True)
    assert it.ids[:3] == it.ids[3:]


def test_a_worker_that_died_after_appending_appends_nothing(it: Deployment) -> None:
    """A file is asked first: lines that are there are not added again."""
    it.send("file")
    assert it.send("file", resumed=True) == Done({"delivered": 3, "sinks": ["file"]})
    assert len(it.lines) == 3


def test_a_torn_append_is_made_whole(it: Deployment) -> None:
    """After a torn append all events are there as whole lines, and what was torn is a line of its own."""
    it.send("file")
    path = it.folder / "files" / "a.ndjson"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    it.send("file", resumed=True)
    assert path.read_bytes() == whole[:-20] + b"\n" + whole


@pytest.mark.parametrize(("bad", "code"), [(0, 13), (1, 13), (4, 13), (2, 12), (3, 15), (4, 6)], ids=str)
def test_a_refused_event_does_not_take_the_others_with_it(
    it: Deployment, monkeypatch: pytest.MonkeyPatch, bad: int, code: int
) -> None:
    """All good events are taken once; the step fails and names the entry and the reason, not its content."""
    _refuse(it, monkeypatch, {bad: code})
    found = it.send("splunk", "file", entries=_numbered(5))
    assert isinstance(found, Failed)
    assert found.reason.startswith(f"splunk refuses 1 of 5 events for good: checkout/0 entry {bad}: ")
    assert f"(400/{code})" in found.reason
    assert [each["event"]["n"] for each in it.events] == [n for n in range(5) if n != bad]
    assert len(it.lines) == 5


def test_a_refusal_without_a_number_is_narrowed_down(it: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the collector does not say which event it minds, smaller batches find it."""
    check = it.hec.collector._check

    def mind(number: int, text: str, event: dict[str, Any]) -> None:
        if event["event"]["n"] in {3, 417}:
            raise Refusal(6, None)
        check(number, text, event)

    monkeypatch.setattr(it.hec.collector, "_check", mind)
    found = it.send("splunk", entries=_numbered(500))
    assert isinstance(found, Failed)
    assert "splunk refuses 2 of 500 events for good" in found.reason
    assert {each["event"]["n"] for each in it.events} == set(range(500)) - {3, 417}
    assert len(it.hec.collector.requests) < 50


@pytest.mark.parametrize(
    ("splunk", "words"),
    [
        ({"token": "wrong-token"}, "invalid token (403/4)"),
        ({"token": "no-such-token"}, "there is no secret no-such-token"),
        ({"token": "split-token"}, "the header Authorization has a line break"),
        ({"index": "nowhere"}, "incorrect index (400/7)"),
        ({"url": "https://hec.example.com"}, "SENTINEL_HTTP_HOSTS"),
    ],
)
def test_a_sink_that_is_set_up_wrongly_is_parked(it: Deployment, splunk: dict[str, str], words: str) -> None:
    """The step waits as long as a secret is cached, says what to change, and works once that is done."""
    it.secret("wrong-token", "canary-wrong")
    it.secret("split-token", "canary\r\nX: y")
    it.configure(**splunk)
    found = it.send("splunk")
    assert isinstance(found, Again)
    assert words in found.reason
    assert "canary" not in found.reason
    assert found.after == int(PARKED * SECOND)
    assert it.events == []
    it.configure()
    assert isinstance(it.send("splunk", tries=1, resumed=True, done=found.done), Done)
    assert len(it.events) == 3


def test_a_disabled_token_and_a_wrong_path_are_parked(it: Deployment) -> None:
    """Code 1, a 404 and a web page with status 200 are all: nothing was delivered, a person must act."""
    it.hec.collector.enabled = False
    assert "token disabled (403/1)" in _reason(it.send("splunk"))
    it.hec.collector.enabled = True
    it.hec.collector.trouble.html = 1
    assert "status 200 with no answer of an event collector" in _reason(it.send("splunk"))
    it.configure(url=it.hec.url.replace("/event", "/nothing"))
    assert "status 404" in _reason(it.send("splunk"))
    assert it.events == []


def test_a_sink_that_nobody_set_up_is_parked(it: Deployment) -> None:
    """A sink document may come later than the recipe that names it."""
    found = it.send("nobody")
    assert isinstance(found, Again)
    assert found.reason == "nobody: there is no sink of this name; push a sink document that has it"


def test_a_sink_that_works_is_not_told_again_when_another_fails(it: Deployment) -> None:
    """All sinks are tried in every order, and only the one that failed is tried again."""
    for to in (("splunk", "file"), ("file", "splunk")):
        before = len(it.lines)
        it.hec.collector.trouble.codes = [9]
        found = it.send(*to)
        assert isinstance(found, Again)
        assert found.reason == "splunk: server is busy (503/9)"
        assert len(it.lines) == before + 3
        stored = orjson.loads(orjson.dumps(found.done))  # as it comes back from a store
        again = it.send(*to, tries=1, resumed=True, done=stored)
        assert again == Done({"delivered": 6, "sinks": list(to)})
        assert len(it.lines) == before + 3


def test_a_sink_that_is_through_is_not_needed_any_more(it: Deployment) -> None:
    """What one sink has taken stays done though its document is gone when the other is tried again."""
    it.hec.collector.trouble.codes = [9]
    found = it.send("file", "splunk")
    assert isinstance(found, Again)
    del it.sinks["file"]
    again = it.send("file", "splunk", tries=1, resumed=True, done=found.done)
    assert again == Done({"delivered": 6, "sinks": ["file", "splunk"]})


def test_batches_that_were_taken_are_not_sent_again(it: Deployment) -> None:
    """When a later batch fails, the next try begins with it."""
    take = it.hec.collector.take
    calls = iter([0, 9, 0])

    def flaky(authorization: str | None, body: bytes) -> int:
        if code := next(calls):
            raise Refusal(code)
        return take(authorization, body)

    it.hec.collector.take = flaky  # type: ignore[method-assign]
    found = it.send("splunk", entries=_numbered(700))
    assert isinstance(found, Again)
    done = orjson.loads(orjson.dumps(found.done))
    assert done["splunk"]["delivered"] == 500
    again = it.send("splunk", entries=_numbered(700), tries=1, resumed=True, done=done)
    assert again == Done({"delivered": 700, "sinks": ["splunk"]})
    assert len(it.ids) == len(set(it.ids)) == 700


def test_what_was_refused_is_still_told_after_another_try(
    it: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal survives a try that ended in waiting: the step fails in the end and says so."""
    _refuse(it, monkeypatch, {0: 13})
    entries = _numbered(3)
    take = it.hec.collector.take
    calls = iter([0, 9, 0])

    def flaky(authorization: str | None, body: bytes) -> int:
        if code := next(calls):
            raise Refusal(code)
        return take(authorization, body)

    it.hec.collector.take = flaky  # type: ignore[method-assign]
    found = it.send("splunk", entries=entries)
    assert isinstance(found, Again)
    again = it.send("splunk", entries=entries, tries=1, resumed=True, done=found.done)
    assert isinstance(again, Failed)
    assert "1 of 3 events for good: checkout/0 entry 0" in again.reason
    assert len(it.events) == 2


def test_sending_ends_well_before_the_lease(it: Deployment) -> None:
    """A step with very much to send stops after its budget and goes on from there."""
    it.tick = BUDGET // 2
    found = it.send("splunk", entries=_numbered(1500))
    assert isinstance(found, Again)
    assert found.reason == "splunk: there is more to send"
    assert found.after == 0
    assert 0 < len(it.events) < 1500
    it.tick = 0
    again = it.send("splunk", entries=_numbered(1500), tries=1, resumed=True, done=found.done)
    assert isinstance(again, Done)
    assert len(it.ids) == len(set(it.ids)) == 1500


def test_a_collector_that_is_gone_is_tried_again(it: Deployment) -> None:
    """A closed port is something that passes."""
    with nobody() as port:
        it.configure(url=f"http://127.0.0.1:{port}")
        found = it.send("splunk", "file")
    assert isinstance(found, Again)
    assert "cannot be reached: Connection refused" in found.reason
    assert len(it.lines) == 3


def test_a_full_disk_is_tried_again(it: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector is told though the file cannot be written, and the file gets its lines later."""

    def full(_request: FileAppend) -> None:
        raise Unavailable("a.ndjson cannot be written: No space left on device", 30.0)

    monkeypatch.setattr(it.files, "append", full)
    found = it.send("file", "splunk")
    assert isinstance(found, Again)
    assert found.after is None
    monkeypatch.undo()
    assert isinstance(it.send("file", "splunk", tries=1, resumed=True, done=found.done), Done)
    assert (len(it.lines), len(it.events)) == (3, 3)


def test_a_step_without_entries_fails(it: Deployment) -> None:
    """Where the ledger has nothing left to tell, the step says so and does not claim a delivery."""
    assert isinstance(it.send("file", entries=[]), Failed)
    assert it.lines == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "to: Field required"),
        ({"to": []}, "to: "),
        ({"to": "splunk"}, "to: "),
        ({"to": ["a", "a"]}, "named twice"),
        ({"to": ["../x"]}, "a name is"),
        ({"to": ["a"], "include": "all"}, "include: "),
        ({"to": ["a"], "more": 1}, "more: Extra inputs"),
        ({"to": [str(number) for number in range(11)]}, "to: "),
    ],
)
def test_inputs_that_make_no_sense_are_refused(it: Deployment, inputs: dict[str, Any], words: str) -> None:
    """`check` says what to change; a step that got past it fails instead of raising."""
    with pytest.raises(Malformed, match=r"siem\.send: ") as refused:
        it.action.check(inputs)
    assert words in str(refused.value)
    assert isinstance(it.action.perform(step_run("siem.send", inputs)), Failed)


def test_files_can_be_asked_what_they_hold(it: Deployment) -> None:
    """A probe finds all events of the step in a file, or says that they are to be told; it writes nothing."""
    action, run = it.action, step_run("siem.send", {"to": ["file"]})
    assert isinstance(action, Probing)
    assert action.probe(run) == Nothing()
    assert it.lines == []
    it.send("file")
    assert action.probe(run) == Done({"found": 3, "sinks": ["file"]})
    assert action.probe(step_run("siem.send", {"to": ["file"], "include": "place"})) == Nothing()
    path = it.folder / "files" / "a.ndjson"
    path.write_bytes(path.read_bytes()[:-20])
    assert action.probe(run) == Nothing()
    it.send("file", resumed=True)
    assert action.probe(run) == Done({"found": 3, "sinks": ["file"]})


def test_a_collector_cannot_be_asked(it: Deployment) -> None:
    """A step with a collector in it is unknown, unless the collector is recorded to have taken all."""
    action, inputs = it.action, {"to": ["file", "splunk"]}
    assert isinstance(action, Probing)
    it.send("file", "splunk")
    found = action.probe(step_run("siem.send", inputs))
    assert found == Unknown("whether splunk took the events is not known, and cannot be asked")
    complete = {"splunk": {"delivered": 3, "last": "", "refused": [], "refusals": 0, "complete": True}}
    assert isinstance(action.probe(step_run("siem.send", inputs, done=complete)), Done)
    gone = action.probe(step_run("siem.send", {"to": ["gone"]}))
    assert isinstance(gone, Unknown)
    assert "no sink of this name" in gone.reason
    assert len(it.events) == 3


def test_only_a_lost_reply_leaves_it_unsure(it: Deployment) -> None:
    """A collector that says that it is busy has taken nothing; one that gives no answer may have."""
    answers: Iterator[Exception] = iter([Refusal(9), Refusal(8), ConnectionResetError()])

    def bad(authorization: str | None, body: bytes) -> int:
        raise next(answers)

    it.hec.collector.take = bad  # type: ignore[method-assign]
    assert [getattr(it.send("splunk"), "unsure", None) for _ in range(3)] == [False, True, True]
    with nobody() as port:
        it.configure(url=f"http://127.0.0.1:{port}")
        gone = it.send("splunk")
    assert isinstance(gone, Again)
    assert not gone.unsure


def _numbered(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


def _reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Again)
    return outcome.reason


def _refuse(it: Deployment, monkeypatch: pytest.MonkeyPatch, bad: dict[int, int]) -> None:
    """Make the collector mind events by their number `n`, as it does for its own reasons."""
    check = it.hec.collector._check

    def mind(number: int, text: str, event: dict[str, Any]) -> None:
        if event["event"]["n"] in bad:
            raise Refusal(bad[event["event"]["n"]], number)
        check(number, text, event)

    monkeypatch.setattr(it.hec.collector, "_check", mind)
