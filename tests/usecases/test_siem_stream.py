"""siem.send to syslog over TLS end to end, and to rsyslog where this machine has it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import actions, siem
from sentinel.actions.siem_send import PARKED
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.tls_streams import TlsStreams
from sentinel.core.steps import Again, Done, Outcome, Probing, Unknown
from sentinel.core.tasks import SECOND
from tests.loopback import nobody
from tests.steps import step_run
from tests.syslog_receiver import Receiver
from tests.throwaway import Made, make


def _rsyslog() -> str | None:
    """Find rsyslogd where it can speak TLS; a distribution has its driver in a package of its own."""
    found = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    packaged = found is not None and found.startswith("/usr/sbin/")
    return None if packaged and not any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")) else found


RSYSLOG = _rsyslog()


class Stream:
    """A deployment that sends to a receiver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = make(folder, "authority")
        self.server: Made = make(folder, "receiver", self.authority, server=True)
        self.sinks: dict[str, siem.SinkConfig] = {}
        self.hosts = Hosts(["127.0.0.1", "localhost", "127.0.0.2"], private=True)

    def context(self) -> ssl.SSLContext:
        """Return the receiver's side of TLS."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(self.server.pem, self.server.secret)
        return found

    def configure(self, port: int, **more: Any) -> None:
        """Push a sink document that trusts the receiver's authority."""
        told = {"kind": "syslog", "host": "127.0.0.1", "port": port, "ca": self.authority.pem.read_text()}
        self.sinks = siem.load("sinks", json.dumps({"sinks": {"it": {**told, **more}}}).encode())

    @property
    def action(self) -> Any:
        """The action as a deployment has it."""
        return actions.build(
            HttpClient(self.hosts),
            AppendFiles(self.folder / "files"),
            FileSecrets(self.folder / "secrets"),
            lambda: self.sinks,
            streams=TlsStreams(self.hosts),
            clock=lambda: 0,
            sleep=lambda _: None,
        )["siem.send"]

    def send(self, count: int = 3, entries: list[bytes] | None = None, **more: Any) -> Outcome:
        """Carry the step out."""
        entries = entries or [b'{"n":%d}' % number for number in range(count)]
        found: Outcome = self.action.perform(step_run("siem.send", {"to": ["it"]}, entries, **more))
        return found


@pytest.fixture
def it(tmp_path: Path) -> Stream:
    """Give a deployment."""
    return Stream(tmp_path)


@pytest.fixture
def receiver(it: Stream) -> Iterator[Receiver]:
    """Give a receiver that the sink is set up for."""
    found = Receiver(it.context())
    it.configure(found.port)
    yield found
    found.stop()


def test_messages_arrive_with_what_is_known_of_them(it: Stream, receiver: Receiver) -> None:
    """2,001 entries are three connections and as many whole messages, in order."""
    assert it.send(2001) == Done({"delivered": 2001, "sinks": ["it"]})
    receiver.wait(3)
    assert receiver.torn == []
    assert [each.text for each in receiver.messages] == [f'{{"n":{number}}}' for number in range(2001)]
    first = receiver.messages[0]
    assert first.priority == 16 * 8 + 3
    assert first.head == (
        "2024-11-24T08:00:00.123000Z",
        "checkout",
        "sentinel",
        "-",
        "alert",
        "sentinel@32473",
    )
    assert first.data["rule"] == "rule-1"
    assert len({each.data["id"] for each in receiver.messages}) == 2001


def test_no_entry_breaks_out_of_its_message(it: Stream, receiver: Receiver) -> None:
    """Line breaks, quotes, brackets, lengths and other heads in an entry stay its text; long ones are cut."""
    entries = [
        b'x\n<13>1 - - - - - - forged"] \\',
        b"17 <13>1 - - - - - -\r\n\x00\xe2\x80\xa8\xc2\x85",
        ("é" * 32_000).encode(),
        b"\xff\xfe",
    ]
    assert it.send(entries=entries) == Done({"delivered": 4, "sinks": ["it"]})
    receiver.wait(1)
    assert len(receiver.messages) == 4
    assert receiver.messages[0].text == 'x <13>1 - - - - - - forged"] \\'
    assert receiver.messages[1].text.startswith("17 <13>1")
    assert all(ord(each) >= 32 for message in receiver.messages for each in message.text)
    long = receiver.messages[2]
    assert long.data["cut"] == "true"
    assert set(long.text) == {"é"}
    assert 3_500 < len(long.text) < 4_096


def test_a_receiver_that_never_says_goodbye_has_it_all_the_same(it: Stream, receiver: Receiver) -> None:
    """The step waits a second for the end and goes on: nothing says that the bytes did not arrive."""
    receiver.silent = True
    begun = time.monotonic()
    assert isinstance(it.send(), Done)
    assert time.monotonic() - begun < 20
    receiver.stop()
    assert len(receiver.messages) == 3


