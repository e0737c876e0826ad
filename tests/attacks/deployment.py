"""One tree of `sentinel up` with its doors, and the people around it: a victim, an attacker, others.

Whoever attacks has a good certificate, a good key and every right of its own (`mallory`), unless a case is
about exactly that. The forger's tools (the CA's and the signing key) are taken out of the home.
"""

from __future__ import annotations

import functools
import json
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sentinel.adapters import whole_files
from sentinel.bootstrap import App, application
from sentinel.core import hec_tokens
from sentinel.core.access import SCOPES, Author, Root, Service, encode
from sentinel.core.approval_links import TYPE, audience
from sentinel.core.ring import Key, Ring
from sentinel.core.tokens import sign, signing_key
from sentinel.ports_doors import Record
from tests import pki
from tests.attacks.certificates import Ca, Forge, Held, key_pem, record, stranger
from tests.attacks.tokens import ME, VICTIM, Mint
from tests.attacks.walk import MARK
from tests.attacks.wire import Client, tls
from tests.core.test_dsse import KEYS
from tests.e2e.trees import Tree, push, until, up
from tests.webhooks.test_standard import sign as signed
from tests.wire import Wire

DOOR_SECONDS = 2  # SENTINEL_DOOR_SECONDS: within so many seconds a revocation counts
MARGIN = 0.7
SOURCE = "standard-webhooks"
APPROVER = "vera"
TOKEN_HOOKS = {"monitors": VICTIM, "mallorys-monitors": ME}  # webhooks that take access tokens, and whose
ODD_HOSTS = (
    "127.0.0.1,localhost,2130706433,0x7f000001,0x7f.1,0177.0.0.1,127.1,0,0.0.0.0,169.254.169.254,"
    "::1,::ffff:127.0.0.1,::ffff:169.254.169.254,fd00:ec2::254,fe80::1,10.0.0.1,100.100.100.200,192.0.0.192"
)
RULE = """\
title: marked
id: 3b0a2f2e-5f4c-4d0e-9d54-0d6a3e0f7a01
logsource: {product: attack}
detection: {selection: {set_off: 'yes'}, condition: selection}
level: high
"""
RECIPE = """\
id: reach-inside
on: {rule: marked}
dedup: {by: [n], within: 1h}
retry: {attempts: 1, backoff: 1ms..2ms}
steps:
  - {id: inside, uses: http.call, with: {url: 'http://127.0.0.1:%d/inside'}}
"""


@dataclass
class Member:
    """A service with its certificate, its API key and its own client."""

    name: str
    held: Held
    api_key: str
    client: Client


@dataclass
class Deployment:
    """What runs, and who is there."""

    tree: Tree
    app: App
    folder: Path
    log: Path
    upstream: Wire
    inside: Wire
    forge: Forge
    ring: Ring
    members: dict[str, Member] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    victims_task: str = ""
    victims_alert: str = ""
    hook_secret: str = ""
    hec_token: str = ""
    alarms_secret: str = ""
    token_secrets: dict[str, str] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port of the service API."""
        return urlsplit(self.tree.url).port or 0

    @property
    def hooks_port(self) -> int:
        """The port of the webhook API."""
        return urlsplit(self.tree.hooks).port or 0

    @property
    def roots(self) -> Path:
        """What servers are accepted of."""
        return self.tree.home / "tls" / "roots.pem"

    def client(self, held: Held | None = None, *, hooks: bool = False) -> Client:
        """Return a client with a certificate, or with none."""
        file = held.files(self.folder) if held is not None else None
        self.clients.append(Client(self.hooks_port if hooks else self.port, tls(self.roots, file)))
        return self.clients[-1]

    def close(self) -> None:
        """Close everybody's connections."""
        for each in self.clients:
            each.close()

    def keep(self, what: str, secret: str) -> str:
        """Note a secret down that must not turn up anywhere."""
        self.secrets[f"{what} {len(self.secrets)}"] = secret
        return secret

    def join(self, name: str, *, scopes: tuple[str, ...] = SCOPES) -> Member:
        """Add a service with a certificate, and return it. Its tier is high: limits are no part of this."""
        key = self.app.services.add(Service(name, tier="high", scopes=scopes)).api_key
        secret = pki.p256()
        own = Held(self.app.authority.issue(name, pki.request(secret)), key_pem(secret))
        member = Member(name, own, self.keep("API key", key), self.client(own))
        self.keep("private key", own.key.split("\n")[1])
        self.members[name] = member
        return member

    def mint(self, member: Member | None = None, key: Key | None = None) -> Mint:
        """Return a forger of tokens for a member's certificate."""
        who, signing = member or self.members[ME], key or self.ring.keys[-1]
        to = self.app.settings
        other = self.forge.of(who.name)
        return Mint(
            pem=signing.value,
            kid=signing.id,
            issuer=to.issuer,
            audience=to.audience,
            thumbprint=who.held.thumbprint,
            victims_thumbprint=self.members[VICTIM].held.thumbprint,
            other_thumbprint=other.thumbprint,
            now=int(time.time()),
        )

    def token(self, member: Member, **claims: Any) -> str:
        """Return a good token for a member, as the token endpoint would give it."""
        told = {"sub": member.name, "client_id": member.name, "scope": " ".join(SCOPES)} | claims
        return self.keep("token", self.mint(member).good(jti=secrets.token_urlsafe(16), **told))

    def bearer(self, member: Member, **claims: Any) -> dict[str, str]:
        """Return the header of a good token."""
        return {"Authorization": f"Bearer {self.token(member, **claims)}"}

    def link(self, **changes: Any) -> str:
        """Return the token of a good link to approve the victim's task, or one with changes."""
        now = int(time.time())
        issuer = self.app.settings.issuer
        good = {
            "iss": issuer, "aud": audience(issuer), "sub": APPROVER, "iat": now, "exp": now + 600,
            "jti": secrets.token_urlsafe(16), "task": self.victims_task, "digest": "0" * 64, "maker": "me",
        }  # fmt: skip
        kind = changes.pop("typ", TYPE)
        claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
        return self.keep("link", sign(claims, signing_key(self.ring.keys[-1]), kind))

    def fresh(self) -> float:
        """Return the time by which whatever changes now has to count everywhere."""
        return time.monotonic() + DOOR_SECONDS + MARGIN


