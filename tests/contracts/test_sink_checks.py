"""A sink is asked whether it would work: the first thing that is wrong is told, and no event is created."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.loopback_hec import Collector, Server
from sentinel import siem
from sentinel.actions.connectors import Connectors
from sentinel.adapters.append_files import AppendFiles, NoFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.tls_streams import TlsStreams
from sentinel.cli.connectors_known import kinds
from sentinel.core.grants import Grants
from sentinel.ports import HttpResponse
from sentinel.siem.check import ABSENT, Checkable, Level, Question, Sound, Wrong
from sentinel.siem.datadog import DatadogConfig, DatadogSink
from sentinel.siem.file import FileConfig
from tests.contracts.test_sinks import document
from tests.loopback import Asked, Loopback, Told
from tests.siem_targets import JSON, Application, Datadog, Elastic, MicrosoftSentinel
from tests.syslog_receiver import Receiver
from tests.throwaway import make

KEY = "canary-4f6d1c"
TENANT = "00000000-0000-4000-8000-00000000000a"
CLIENT = "00000000-0000-4000-8000-00000000000b"
RULE = f"dcr-{'0' * 31}1"
STREAM = "Custom-SentinelAlerts_CL"
ENTRA = {"rule": RULE, "stream": STREAM, "tenant": TENANT, "client": CLIENT}
# What each kind over HTTP is told, for a server at `url`.
FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "crowdstrike": lambda url: {"url": f"{url}/services/collector"},
    "datadog": lambda url: {"url": url},
    "elastic": lambda url: {"url": url},
    "microsoft_sentinel": lambda url: {"endpoint": url, "authority": url, **ENTRA},
    "splunk": lambda url: {"url": url},
}
each_http = pytest.mark.parametrize("kind", FIELDS)


@dataclass
class Bed:
    """A deployment that asks. `names` are the hosts that it may call, all of which are on this machine."""

    folder: Path
    names: list[str] = field(default_factory=lambda: ["127.0.0.1", "siem.test", "down.invalid"])
    private: bool = True
    trusted: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        """Keep the secret."""
        self.keep(KEY)

    def keep(self, value: str) -> None:
        """Store the secret that the sinks name."""
        (self.folder / "secrets").mkdir(exist_ok=True)
        path = self.folder / "secrets" / "key"
        path.write_text(value)
        path.chmod(0o600)

    def hosts(self) -> Hosts:
        """Return the rules; `siem.test` is this machine, and other names are looked up."""
        from sentinel.adapters.hosts import resolve

        def found(host: str, port: int) -> list[str]:
            return ["127.0.0.1"] if host == "siem.test" else resolve(host, port)

        return Hosts(self.names, private=self.private, resolve=found)

    def ask(self, kind: str, **told: Any) -> Sound | Wrong:
        """Ask one sink; whatever is found holds no secret."""
        if kind in FIELDS:
            told = {"token": "key", "timeout": 20, **told}  # the most there is: the machine may be busy
        document = json.dumps({"sinks": {"it": {"kind": kind, **told}}}).encode()
        hosts = self.hosts()
        http = HttpClient(hosts, context=self.trusted)
        connectors = Connectors(
            http,
            AppendFiles(self.folder / "files"),
            TlsStreams(hosts, context=self.trusted),
            FileSecrets(self.folder / "secrets"),
            lambda: pytest.fail("this sink is not in AWS"),
            Grants(),
        )
        found = connectors.sink(siem.load("sinks", document)["it"])
        http.close()
        assert "canary" not in repr(found)
        return found


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    """Give a deployment."""
    return Bed(tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """Start servers that answer by a function, or always the same."""
    running: list[Loopback] = []

    def start(answer: Told | Callable[[Asked], Told], context: ssl.SSLContext | None = None) -> Loopback:
        found = Loopback(answer if callable(answer) else lambda _: answer, context)
        running.append(found)
        return found

    yield start
    for each in running:
        each.stop()


def level(found: Sound | Wrong) -> Level | None:
    """Return what is wrong, None for nothing."""
    return found.level if isinstance(found, Wrong) else None


def url_of(server: Loopback, host: str = "127.0.0.1", scheme: str = "http") -> str:
    """Return the URL of a server."""
    return f"{scheme}://{host}:{server.port}"


@pytest.mark.parametrize("kind", siem.SINKS)
def test_every_kind_can_be_asked(kind: str) -> None:
    """No kind of sink is left out: each has its question, or its place, and is listed so."""
    it = siem.make(siem.load("x", document(kind).encode())["it"])
    assert isinstance(it, Checkable)
    assert (kind, "out", True) in kinds()


@pytest.mark.parametrize("kind", ["splunk", "crowdstrike"])
def test_a_collector_is_asked_with_nothing(bed: Bed, kind: str) -> None:
    """The right token is sound, another one wrong, and the collector has neither event nor data."""
    collector = Collector(KEY)
    server = Server(collector)
    server.start()
    assert isinstance(bed.ask(kind, url=server.url), Sound)
    for code, what in [(1, Level.CREDENTIALS), (9, Level.BUSY), (26, Level.BUSY)]:
        collector.trouble.codes = [code]
        assert level(bed.ask(kind, url=server.url)) is what
    bed.keep("canary-other")
    assert level(bed.ask(kind, url=server.url)) is Level.CREDENTIALS
    assert collector.events == []
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "status", "code", "what"),
    [
        ("splunk", 400, 10, Level.SCHEMA),
        ("splunk", 401, 3, Level.CREDENTIALS),
        ("splunk", 200, 0, None),
        ("crowdstrike", 400, None, None),
        ("crowdstrike", 401, None, Level.CREDENTIALS),
        ("splunk", 400, None, Level.PRODUCT),
        ("splunk", 404, None, Level.PRODUCT),
    ],
)
def test_what_collectors_say_to_nothing(
    bed: Bed, serve: Callable[..., Loopback], kind: str, status: int, code: int | None, what: Level | None
) -> None:
    """Acknowledgement that is switched on, a scheme that is not known, a connector without codes."""
    body = json.dumps({"text": "canary", **({} if code is None else {"code": code})}).encode()
    server = serve(Told(status, body, JSON))
    assert level(bed.ask(kind, **FIELDS[kind](url_of(server)))) is what
    assert [each.body for each in server.asked] == [b""]


def test_elasticsearch_is_asked_for_privileges_and_mapping(bed: Bed) -> None:
    """What the credentials may do, whether the stream is there, and whether it takes what is sent."""
    it = Elastic(f"ApiKey {KEY}")
    assert "its mapping takes them" in words(bed.ask("elastic", url=it.url))
    it.mapping = {"@timestamp": "date", "event.id": "long"}
    assert level(bed.ask("elastic", url=it.url)) is Level.SCHEMA
    it.mapping = None
    assert "with the first event" in words(bed.ask("elastic", url=it.url))
    it.privileges = {"create_doc"}
    assert level(bed.ask("elastic", url=it.url)) is Level.PLACE
    it.readable = False
    assert "may not be looked at" in words(bed.ask("elastic", url=it.url))
    it.privileges = {"read"}
    assert level(bed.ask("elastic", url=it.url)) is Level.PERMISSION
    bed.keep("canary-other")
    assert level(bed.ask("elastic", url=it.url)) is Level.CREDENTIALS
    assert it.documents == {}
    assert it.requests == []
    it.server.stop()


def test_opensearch_is_asked_with_an_empty_bulk(bed: Bed) -> None:
    """It has no question for privileges: an empty bulk says whether it takes the credentials."""
    it = Elastic("Basic dXNlcjpwYXNz")
    it.security = False
    bed.keep("user:pass")
    assert "cannot be asked" in words(bed.ask("elastic", url=it.url, auth="basic"))
    bed.keep("user:canary")
    assert level(bed.ask("elastic", url=it.url, auth="basic")) is Level.CREDENTIALS
    assert it.documents == {}
    it.server.stop()


def test_datadog_is_asked_with_an_empty_list(bed: Bed) -> None:
    """The right key is sound, another one wrong, and no log is taken."""
    it = Datadog(KEY)
    assert isinstance(bed.ask("datadog", url=it.url), Sound)
    bed.keep("canary-other")
    assert level(bed.ask("datadog", url=it.url)) is Level.CREDENTIALS
    assert it.logs == []
    it.server.stop()


def test_datadogs_site_says_whether_a_key_is_valid() -> None:
    """After the intake the site's API is asked; where it may not be, what the intake says has to do."""
    it = DatadogSink(DatadogConfig(kind="datadog", token="key", site="us3.datadoghq.com"), KEY)
    assert it.check().request.url == "https://http-intake.logs.us3.datadoghq.com/api/v2/logs"
    then = it.check().read(HttpResponse(202, {}, b"{}"))
    assert isinstance(then, Question)
    assert then.request.url == "https://api.us3.datadoghq.com/api/v1/validate"
    assert then.request.headers == {"DD-API-KEY": KEY}
    assert isinstance(then.unasked, Sound)
    for status, body, what in [
        (200, b'{"valid":true}', None),
        (403, b'{"errors":["Forbidden"]}', Level.CREDENTIALS),
        (200, b"<html>", Level.PRODUCT),
        (429, b"", Level.BUSY),
    ]:
        found = then.read(HttpResponse(status, {}, body))
        assert isinstance(found, Sound | Wrong)
        assert level(found) is what


