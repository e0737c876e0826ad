"""The walk over the routes: each as requests that a client could send, and what its door asks of one.

It reads `sentinel.routes` anew each time, so that a route that is added is attacked with no edit here. A
route whose door nobody has written attacks for is an error, and so is one whose honest request is not served.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from sentinel import routes
from sentinel.routes import Route
from tests import pki
from tests.sampling import taken

MARK = "CANARY"  # in every body, so that it can be looked for
SERVICE_DOORS = {"token", "key", "certificate"}
HOOK_DOORS = {"signature", "secret", "link", "open"}
ANY = ("GET", "POST", "DELETE")  # for routes that take every method
_PARAMETER = re.compile(r"\{(\w+)(\+?)\}")
_KNOWN = {
    "queue": "recipe:none",
    "upstream": "echo",
    "path": "a/b",
    "source": "standard-webhooks",
    "hook": "bills",
}
OWNER = "victim"  # whose chains are asked about
_QUESTIONS = {"/v1/chains/{owner}/{lane}/proof": "?entry=0"}
_ASKING = {"source": "cloudevents", "hook": "cloud"}  # of a sender that asks whether it may send
_ENTRY = json.dumps({"text": f"{MARK}-entry"}).encode()
_LOGS = json.dumps(
    {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": f"{MARK}-record"}}]}]}]}
).encode()
_FORM = urlencode({"grant_type": "client_credentials", "note": f"{MARK}-form"}).encode()
# Bodies that are as they should be; what is not listed gets a small JSON object.
_BODIES: Mapping[str, tuple[str, bytes]] = {
    "/v1/entries": ("application/x-ndjson", _ENTRY),
    "/v1/logs": ("application/json", _LOGS),
    "/v1/certificate": ("application/pkcs10", pki.request(pki.p256())),
    "/v1/token": ("application/x-www-form-urlencoded", _FORM),
    "/oauth/token": ("application/x-www-form-urlencoded", _FORM),
    "/hooks/{source}/{hook}": ("application/json", b'{"note":"%s-hook"}' % MARK.encode()),
    **{
        f"/services/collector{path}": ("application/json", b'{"event":"%s-event"}' % MARK.encode())
        for path in ("", "/event", "/event/1.0", "/raw", "/raw/1.0")
    },
    "/services/collector/ack": ("application/json", b'{"acks":[1]}'),
    "/v1/tasks/bulk": (
        "application/json",
        b'{"act":"cancel","filter":{"recipe":"none"},"why":"%s-why"}' % MARK.encode(),
    ),
    "/v1/tasks/{task}/approval": (
        "application/json",
        b'{"verdict":"refuse","digest":"%s","why":"%s-why"}' % (b"0" * 64, MARK.encode()),
    ),
    "/v1/tasks/{task}/links": ("application/json", b'{"for":"vera"}'),
    "/v1/tasks/{task}/resolve": (
        "application/json",
        b'{"why":"%s-why","verdict":"failed"}' % MARK.encode(),
    ),
    **{
        f"/v1/queues/{{queue}}/{act}": ("application/json", b'{"why":"%s-why"}' % MARK.encode())
        for act in ("pause", "resume", "purge")
    },
    **{
        f"/v1/tasks/{{task}}/{act}": ("application/json", b'{"why":"%s-why"}' % MARK.encode())
        for act in ("accept", "cancel", "fork", "redrive", "retry")
    },
}


@dataclass(frozen=True)
class Target:
    """One request of one route."""

    route: Route
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.route.path}"


def some(case: str, *doors: str) -> Sequence[Target]:
    """Return a third of the service's targets, another one for other cases; all where all is to be tried."""
    return taken(list(service(*doors)), 3, zlib.crc32(case.encode()))


def service(*doors: str) -> list[Target]:
    """Return the requests of the service API, of all routes or of those with one of these doors."""
    return list(_targets(routes.ROUTES, SERVICE_DOORS, doors))


def hooks(*doors: str) -> list[Target]:
    """Return those of the webhook API."""
    return list(_targets(routes.HOOK_ROUTES, HOOK_DOORS, doors))


def _targets(found: tuple[Route, ...], known: set[str], doors: tuple[str, ...]) -> Iterator[Target]:
    for route in found:
        assert route.door in known, (
            f"{route.method} {route.path}: there are no attacks on a door {route.door}"
        )
        if not doors or route.door in doors:
            for method in ANY if route.method == "ANY" else (route.method,):
                yield _target(route, method)


def _target(route: Route, method: str, **known: str) -> Target:
    known = {**_ASKING, **known} if method == "OPTIONS" else known
    params = {name: {**_KNOWN, **known}.get(name, "x") for name, _ in _PARAMETER.findall(route.path)}
    path = _PARAMETER.sub(lambda found: params[found[1]], route.path)
    if method in {"GET", "DELETE", "HEAD", "OPTIONS"}:
        headers = {"WebHook-Request-Origin": "sender.example"} if method == "OPTIONS" else {}
        return Target(route, method, path, headers=headers, params=params)
    kind, body = _BODIES.get(route.path, ("application/json", b'{"note":"%s"}' % MARK.encode()))
    return Target(route, method, path, body, {"Content-Type": kind}, params)


def with_things(target: Target, task: str, alert: str = "") -> Target:
    """Return the request with somebody's task, alert or chain in its path, where there is one."""
    made = _target(target.route, target.method, task=task, alert=alert or "x", owner=OWNER, lane="0")
    return replace(made, path=made.path + _QUESTIONS.get(target.route.path, ""))