def own_ca(app: App) -> Ca:
    """Return the deployment's CA with its private key, as a thief of the whole home would have it."""
    root = app.authority.signing()
    passphrase = app.door_secrets.value(app.settings.ca_secret)
    sealed = whole_files.read_private(app.home / "ca" / root.key, 16_384)
    key = load_pem_private_key(sealed, passphrase.encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(root.pem.encode())
    return Ca(certificate.subject, key, certificate, own=True)


def forge_of(app: App) -> Forge:
    """Make the forger, and have the deployment trust the mesh, and once have trusted the root that ended."""
    now = int(time.time())
    made = Forge(
        now=now,
        domain=app.settings.trust_domain,
        root=own_ca(app),
        mesh=stranger("mesh", now),
        ended=stranger("ended", now, 0),
        foreign=stranger("foreign", now),
    )
    made.record = functools.partial(record, app.registry)
    app.authority.trust("mesh.example", pki.pem(made.mesh.certificate))
    ended = Root("ended", app.settings.trust_domain, pki.pem(made.ended.certificate), until=now - 60)
    assert app.registry.put(Record(Root.KIND, ended.id, encode(ended)))
    app.trust_store.publish([*app.authority.published(), ended.pem])
    return made


def start(stack: ExitStack, folder: Path) -> Deployment:
    """Start the tree, and let everybody move in."""
    log = folder / "tree.log"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
    upstream, inside = Wire(answer), Wire(answer)
    for each in (upstream, inside):
        stack.callback(each.close)
    home = folder / "home"
    settings = {
        "SENTINEL_DOOR_SECONDS": str(DOOR_SECONDS),
        "SENTINEL_LOG_LEVEL": "DEBUG",
        "SENTINEL_HTTP_HOSTS": ODD_HOSTS,
        "SENTINEL_PROXY": f"echo=http://127.0.0.1:{upstream.port}/base,meta=https://169.254.169.254/latest",
    }
    push(home, folder / "rules", marked=RULE, reach=RECIPE % inside.port)
    stderr = stack.enter_context(log.open("wb"))
    tree = stack.enter_context(up(home, insecure=False, settings=settings, stderr=stderr))
    app = application(str(home))
    ring = Ring.decode(app.door_secrets.value(app.settings.signing_secret))
    made = Deployment(tree, app, folder, log, upstream, inside, forge_of(app), ring)
    for key in ring.keys:
        made.keep("signing key", key.value.split("\n")[1])
    made.keep("CA passphrase", app.door_secrets.value(app.settings.ca_secret))
    stack.callback(made.close)
    _settle(made)
    return made


def _settle(made: Deployment) -> None:
    for name in (ME, VICTIM):
        made.join(name)
    made.app.authors.add(Author(APPROVER, ""), KEYS["A"])
    made.hook_secret = made.keep("webhook secret", made.app.services.add_hook("bills", VICTIM, SOURCE).secret)
    events = made.app.services.add_hook("events", VICTIM, hec_tokens.SOURCE, options={"ack": "true"})
    made.hec_token = made.keep("collector token", hec_tokens.token("events", events.secret))
    made.keep("collector secret", events.secret)
    hooks = made.app.services
    hooks.add_hook("cloud", VICTIM, "cloudevents", options={"origins": "sender.example"})
    for name, whose in TOKEN_HOOKS.items():
        secret = hooks.add_hook(name, whose, "datadog", options={"auth": "oauth2"}).secret
        made.token_secrets[name] = made.keep("webhook secret", secret)
    places = {name: name for name in ("title", "status", "fingerprint")}
    alarms = made.app.services.add_hook("alarms", VICTIM, SOURCE, options=places)
    made.alarms_secret = made.keep("webhook secret", alarms.secret)
    victim = made.members[VICTIM]
    marked = json.dumps(
        {"set_off": "yes", "product": "attack", "n": 1, "text": f"{MARK}-of-the-victim"}
    ).encode()

    def settled() -> bool:
        return victim.client.ask("POST", "/v1/entries", marked, made.bearer(victim)).status == 200

    until(settled, "the victim is not let in")

    def task() -> str:
        found = victim.client.ask("GET", "/v1/tasks", headers=made.bearer(victim)).told.get("tasks")
        return found[0]["id"] if isinstance(found, list) and found else ""

    made.victims_task = until(task, "the victim's task does not come")
    tell(made)

    def alert() -> str:
        found = victim.client.ask("GET", "/v1/alerts", headers=made.bearer(victim)).told.get("alerts")
        return found[0]["id"] if isinstance(found, list) and found else ""

    made.victims_alert = until(alert, "the victim's alert does not come")
    made.app.sealer.seal("victim/0")  # proofs are of what was sealed, which is each minute


def tell(made: Deployment, title: str = "of-the-victim") -> None:
    """Send an alert of the victim's."""
    body = json.dumps({"title": f"{MARK}-{title}", "status": "firing", "fingerprint": "disk"}).encode()
    headers = signed(body, made.alarms_secret, secrets.token_hex(8), int(time.time()))
    client = made.client(hooks=True)

    def told() -> bool:
        return client.ask("POST", f"/hooks/{SOURCE}/alarms", body, headers).status == 200

    until(told, "the victim's webhook is not let in")
