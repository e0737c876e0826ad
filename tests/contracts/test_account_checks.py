"""An account is asked whether it would work: the first thing that is wrong is told, and nothing is made."""

from __future__ import annotations

import inspect
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sentinel import accounts
from sentinel.accounts.account import Checkable
from sentinel.actions import connector_places
from sentinel.actions.connectors import Connectors
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.tls_streams import TlsStreams
from sentinel.core.grants import Grants
from sentinel.siem.check import Level, Sound, Wrong
from tests import reply_targets as targets
from tests.falcon_target import CLIENT, HOST, Falcon
from tests.falcon_target import SECRET as FALCON_SECRET
from tests.loopback import Asked, Loopback, Told, nobody
from tests.reply_targets import SECRET, TENANT, WORKSPACE, ReplyTarget
from tests.throwaway import make

ENTRA = {"workspace": WORKSPACE, "tenant": TENANT, "client": TENANT}
KEYS = json.dumps({"api_key": f"api-{SECRET}", "app_key": f"app-{SECRET}"})
PAIR = f"{CLIENT}:{FALCON_SECRET}"
Product = ReplyTarget | Falcon


@dataclass(frozen=True)
class Kind:
    """One kind: its product, its configuration for an address, and its secret."""

    product: Callable[[], Product]
    fields: Callable[[str], dict[str, Any]]
    secret: str = SECRET
    other: str = "canary-other-9876543210"  # of the right form, and nobody's


KINDS = {
    "datadog": Kind(targets.Datadog, lambda url: {"url": url}, KEYS, KEYS.replace("api-", "apx-")),
    "falcon": Kind(
        Falcon, lambda url: {"url": url, "hosts": [HOST]}, PAIR, PAIR.replace("secret-canary", "canary-other")
    ),
    "microsoft_sentinel": Kind(targets.Microsoft, lambda url: {"url": url, "authority": url, **ENTRA}),
    "pagerduty": Kind(targets.PagerDuty, lambda url: {"url": url, "user": "kim@example.com"}),
    "sentry": Kind(targets.Sentry, lambda url: {"url": url, "organization": "acme"}),
    "splunk": Kind(targets.Splunk, lambda url: {"url": url}),
}
LONG = 20  # seconds that a product on a loaded machine may take to answer: as many as it can be given
each_kind = pytest.mark.parametrize("name", KINDS)


@dataclass
class Bed:
    """A deployment that asks. `account.test` is this machine."""

    folder: Path
    names: list[str] = field(default_factory=lambda: ["127.0.0.1", "account.test", "down.invalid"])
    trusted: ssl.SSLContext | None = None
    running: list[Any] = field(default_factory=list)

    def product(self, name: str) -> Any:
        """Start the product of a kind."""
        found = KINDS[name].product()
        self.running.append(found.server)
        return found

    def server(self, answer: Callable[[Asked], Told], context: ssl.SSLContext | None = None) -> Loopback:
        """Start a server that answers by a function."""
        found = Loopback(answer, context)
        self.running.append(found)
        return found

    def ask(self, name: str, url: str, secret: str | None = None, **told: Any) -> Sound | Wrong:
        """Ask one account; whatever is found holds no secret and nothing of an answer."""
        kind = KINDS[name]
        (self.folder / "secrets").mkdir(exist_ok=True)
        path = self.folder / "secrets" / "creds"
        path.write_text(kind.secret if secret is None else secret)
        path.chmod(0o600)
        document = {"kind": name, "token": "creds", "timeout": LONG, **kind.fields(url), **told}
        config = accounts.load("x", json.dumps({"accounts": {"it": document}}).encode())["it"]
        hosts = Hosts(self.names, private=True, resolve=self._resolve)
        http = HttpClient(hosts, context=self.trusted)
        streams, files = TlsStreams(hosts), AppendFiles(self.folder / "files")
        secrets = FileSecrets(self.folder / "secrets")
        asked = Connectors(http, files, streams, secrets, lambda: pytest.fail("not in AWS"), Grants())
        found = asked.account(config)
        http.close()
        assert "canary" not in repr(found)
        assert "bearer-" not in repr(found)
        return found

    @staticmethod
    def _resolve(host: str, port: int) -> list[str]:
        from sentinel.adapters.hosts import resolve

        return ["127.0.0.1"] if host == "account.test" else resolve(host, port)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """Give a deployment; stop what it started."""
    found = Bed(tmp_path)
    yield found
    for each in found.running:
        each.stop()


