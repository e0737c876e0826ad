"""CrowdStrike's Falcon API on loopback: tokens that expire, hosts whose containment takes its time, alerts.

It behaves as its documentation and its clients tell: a POST only notes a wish, which the host's sensor
carries out some looks later; the wrong cloud answers a sign-in with 308. What is refused has done nothing;
what is answered and the answer lost has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from sentinel import accounts
from sentinel.accounts.falcon import FalconConfig
from tests.loopback import Asked, Loopback, Told

HOST = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32
GROUP = "a" * 32
ALERT = f"c{'0' * 31}:ind:{HOST}:117-10357-3240"
CLIENT = "client-id-canary"
SECRET = "client-secret-canary"
_PENDING = {"contain": "containment_pending", "lift_containment": "lift_containment_pending"}
_FROM = {"contain": "normal", "lift_containment": "contained"}
_AFTER = {"containment_pending": "contained", "lift_containment_pending": "normal"}


class Falcon:
    """The API. `delay` is after how many looks a sensor has carried out a wish; `fault` answers instead.

    `fault` is asked with the number of the request, sign-ins not counted.
    """

    def __init__(self) -> None:
        self.hosts = {HOST: self._host(HOST, [GROUP]), OTHER: self._host(OTHER, [])}
        self.alerts: dict[str, dict[str, Any]] = {ALERT: self._alert()}
        self.delay = 2
        self.token_uses = 1_000  # requests that a token is good for
        self.scopes = {"hosts", "alerts"}  # that the API client may read
        self.region = ""  # of the API client, where it is another cloud's
        self.members: list[str] = []
        self.logins = 0
        self.requests = 0
        self.wishes: list[str] = []
        self.fault: Callable[[int], Told | None] = lambda _: None
        self._left: dict[str, int] = {}
        self._waits: dict[str, int] = {}
        self.server = Loopback(self._answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def account(self, **more: object) -> FalconConfig:
        """Return an account that leads here."""
        told = {"kind": "falcon", "url": self.url, "token": "falcon", **more}
        body = orjson.dumps({"accounts": {"prod": told}})
        found = accounts.load("accounts", body)["prod"]
        assert isinstance(found, FalconConfig)
        return found

    def expire(self) -> None:
        """Have no token be good any more."""
        self._left.clear()

    def _host(self, aid: str, groups: list[str]) -> dict[str, Any]:
        return {"device_id": aid, "hostname": "WEB-1", "status": "Normal", "groups": groups}

    def _alert(self) -> dict[str, Any]:
        return {
            "composite_id": ALERT,
            "display_name": "Credential dump",
            "severity": 70,
            "status": "new",
            "tags": [],
            "comments": [],
            "device": {"device_id": HOST, "hostname": "WEB-1"},
        }

    def _answer(self, asked: Asked) -> Told:
        parts = urlsplit(asked.path)
        if parts.path == "/oauth2/token":
            return self._login(asked)
        self.requests += 1
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self._left.get(token):
            return _told(401, code=401)
        self._left[token] -= 1
        fault = self.fault(self.requests)
        if fault is not None and not fault.lost:
            return fault
        told = self._told(asked, parts.path, {name: each[0] for name, each in parse_qs(parts.query).items()})
        return fault or told

    def _login(self, asked: Asked) -> Told:
        self.logins += 1
        form = {name: each[0] for name, each in parse_qs(asked.body.decode()).items()}
        if self.region:
            return Told(
                308, b"canary", {"X-Cs-Region": self.region, "Location": "https://elsewhere.example.com"}
            )
        if (form["client_id"], form["client_secret"]) != (CLIENT, SECRET):
            return _told(401, code=401)
        self.members.append(form.get("member_cid", ""))
        token = f"token-{self.logins}-canary"
        self._left[token] = self.token_uses
        return Told(201, orjson.dumps({"access_token": token, "expires_in": 1799, "token_type": "bearer"}))

    def _told(self, asked: Asked, path: str, query: dict[str, str]) -> Told:
        needed = "hosts" if path.startswith("/devices/") else "alerts"
        if needed not in self.scopes:
            return _told(403, code=403)
        if path in {"/devices/queries/devices/v1", "/alerts/queries/alerts/v2"}:
            return _told(200, [HOST if needed == "hosts" else ALERT])
        return self._done(asked, path, query)

    def _done(self, asked: Asked, path: str, query: dict[str, str]) -> Told:
        if (asked.method, path) == ("GET", "/devices/entities/devices/v2"):
            return self._device(query["ids"])
        if (asked.method, path) == ("POST", "/devices/entities/devices-actions/v2"):
            return self._wish(query["action_name"], orjson.loads(asked.body)["ids"])
        if (asked.method, path) == ("POST", "/alerts/entities/alerts/v2"):
            (alert,) = orjson.loads(asked.body)["composite_ids"]
            return _told(200, [self.alerts[alert]] if alert in self.alerts else [])
        if (asked.method, path) == ("PATCH", "/alerts/entities/alerts/v3"):
            return self._changed(orjson.loads(asked.body))
        return _told(404, code=404)

    def _device(self, aid: str) -> Told:
        if aid not in self.hosts:
            return _told(404, code=404)
        host = self.hosts[aid]
        if host["status"] in _AFTER:
            self._waits[aid] -= 1
            if self._waits[aid] <= 0:
                host["status"] = _AFTER[host["status"]]
        return _told(200, [host])

    def _wish(self, action: str, ids: list[str]) -> Told:
        (aid,) = ids
        host = self.hosts[aid]
        self.wishes.append(f"{action} {aid}")
        if host["status"].lower() != _FROM[action]:
            return _told(409, code=409)
        host["status"] = _PENDING[action]
        self._waits[aid] = self.delay
        return _told(202, [{"id": aid, "path": "/devices/entities/devices/v2"}])

    def _changed(self, body: dict[str, Any]) -> Told:
        (name,) = body["composite_ids"]
        if name not in self.alerts:
            return _told(200, [], code=404)
        alert = self.alerts[name]
        for each in body["action_parameters"]:
            if each["name"] == "append_comment":
                alert["comments"].append({"falcon_user_id": "api", "value": each["value"]})
            elif each["name"] == "update_status":
                alert["status"] = each["value"]
            elif each["value"] not in alert["tags"]:
                alert["tags"].append(each["value"])
        return Told(200, orjson.dumps({"meta": {"writes": {"resources_affected": 1}}}))


def _told(status: int, resources: list[Any] | None = None, code: int = 0) -> Told:
    errors = [{"code": code, "message": "canary"}] if code else []
    return Told(status, orjson.dumps({"meta": {}, "resources": resources or [], "errors": errors}))
