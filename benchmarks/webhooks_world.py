"""A deployment that webhooks come to: the real receiver over a registry, secrets in files and a ledger."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core.access import Hook, Service, decode, encode
from sentinel.core.issuers import parse_issuers
from sentinel.core.ring import Key, Ring
from sentinel.core.verify import Verifier
from sentinel.entrypoints.aws import request_from
from sentinel.errors import Conflict, Unauthenticated
from sentinel.ports_doors import Record
from sentinel.usecases.append import Appender
from sentinel.usecases.directory import Directory
from sentinel.usecases.hook_secrets import HookSecrets
from sentinel.usecases.hook_sources import HookSources
from sentinel.usecases.hook_tokens import HookTokens
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.outside_issuers import OutsideIssuers
from sentinel.usecases.receive import Receiver
from sentinel.webhooks import SOURCES, sources
from tests.doors import ISSUER, NoHttp
from tests.webhooks.senders import NOW
from tests.webhooks.test_sns import Served

Receipt = dict[str, object]


class World:
    """One folder with one receiver. `now` is its time, in epoch seconds.

    Each webhook is of a service of its own name, so that its entries are all that is in that one's chains.
    The certificates that SNS signs with are the only thing that is not had as in the field.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.now = float(NOW)
        self._registry = SqliteRegistry(folder / "registry.db")
        self._secrets = FileSecretVersions(folder / "doors")
        self.ledger = SqliteLedger(folder / "ledger.db")
        self.restart()

    def restart(self) -> None:
        """Begin a process of its own: what is kept in memory is gone."""
        appender = Appender(
            self.ledger, lambda: int(self.now * 1e9), lambda n: b"n" * n, lambda: 0.5, lambda _: None
        )
        directory = Directory(self._registry, 0, lambda: self.now)
        outside = OutsideIssuers(parse_issuers(""), NoHttp(), lambda: self.now)
        self.receiver = Receiver(
            HookSources(sources(Served()), directory),
            HookSecrets(self._secrets, lambda: self.now, lambda: self.now),
            HookTokens(directory, outside, ISSUER, lambda: self.now),
            Ingest(appender, 1),
            NoHttp(),
            lambda: self.now,
        )

    def add(self, hook: str, source: str, options: Mapping[str, str], secret: str) -> None:
        """Register a webhook and its service."""
        self._put(Service(hook))
        self._put(Hook(hook, hook, source, f"hooks.{hook}", options=options))
        self._secrets.create(f"hooks.{hook}", Ring((Key("k1", secret),)).encode())

    def disable(self, hook: str) -> None:
        """Disable a webhook."""
        found = self._registry.get(Hook.KIND, hook)
        assert found is not None
        self._put(replace(decode(Hook, hook, found.body), disabled=True))

    def _put(self, entity: Service | Hook) -> None:
        known = self._registry.get(entity.KIND, entity.id)
        version = known.version if known else 0
        assert self._registry.put(Record(entity.KIND, entity.id, encode(entity), version))

    def receive(self, source: str, hook: str, headers: Iterable[tuple[str, str]], body: bytes) -> Receipt:
        """Take a message in as the endpoint does, from the event on; return the receipt."""
        path = f"/hooks/{source}/{hook}"
        asked = request_from(event_of(path, headers, body))
        proven = self.receiver.admit(source, hook, asked.headers, asked.body, asked.repeated)
        return self.receiver.store(proven, Origin("", path, "r"))

    def tried(
        self, source: str, hook: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Receipt | None:
        """Take a message in, or refuse it: then None."""
        try:
            return self.receive(source, hook, headers, body)
        except (Unauthenticated, Conflict):
            return None

    def entries(self, service: str) -> list[bytes]:
        """Return the entries of a service, verified."""
        verifier, found = Verifier(f"{service}/0"), []
        for segment in self.ledger.read(f"{service}/0"):
            verifier.check(segment)
            found += segment.opened.entries
        return found


def event_of(path: str, headers: Iterable[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """Return what API Gateway makes of a request: the last value of each header, and all of each."""
    many: dict[str, list[str]] = {}
    for name, value in headers:
        many.setdefault(name, []).append(value)
    return {
        "httpMethod": "POST",
        "resource": "/hooks/{source}/{hook}",
        "path": path,
        "headers": {name: values[-1] for name, values in many.items()},
        "multiValueHeaders": many,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        "requestContext": {"requestId": "r", "identity": {"sourceIp": "192.0.2.1"}},
    }


def bodies_of(entries: list[bytes]) -> tuple[bytes, list[dict[str, object]], str]:
    """Return what the entries of one message hold: its body, the alerts, and why it was parked."""
    told = [orjson.loads(entry) for entry in entries]
    alerts = [each["alert"] for each in told if "alert" in each]
    body = "".join(each["body"] for each in told if "body" in each).encode()
    return body, alerts, next((each["webhook"].get("parked", "") for each in told), "")


def named(text: str) -> str:
    """Return a text as the name of a webhook.

    >>> named("azure_monitor/log.json")
    'azure-monitor-log-json'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def numbered(source: str, body: bytes, number: int) -> bytes:
    """Return a body as one that was not sent before: another id where it brings one, else one member more.

    >>> numbered("splunk", b'{"sid": "a"}', 7)
    b'{"number":7,"sid": "a"}'
    """
    made = SOURCES[source].make({})
    name = made.message({"webhook-id": "x"}, body).partition(" ")[0].encode()
    if name != b"x" and name in body:
        return body.replace(name, b"%s%08x" % (name[:-8], number))
    return body.replace(b"{", b'{"number":%d,' % number, 1)