def level(found: Sound | Wrong) -> Level | None:
    """Return what is wrong, None for nothing."""
    return found.level if isinstance(found, Wrong) else None


def words(found: Sound | Wrong) -> str:
    """Return what is said, with what to do."""
    return f"{found.words} {found.hint}" if isinstance(found, Wrong) else found.words


def test_every_kind_can_be_asked() -> None:
    """No kind of account is left out, and this suite has all of them."""
    assert set(KINDS) == set(accounts.ACCOUNTS)
    for name, kind in accounts.ACCOUNTS.items():
        assert list(inspect.signature(kind.check).parameters) == ["self", "secret"], name  # type: ignore[attr-defined]


@each_kind
def test_what_works_is_sound_and_nothing_is_made(bed: Bed, name: str) -> None:
    """Every request but the sign-in is a GET, or has no body; the product has no more than it had."""
    product = bed.product(name)
    assert isinstance(bed.ask(name, product.url), Sound)
    for asked in product.server.asked:
        signing_in = asked.path.endswith("/token")
        assert signing_in or asked.method == "GET" or asked.body == b"", asked.path
    made = ("texts", "events", "comments", "downtimes", "updates", "wishes")
    assert not any(getattr(product, each, None) for each in made)


WORDS = {
    "datadog": [
        "GET /api/v1/validate",
        "GET /api/v2/validate_keys",
        "GET /api/v2/events?filter%5Bfrom%5D=now-1m&filter%5Bto%5D=now&page%5Blimit%5D=1",
        "GET /api/v2/downtime?current_only=true&page%5Blimit%5D=1",
    ],
    "falcon": [
        "POST /oauth2/token",
        "GET /devices/queries/devices/v1?limit=1",
        "GET /alerts/queries/alerts/v2?limit=1",
    ],
    "microsoft_sentinel": [
        f"POST /{TENANT}/oauth2/v2.0/token",
        f"GET {WORKSPACE}/providers/Microsoft.SecurityInsights/incidents?api-version=2025-09-01&$top=1",
        f"GET {WORKSPACE}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01",
    ],
    "pagerduty": ["GET /users?query=kim%40example.com&limit=100"],
    "sentry": ["GET /api/0/organizations/acme/issues/?limit=1", "GET /api/0/"],
    "splunk": ["POST /services/collector/event"],
}


@each_kind
def test_what_is_asked(bed: Bed, name: str) -> None:
    """These requests and no others, in this order: whoever changes them sees it here."""
    product = bed.product(name)
    bed.ask(name, product.url)
    assert [f"{each.method} {each.path}" for each in product.server.asked] == WORDS[name]


@each_kind
def test_a_wrong_secret_is_told(bed: Bed, name: str) -> None:
    """The credentials are refused: that is the level, and the secret is what to look at."""
    product = bed.product(name)
    found = bed.ask(name, product.url, KINDS[name].other)
    assert level(found) is Level.CREDENTIALS
    assert "secret" in words(found)


@each_kind
def test_a_secret_that_cannot_be_sent_is_told(bed: Bed, name: str) -> None:
    """One of another form, or with what no header can hold, is no crash, and is not shown."""
    product = bed.product(name)
    assert level(bed.ask(name, product.url, "canary\r\nx: y\u2028")) is Level.CREDENTIALS


@each_kind
def test_what_does_not_answer_is_told_by_how(bed: Bed, name: str) -> None:
    """A name that is none, a host that is not allowed, a port that is closed, a certificate, silence."""
    assert level(bed.ask(name, "https://down.invalid")) is Level.NAME
    assert level(bed.ask(name, "https://elsewhere.example.com")) is Level.ALLOWED
    server = bed.server(lambda _: Told(200), _unknown(bed.folder))
    assert level(bed.ask(name, f"https://account.test:{server.port}")) is Level.TLS
    with nobody() as port:
        assert level(bed.ask(name, f"http://127.0.0.1:{port}")) is Level.CONNECT
    asked = threading.Event()

    def late(_: Asked) -> Told:
        asked.wait(LONG)
        return Told(200)

    slow = bed.server(late)
    assert level(bed.ask(name, f"http://127.0.0.1:{slow.port}", timeout=1)) is Level.SILENT
    asked.set()