def test_microsoft_sentinel_is_asked_with_no_rows(bed: Bed) -> None:
    """It signs in first; the role, the rule and the stream are each told apart, and no row is taken."""
    application = Application(TENANT, CLIENT, KEY)
    it = MicrosoftSentinel(application, RULE, STREAM)
    told = FIELDS["microsoft_sentinel"](it.url)
    assert isinstance(bed.ask("microsoft_sentinel", **told), Sound)
    assert level(bed.ask("microsoft_sentinel", **{**told, "stream": "Custom-Other_CL"})) is Level.PLACE
    application.assigned = False
    assert level(bed.ask("microsoft_sentinel", **told)) is Level.PERMISSION
    bed.keep("canary-other")
    found = bed.ask("microsoft_sentinel", **told)
    assert level(found) is Level.CREDENTIALS
    assert "invalid_client" in words(found)
    assert it.rows == []
    it.server.stop()


def words(found: Sound | Wrong) -> str:
    """Return what is said."""
    return found.words


@each_http
def test_what_stands_in_the_way(bed: Bed, serve: Callable[..., Loopback], kind: str) -> None:
    """A closed port, a name that is none, a host that is not allowed: told apart, and what to do."""
    server = serve(Told(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
    url = url_of(server)
    assert level(bed.ask(kind, **FIELDS[kind](url))) is Level.PRODUCT
    server.answer = lambda _: Told(404, b"<html>Not Found</html>")
    assert level(bed.ask(kind, **FIELDS[kind](url))) is Level.PRODUCT
    server.answer = lambda _: Told(lost=True)
    assert level(bed.ask(kind, **FIELDS[kind](url))) is Level.PRODUCT
    for status in (429, 503):
        busy = Told(status, b"{}")
        server.answer = lambda _, busy=busy: busy  # type: ignore[misc] # mypy infers no default
        assert level(bed.ask(kind, **FIELDS[kind](url))) is Level.BUSY
    server.stop()
    assert level(bed.ask(kind, **FIELDS[kind](url))) is Level.CONNECT
    assert level(bed.ask(kind, **FIELDS[kind]("https://down.invalid"))) is Level.NAME
    found = bed.ask(kind, **FIELDS[kind]("https://other.test"))
    assert level(found) is Level.ALLOWED
    assert "SENTINEL_HTTP_HOSTS" in words(found)
    bed.private = False
    found = bed.ask(kind, **FIELDS[kind](url))
    assert level(found) is Level.ALLOWED
    assert "SENTINEL_HTTP_PRIVATE" in words(found)


@each_http
def test_a_secret_that_cannot_be_used(bed: Bed, kind: str) -> None:
    """One that is not there, that others may read, or that no header may have: nothing is sent for it."""
    url = "https://down.invalid"
    told = FIELDS[kind](url)
    assert level(bed.ask(kind, **{**told, "token": "none"})) is Level.SECRET
    (bed.folder / "secrets" / "key").chmod(0o644)
    found = bed.ask(kind, **told)
    assert level(found) is Level.SECRET
    assert "chmod 600" in words(found)


@pytest.mark.parametrize("kind", ["crowdstrike", "datadog", "elastic", "splunk"])
def test_a_secret_that_no_header_may_have(bed: Bed, kind: str) -> None:
    """A line break in it is told as what it is; Entra's stands in a form, where it may have any."""
    bed.keep("canary\nx")
    assert level(bed.ask(kind, **FIELDS[kind]("https://siem.test"))) is Level.CREDENTIALS


@each_http
def test_a_slow_one(bed: Bed, serve: Callable[..., Loopback], kind: str) -> None:
    """One that is connected to and does not answer in time is told as that."""
    over = threading.Event()

    def answer(_: Asked) -> Told:
        over.wait(60)
        return Told()

    found = bed.ask(kind, **FIELDS[kind](url_of(serve(answer))), timeout=1)
    over.set()
    assert level(found) is Level.SILENT


def context_of(folder: Path, authority: Any, **options: Any) -> ssl.SSLContext:
    """Return the server's side of TLS, for 127.0.0.1 and localhost."""
    made = make(folder, f"server-{time.monotonic_ns()}", authority, server=True, **options)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(made.pem, made.secret)
    return found


@dataclass(frozen=True)
class Certificates:
    """Servers' sides of TLS: good, over, and of a stranger; and what trusts the first two."""

    good: ssl.SSLContext
    over: ssl.SSLContext
    strange: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Make them."""
    ours, theirs = make(tmp_path, "ours"), make(tmp_path, "theirs")
    return Certificates(
        context_of(tmp_path, ours),
        context_of(tmp_path, ours, days=(-3, -2)),
        context_of(tmp_path, theirs),
        ssl.create_default_context(cafile=ours.pem),
    )


@each_http
def test_tls_in_words(
    bed: Bed, serve: Callable[..., Loopback], certificates: Certificates, kind: str
) -> None:
    """Over, of another name, of a stranger, or no TLS at all: each has its words and what to do."""
    bed.trusted = certificates.trusting
    web = Told(200, b"<html>", {"Content-Type": "text/html"})

    def ask(context: ssl.SSLContext | None, host: str = "127.0.0.1") -> Sound | Wrong:
        return bed.ask(kind, **FIELDS[kind](url_of(serve(web, context), host, "https")))

    assert level(ask(certificates.good)) is Level.PRODUCT  # TLS is good: it is the page that is wrong
    for context, host, hint in [
        (certificates.over, "127.0.0.1", "renew"),
        (certificates.good, "siem.test", "use the name"),
        (certificates.strange, "127.0.0.1", "SSL_CERT_FILE"),
        (None, "127.0.0.1", "TLS 1.2"),
    ]:
        found = ask(context, host)
        assert isinstance(found, Wrong)
        assert found.level is Level.TLS, found
        assert hint in found.hint


def test_a_stream_is_greeted_and_told_nothing(bed: Bed, certificates: Certificates) -> None:
    """TLS is made and ended; the receiver has no message, not even a torn one."""
    bed.trusted = certificates.trusting
    receiver = Receiver(certificates.good)
    told = {"host": "127.0.0.1", "port": receiver.port, "timeout": 20}
    assert isinstance(bed.ask("syslog", **told), Sound)
    receiver.wait(1)
    assert (receiver.messages, receiver.torn) == ([], [])
    assert "use the name" in hint_of(bed.ask("syslog", **{**told, "host": "siem.test"}))
    assert level(bed.ask("syslog", **{**told, "ca": "none"})) is Level.TLS
    receiver.stop()
    assert level(bed.ask("syslog", **told)) is Level.CONNECT
    assert level(bed.ask("syslog", **{**told, "host": "down.invalid"})) is Level.NAME
    assert level(bed.ask("syslog", **{**told, "host": "other.test"})) is Level.ALLOWED
    for context, hint in [(certificates.over, "renew"), (certificates.strange, "ca")]:
        receiver = Receiver(context)
        found = bed.ask("syslog", **{**told, "port": receiver.port})
        receiver.stop()
        assert level(found) is Level.TLS
        assert hint in hint_of(found)


def hint_of(found: Sound | Wrong) -> str:
    """Return what is to be done."""
    return found.hint if isinstance(found, Wrong) else ""


def test_a_file_is_looked_at_and_left_as_it_is(bed: Bed) -> None:
    """Neither the file nor anything beside it is there afterwards; what cannot be written is told."""
    assert isinstance(bed.ask("file", path="alerts/main.ndjson"), Sound)
    assert [each for each in (bed.folder / "files").rglob("*") if each.is_file()] == []
    (bed.folder / "files" / "taken").write_bytes(b"x\n")
    assert isinstance(bed.ask("file", path="taken"), Sound)
    assert (bed.folder / "files" / "taken").read_bytes() == b"x\n"
    assert level(bed.ask("file", path="taken/below")) is Level.PLACE
    (bed.folder / "files" / "link").symlink_to("/etc/hostname")
    assert level(bed.ask("file", path="link")) is Level.PLACE
    assert level(bed.ask("file", path="alerts")) is Level.PLACE
    with pytest.raises(Exception, match="no folder"):
        NoFiles().check("x")


def test_what_nobody_answers_may_pass() -> None:
    """Only levels at which nothing answers count as absent: everything else is for a person to mend."""
    assert {Level.NAME, Level.CONNECT, Level.SILENT, Level.BUSY} == ABSENT


def test_a_kind_that_cannot_be_asked_says_so(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink without a question is sound as far as can be known, and the words say how far that is."""

    class Bare:
        """A sink of which nothing is used."""

        def __init__(self, _config: FileConfig, _token: str) -> None:
            """Keep nothing."""

    kind: Any = siem.Kind(FileConfig, Bare)  # type: ignore[arg-type] # it is none
    monkeypatch.setitem(siem.SINKS, "file", kind)
    found = bed.ask("file", path="x")
    assert isinstance(found, Sound)
    assert "cannot be asked" in found.words