def test_a_stream_that_is_cut_comes_again_with_the_same_ids(it: Stream, receiver: Receiver) -> None:
    """A reset connection is told; whole messages of it are there twice then, and can be recognised."""
    receiver.cut_after = 200_000
    found = it.send(1000)
    assert isinstance(found, Again)
    assert "127.0.0.1 broke the stream off" in found.reason
    assert found.unsure
    receiver.wait(1)
    before = len(receiver.messages)
    again = it.send(1000, tries=1, resumed=True, done=orjson.loads(orjson.dumps(found.done)))
    assert again == Done({"delivered": 1000, "sinks": ["it"]})
    receiver.wait(2)
    assert len(receiver.messages) == before + 1000
    assert len({each.data["id"] for each in receiver.messages}) == 1000


def test_a_receiver_cannot_be_asked(it: Stream, receiver: Receiver) -> None:
    """Whether an at-most-once step's messages arrived is for a person to say."""
    action = it.action
    assert isinstance(action, Probing)
    assert isinstance(action.probe(step_run("siem.send", {"to": ["it"]})), Unknown)
    assert receiver.messages == []


def test_a_receiver_that_is_gone_is_tried_again(it: Stream) -> None:
    """A closed port sent nothing, so nothing is unsure."""
    with nobody() as port:
        it.configure(port)
        found = it.send()
    assert isinstance(found, Again)
    assert "cannot be reached: Connection refused" in found.reason
    assert (found.after, found.unsure) == (None, False)


@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_a_receiver_that_is_not_who_it_should_be_gets_nothing(
    it: Stream, address: str, trusted: bool
) -> None:
    """Neither an authority that is not trusted nor a name that the certificate has not is taken."""
    receiver = Receiver(it.context(), address=address)
    it.configure(receiver.port, host=address, **({} if trusted else {"ca": ""}))
    found = it.send()
    receiver.stop()
    assert isinstance(found, Again)
    assert "its certificate does not verify" in found.reason
    assert not found.unsure
    assert receiver.messages == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "10.0.0.1"}, "SENTINEL_HTTP_HOSTS"),
        ({"ca": "canary"}, "the authority of the receiver's certificate is not in PEM"),
    ],
)
def test_a_stream_that_is_set_up_wrongly_waits_for_a_person(
    it: Stream, change: dict[str, str], words: str
) -> None:
    """Hosts are allowed as for HTTP."""
    it.configure(6514, **change)
    found = it.send()
    assert isinstance(found, Again)
    assert words in found.reason
    assert "canary" not in found.reason
    assert found.after == int(PARKED * SECOND)


@pytest.mark.skipif(RSYSLOG is None, reason="rsyslogd with its OpenSSL driver is not on this machine")
def test_rsyslog_takes_the_messages_apart_alike(it: Stream) -> None:
    """A receiver that is in use everywhere reads the same fields, the longest message whole, none twice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    out = it.folder / "out.log"
    config = it.folder / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{it.folder}" defaultNetstreamDriver="ossl" '
        f'defaultNetstreamDriverCAFile="{it.authority.pem}" '
        f'defaultNetstreamDriverCertFile="{it.server.pem}" '
        f'defaultNetstreamDriverKeyFile="{it.server.secret}")\n'
        'module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")\n'
        'template(name="t" type="list") { property(name="jsonmesg") constant(value="\\n") }\n'
        f'input(type="imtcp" address="127.0.0.1" port="{port}")\n'
        f'action(type="omfile" file="{out}" template="t")\n'
    )
    command = [str(RSYSLOG), "-n", "-f", str(config), "-i", str(it.folder / "pid")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await(lambda: _listens(port))
            it.configure(port)
            long = b"%s" % (b"x" * 60_000)
            assert it.send(entries=[b'{"a":"caf\xc3\xa9 [\\"]"}', long]) == Done(
                {"delivered": 2, "sinks": ["it"]}
            )
            _await(lambda: len(_received(out)) == 2)
        finally:
            process.terminate()
    found = _received(out)
    assert [each["pri"] for each in found] == ["131", "131"]
    assert found[0]["timereported"] == "2024-11-24T08:00:00.123000Z"
    assert (found[0]["hostname"], found[0]["programname"]) == ("checkout", "sentinel")
    assert found[0]["msg"].lstrip("\ufeff") == '{"a":"café [\\"]"}'
    assert found[0]["structured-data"].startswith('[sentinel@32473 id="')
    assert 'cut="true"' in found[1]["structured-data"]
    assert found[1]["msg"].lstrip("\ufeff").strip("x") == ""


def _received(out: Path) -> list[dict[str, Any]]:
    """Return what the receiver wrote, but for its own messages about itself."""
    lines = out.read_text().split("\n")[:-1] if out.exists() else []
    return [found for found in map(json.loads, lines) if found["programname"] == "sentinel"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