def _unknown(folder: Path) -> ssl.SSLContext:
    """Return what a server needs whose certificate is nobody's that is known here."""
    made = make(folder, "account.test", make(folder, "authority"), server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.pem, made.secret)
    return context


@each_kind
@pytest.mark.parametrize(
    ("status", "what"),
    [(200, Level.PRODUCT), (302, Level.PRODUCT), (404, Level.PRODUCT), (429, Level.BUSY), (503, Level.BUSY)],
)
def test_a_page_is_no_product(bed: Bed, name: str, status: int, what: Level) -> None:
    """A sign-in page, a proxy or another path is said to be that; throttling and upkeep pass."""
    page = Told(status, b"<html>canary</html>", {"Content-Type": "text/html"})
    server = bed.server(lambda _: page)
    assert level(bed.ask(name, f"http://127.0.0.1:{server.port}")) is what


@each_kind
@pytest.mark.parametrize(("status", "what"), [(200, Level.PRODUCT), (500, Level.BUSY)])
def test_each_question_may_be_answered_by_something_else(
    bed: Bed, name: str, status: int, what: Level
) -> None:
    """Whichever answer is a page: it is told as that, or the words say what is left open. It is no crash."""
    product = bed.product(name)
    bed.ask(name, product.url)
    count = len(product.server.asked)
    honest = product.server.answer
    for bad in range(count):
        numbers = iter(range(count + 1))

        def answer(asked: Asked, bad: int = bad, numbers: Iterator[int] = numbers) -> Told:
            return Told(status, b"<canary>") if next(numbers) == bad else honest(asked)

        product.server.answer = answer
        found = bed.ask(name, product.url)
        assert level(found) in {what, None}
        if bad == 0:
            assert level(found) is what
        elif isinstance(found, Sound):
            assert "shows with" in found.words


def test_sentry_is_asked_for_issues_and_scopes(bed: Bed) -> None:
    """An organization that is another's, a token that reads nothing, one that cannot write."""
    it = bed.product("sentry")
    assert "has the scope to comment" in words(bed.ask("sentry", it.url))
    found = bed.ask("sentry", it.url, organization="other")
    assert level(found) is Level.PLACE
    assert "organization other" in found.words
    it.scopes = ["event:read"]
    found = bed.ask("sentry", it.url)
    assert level(found) is Level.PERMISSION
    assert "event:write" in found.words
    it.scopes = ["event:admin"]
    assert isinstance(bed.ask("sentry", it.url), Sound)
    it.scopes = ["org:read"]
    found = bed.ask("sentry", it.url)
    assert level(found) is Level.PERMISSION
    assert "Issue & Event: Read & Write" in words(found)
    it.scopes = [{}, "event:read", None]
    assert level(bed.ask("sentry", it.url)) is Level.PERMISSION


def test_sentry_of_a_region_does_not_tell_scopes(bed: Bed) -> None:
    """Where the index is not there, reading is what is known, and the words say so."""
    it = bed.product("sentry")
    honest = it.server.answer
    it.server.answer = lambda asked: Told(404) if asked.path == "/api/0/" else honest(asked)
    found = bed.ask("sentry", it.url)
    assert isinstance(found, Sound)
    assert "whether it may write shows" in found.words


def test_datadog_is_asked_for_each_key_and_scope(bed: Bed) -> None:
    """Which of the keys is refused, and which scope is missing; muting is needed by those who mute only."""
    it = bed.product("datadog")
    found = bed.ask("datadog", it.url, KINDS["datadog"].other)
    assert "refuses the API key" in found.words
    found = bed.ask("datadog", it.url, KEYS.replace("app-", "apx-"))
    assert level(found) is Level.CREDENTIALS
    assert "refuses the application key" in found.words
    it.scopes = {"events_read"}
    found = bed.ask("datadog", it.url)
    assert isinstance(found, Sound)
    assert "monitors_downtime" in found.words
    it.scopes = {"monitors_downtime"}
    found = bed.ask("datadog", it.url)
    assert level(found) is Level.PERMISSION
    assert "events_read" in words(found)
    found = bed.ask("datadog", it.url, "canary-one-key-alone-0123456789")
    assert level(found) is Level.CREDENTIALS
    assert '{"api_key": "...", "app_key": "..."}' in found.words


@pytest.mark.parametrize("user", ["kim@example.com", "KIM@example.com"])
def test_pagerduty_is_asked_for_the_user(bed: Bed, user: str) -> None:
    """The user of the account is found by the whole address, in any case."""
    assert isinstance(bed.ask("pagerduty", bed.product("pagerduty").url, user=user), Sound)


