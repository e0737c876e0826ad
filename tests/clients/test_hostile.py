"""Whatever is logged, and whoever answers: calls raise nothing and end, and no secret shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import loguru
import pytest
import structlog

import sentinel_client
from sentinel_client import _install, _unkept
from sentinel_client._connection import Answer
from sentinel_client._counts import Counts
from sentinel_client._delivery import Delivery
from sentinel_client._doctor import diagnose
from sentinel_client._doctor_network import _clock, network
from sentinel_client._findings import as_text, ok
from sentinel_client._flow import MAX_TEMPLATE, Call, Rates, Repeats
from sentinel_client._options import Options, OptionsError
from sentinel_client._receipts import fault
from sentinel_client._types import Batch, Outcome, Sent
from sentinel_client.loguru import SentinelSink
from sentinel_client.privacy import BadPolicy
from sentinel_client.privacy._tokens import KEY_NAME, own_key
from sentinel_client.structlog import SentinelProcessor
from sentinel_client.testing import Captured, capture
from sentinel_client.transports.datadog import DatadogTransport


class Hostile:
    """Raises whatever is asked of it."""

    def __bool__(self) -> bool:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


class Several(Exception):
    """An exception of a program that has lists of its own where groups have theirs."""

    exceptions = ("not", 5, "exceptions")


@pytest.fixture
def log() -> Iterator[Captured]:
    """Capture everything that is logged."""
    with capture() as captured:
        yield captured


def test_calls_raise_nothing_whatever_they_are_given(log: Captured) -> None:
    """Each is an entry nevertheless, or is counted."""
    native, client = sentinel_client.get_logger("shop"), sentinel_client.installed()
    native.info("a", exc_info=Hostile())
    client.log("INFO", "b", error=Hostile())
    client.log("NOPE", "c")
    processor = SentinelProcessor()
    for event in (
        {"event": Hostile()},
        {"event": "d", "exc_info": Hostile()},
        {"event": "e", "level": Hostile()},
    ):
        with pytest.raises(structlog.DropEvent):
            processor(None, "info", event)
    assert log.messages == ["a", "b", "c", "<Hostile>", "d", "e"]
    assert log.entries[2]["level"] == "INFO"


def test_an_exception_with_odd_parts_is_told(log: Captured) -> None:
    """Notes that do not print, `exceptions` that are none, a loader that raises."""
    error = Several("m")
    error.__notes__ = [Hostile(), "noted"]  # type: ignore[list-item]
    sentinel_client.get_logger("shop").info("failed", exc_info=error)
    assert (log.entries[0]["exception"]["message"], log.entries[0]["exception"]["notes"]) == ("m", ["noted"])

    class Loader:
        def get_source(self, name: str) -> str:
            raise KeyError(name)

    code = compile("def fail():\n    raise ValueError('x')\n", "<made up>", "exec")
    module = types.ModuleType("made_up")
    module.__dict__.update(__loader__=Loader(), __name__="made_up")
    exec(code, module.__dict__)
    try:
        module.fail()
    except ValueError as raised:
        sentinel_client.get_logger("shop").error("made up", exc_info=raised)
    assert log.entries[1]["exception"]["type"] == "ValueError"


def test_without_a_client_integrations_say_so_once_and_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they would have logged is not printed: it is not masked."""
    for name in [each for each in os.environ if each.startswith("SENTINEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(_unkept, "_told", [])
    processor = SentinelProcessor(pass_on=True)
    assert processor(None, "info", {"event": "password=hunter22"}) == {"event": "password=hunter22"}
    number = loguru.logger.add(SentinelSink(), format="{message}")
    loguru.logger.info("password=hunter22")
    loguru.logger.remove(number)
    told = capsys.readouterr().err
    assert told.count("nothing is kept: url is missing") == 1
    assert "Logging error" not in told


def test_a_root_that_cannot_be_made_does_not_stop_the_program() -> None:
    """Entries are masked under a key of the process, and wait in memory."""
    client = sentinel_client.Client(transports=["console"], directory="/dev/null/root", service="s")
    try:
        client.log("INFO", "paid", {"card": "4111111111111111"})
        assert client.stats()["log"]["problem"]
    finally:
        client.close(0)


def test_a_key_that_somebody_else_put_there_is_not_used(tmp_path: Path) -> None:
    """No link is followed, and no file counts that others can read."""
    (tmp_path / "planted").write_bytes(b"k" * 32)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / KEY_NAME).symlink_to(tmp_path / "planted")
    with pytest.raises(BadPolicy, match="remove it"):
        own_key(tmp_path / "linked")
    root = tmp_path / "root"
    key = own_key(root)
    assert own_key(root) == key
    (root / KEY_NAME).chmod(0o644)
    with pytest.raises(BadPolicy, match="chmod 600"):
        own_key(root)


def test_a_signal_within_encryption_does_not_stop_it(tmp_path: Path) -> None:
    """The handler logs, too. In a process of its own, which a lock would stop for ever."""
    code = (
        "import signal, sys\n"
        "from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey\n"
        "from sentinel_client.privacy._fields import Recipient\n"
        "public = X25519PrivateKey.generate().public_key().public_bytes_raw()\n"
        "key, seen = Recipient('r', public), []\n"
        "key.encrypt('a', b'x', bytes(12))\n"
        "signal.signal(signal.SIGALRM, lambda *_: seen.append(key.encrypt('a', b'x', bytes(12))))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)\n"
        "while len(seen) < 300:\n"
        "    key.encrypt('a', b'x', bytes(12))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class Waiting:
    """A transport that takes all the time there is, unless the other one has its entries."""

    name, max_entries, max_bytes = "waiting", 100, 100_000

    def __init__(self, other: threading.Event) -> None:
        self.other = other

    def send(self, batch: Batch, timeout: float) -> Outcome:
        self.other.wait(timeout)
        return Sent()

    def close(self) -> None:
        pass


class Noting(Waiting):
    """A transport that notes that it has entries."""

    name = "noting"

    def send(self, batch: Batch, timeout: float) -> Outcome:
        self.other.set()
        return Sent()


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_transport_that_is_slow_takes_no_time_of_the_others(end: str, tmp_path: Path) -> None:
    """All are hurried before the first is waited for; after a flush batches wait for others again."""
    sent = threading.Event()
    client = sentinel_client.Client(
        transports=[Waiting(sent), Noting(sent)], directory=tmp_path, service="s", batch_seconds=3_600
    )
    client.log("INFO", "paid")
    assert getattr(client, end)(20), client.stats()
    store: Any = client._store
    if end == "flush":
        assert [each._hurried for each in store.shippers] == [0, 0]
        client.close(5)


def test_a_call_does_not_wait_for_who_installs(log: Captured) -> None:
    """Whoever closes a client holds the lock for seconds."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with _install._LOCK:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    found: list[object] = []
    caller = threading.Thread(target=lambda: found.append(sentinel_client.installed()), daemon=True)
    caller.start()
    caller.join(60)
    done.set()
    holder.join()
    assert len(found) == 1


def test_what_policy_counts_by_is_bounded() -> None:
    """A template of megabytes is not kept ten thousand times."""
    rates = Rates([{"by": ["logger", "template"], "per_second": 1}])
    repeats = Repeats(10)
    call = Call(0.0, 20, "l" * 10**6, "t" * 10**6, {}, "")
    assert rates.admits(call)
    assert not repeats.holds(call, dict)
    (key,) = rates._rules[0][-1]
    (other,) = repeats._open
    assert max(len(str(each)) for each in (*key, *other)) == MAX_TEMPLATE


def test_a_receipt_of_half_characters_is_kept_and_does_not_fit(tmp_path: Path) -> None:
    """What a server answers can be no text at all."""
    answer = json.loads(
        '{"chain": "\\ud800/0", "batch_id": "%s", "head": "\\ud800", "count": 1}' % ("00" * 16)
    )
    assert fault(answer, [b"{}"], bytes(16)) == "it names no chain"
    told: list[Mapping[str, object]] = []
    delivery = Delivery(Noting(threading.Event()), Counts(), None, told.append, tmp_path)  # type: ignore[arg-type]
    delivery._sent(Batch("py-1", 0, 1, [b"{}"]), Sent(answer, altered="it names no chain"))
    assert (tmp_path / "altered.ndjson").read_bytes().count(b"\\ud800") == 2
    assert len(told) == 1


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"url": "https://kim:hunter22@host", "transports": ["console"]}, "has a user"),
        ({"url": "http://host", "service": "a\r\nX-Evil: 1"}, "no header takes"),
        ({"transports": [{"kind": "http", "name": "x"}]}, "url is missing"),
        ({"url": "https://host", "service": "a", "transports": [{"kind": "http"}]}, "wants certificate"),
    ],
)
def test_options_that_would_show_or_smuggle_are_refused(told: dict[str, Any], says: str) -> None:
    """The message has no secret."""
    with pytest.raises(OptionsError, match=says) as caught:
        Options.load(told, {})
    assert "hunter22" not in str(caught.value)


def test_an_api_key_goes_out_over_tls_alone(tmp_path: Path) -> None:
    """Datadog's, too; but for an agent on this machine."""
    with pytest.raises(ValueError, match="https"):
        DatadogTransport(tmp_path / "key", endpoint="http://intake.example.com")
    DatadogTransport(tmp_path / "key", endpoint="http://127.0.0.1:1").close()


def test_the_doctor_names_key_files_that_are_open_and_prints_no_controls(tmp_path: Path) -> None:
    """Those of masking and of encrypted fields; what servers say is printed as text."""
    key = tmp_path / "token.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    config = tmp_path / "sentinel.json"
    privacy = {"key_file": str(key), "encryption": {"write": "a", "keys": {"a": {"file": str(key)}}}}
    config.write_text(json.dumps({"transports": ["console"], "privacy": privacy, "directory": str(tmp_path)}))
    found = [each for each in diagnose({"config": config}, {}) if each.check == "keys"]
    assert [each.state for each in found] == ["warning", "warning"]
    assert "\x1b" not in as_text([ok("entry", "stored in \x1b[2J\u202e")], colour=False)


@pytest.mark.parametrize("proxy", ["socks5://kim:hunter22@proxy:1", "http://kim:hunter22/x@proxy:1"])
def test_the_doctor_says_that_a_proxy_is_none(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends there, and shows no part of the proxy's password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("https_proxy", raising=False)
    (found,) = network(Options(url="https://gateway.example.com", service="s"), proven=False, send=False)
    assert (found.check, found.state) == ("proxy", "failed")
    assert "hunter" not in repr(found)


@pytest.mark.parametrize(
    "date", ["", "x", "Mon, 99 Foo 2026 00:00:00 GMT", "Thu, 01 Jan 0001 00:00:00 -0000"]
)
def test_the_doctor_reads_a_time_that_is_none(date: str) -> None:
    """As no time."""
    assert _clock(Answer(200, {"date": date}, b"")).state in {"skipped", "warning"}


def test_bytes_that_are_text_are_masked(log: Captured) -> None:
    """As base64 they would hide from masking, and from nobody else."""
    sentinel_client.get_logger("shop").info(
        "sent", body=b'{"password": "hunter22", "card": "4111111111111111"}'
    )
    assert "hunter22" not in json.dumps(log.entries)
    assert log.entries[0]["body"].startswith('{"password":')
    assert "4111111111111111" not in log.entries[0]["body"]


def log_in(password: str) -> None:
    """Fail with a password in a variable and in the message."""
    raise ValueError(f"password={password}")


@pytest.mark.parametrize(
    "fields",
    [
        {"a": {"b": [{"password": "hunter22"}]}},
        {"password_is hunter22 for password=hunter22": 1},
        {"a": Exception("password=hunter22")},
        {"a": {"pass\nword": "x", "t": "\npassword=hunter22"}},
        {"a": [["password", "hunter22"]]},
        {"a": json.dumps({"b": json.dumps({"password": "hunter22"})})},
        {"a": json.dumps([["password", "hunter22"]])},
    ],
)
def test_a_password_is_found_wherever_it_stands(fields: dict[str, Any], log: Captured) -> None:
    """In fields of a call, of a logger, of the context, and in variables of frames."""
    native = sentinel_client.get_logger("shop")
    native.info("call", **fields)
    native.bind(**fields).info("bound")
    with sentinel_client.context(**fields):
        native.info("context")
    try:
        log_in("hunter22")
    except ValueError:
        native.exception("frames")
    assert len(log.entries) == 4
    assert "hunter22" not in json.dumps(log.entries)


BEGINNINGS = ("postgres://kim:", "{'password': '", '{"password":"', "<password>", "a=1,pwd='")


def log_in_with(address: str) -> None:
    """Fail with an address in a variable."""
    raise ValueError


@pytest.mark.parametrize("begins", BEGINNINGS)
def test_what_is_cut_shows_no_half_of_a_password(begins: str, log: Captured) -> None:
    """Half a value in quotes, or an address without its end, is nothing that masking knows."""
    native = sentinel_client.get_logger("shop")
    for most in (200, 16_384):
        text = "x" * (most - len(begins) - 20) + f" {begins}hunter22hunter22hunter22@'<"
        native.info("text", text=text)
        try:
            log_in_with(text)
        except ValueError:
            native.exception("frames")
    assert "hunter" not in json.dumps(log.entries)