@pytest.mark.parametrize("user", ["gone@example.com", "im@example.com", "kim@example.co"])
def test_pagerduty_has_no_such_user(bed: Bed, user: str) -> None:
    """What is only part of an address is another's: notes could not be written in that name."""
    found = bed.ask("pagerduty", bed.product("pagerduty").url, user=user)
    assert level(found) is Level.PLACE
    assert "`user`" in words(found)


def test_microsoft_is_asked_for_incidents_and_roles(bed: Bed) -> None:
    """No role, a reader's, a workspace that is none, a version that is not known, a cloud's own audience."""
    it, name = bed.product("microsoft_sentinel"), "microsoft_sentinel"
    assert "roles let it comment" in words(bed.ask(name, it.url))
    found = bed.ask(name, it.url, workspace=WORKSPACE.replace("acme", "other"))
    assert level(found) is Level.PLACE
    assert level(bed.ask(name, it.url, api="2020-01-01")) is Level.SCHEMA
    it.tells = False
    found = bed.ask(name, it.url)
    assert isinstance(found, Sound)
    assert "whether it may comment shows" in found.words
    it.tells, it.actions = True, ["Microsoft.SecurityInsights/*/read"]
    found = bed.ask(name, it.url)
    assert level(found) is Level.PERMISSION
    assert "Microsoft Sentinel Responder" in words(found)
    it.actions, it.denied = ["*"], ["microsoft.securityinsights/*/write"]
    assert level(bed.ask(name, it.url)) is Level.PERMISSION
    it.denied = ["Microsoft.SecurityInsights/incidents/write"]
    assert isinstance(bed.ask(name, it.url), Sound)
    it.actions = []
    assert level(bed.ask(name, it.url)) is Level.PERMISSION
    honest: Callable[[Asked], Told] = it.server.answer

    def revoked(asked: Asked) -> Told:
        told = honest(asked)
        it.revoked = it.issued
        return told

    it.server.answer = revoked
    found = bed.ask(name, it.url)
    assert level(found) is Level.CREDENTIALS
    assert "`audience`" in found.words


def test_falcon_is_asked_for_what_its_actions_read(bed: Bed) -> None:
    """The cloud that the API client is of; each scope that is missing, where the account has a use for it."""
    it = bed.product("falcon")
    it.region = "us-2"
    found = bed.ask("falcon", it.url)
    assert level(found) is Level.PRODUCT
    assert "cloud: us-2" in found.words
    it.region = ""
    for scopes, hosts, what, said in [
        ({"alerts"}, [HOST], Level.PERMISSION, ["Hosts: Read"]),
        (set(), [HOST], Level.PERMISSION, ["Hosts: Read", "Alerts: Read"]),
        (set(), [], Level.PERMISSION, ["Alerts: Read"]),
        ({"hosts"}, [HOST], None, ["not alerts", "Alerts: Read"]),
        ({"alerts"}, [], None, ["may read alerts", "lists none"]),
        ({"hosts", "alerts"}, "every", None, ["hosts and alerts"]),
    ]:
        it.scopes = scopes
        found = bed.ask("falcon", it.url, hosts=hosts)
        assert level(found) is what
        assert all(each in found.words for each in said), found.words
    assert "Hosts" not in words(bed.ask("falcon", it.url, hosts=[]))


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"kind": "datadog", "site": "datadoghq.eu"}, "api.datadoghq.eu"),
        ({"kind": "falcon", "cloud": "eu-1"}, "api.eu-1.crowdstrike.com"),
        ({"kind": "microsoft_sentinel", **ENTRA}, "management.azure.com"),
        ({"kind": "pagerduty", "user": "kim@example.com"}, "api.pagerduty.com"),
        ({"kind": "sentry", "organization": "acme", "url": "https://de.sentry.io"}, "de.sentry.io"),
        ({"kind": "splunk", "url": "https://hec.example.com:8088"}, "hec.example.com:8088"),
    ],
)
def test_where_accounts_lead(document: dict[str, str], place: str) -> None:
    """To what steps act on, without a look at the secret: not to where they sign in."""
    config = accounts.load("x", json.dumps({"accounts": {"it": {**document, "token": "t"}}}).encode())["it"]
    assert isinstance(config, Checkable)
    assert connector_places.of_account(config) == place
