"""Requests to Datadog's API: its two keys, and what its refusals mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode

import orjson

from sentinel.errors import Malformed
from sentinel.ports import HttpRequest

WHO = "Datadog"
WHY = {
    400: "it does not take the request",
    401: "the keys are refused: are they of this site?",
    403: (
        "the keys may not do this: the application key needs events_read, and for downtimes "
        "monitors_downtime; are both of this site?"
    ),
    404: "there is no such monitor in the organization",
}
_KEY = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keys:
    """An API key, which may write, and an application key, which says what else it may."""

    api: str = field(repr=False)
    app: str = field(repr=False)

    @classmethod
    def read(cls, secret: str) -> Self:
        """Read them from a secret's text. Raises `Malformed`, which quotes nothing of it."""
        try:
            told = orjson.loads(secret)
        except orjson.JSONDecodeError:
            told = None
        found = [told.get(name) for name in ("api_key", "app_key")] if isinstance(told, dict) else []
        keys = [each for each in found if isinstance(each, str) and _KEY.fullmatch(each)]
        if len(keys) != 2:
            raise Malformed('the secret of a Datadog account is {"api_key": "...", "app_key": "..."}')
        return cls(*keys)


@dataclass(frozen=True, slots=True)
class Requests:
    """Makes requests to one API."""

    base: str
    keys: Keys
    timeout: float

    def get(self, path: str, query: Mapping[str, str]) -> HttpRequest:
        """Return a question."""
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, told: object) -> HttpRequest:
        """Return a request that makes something."""
        return self._request("POST", path, orjson.dumps(told))

    def delete(self, path: str) -> HttpRequest:
        """Return a request that takes something away."""
        return self._request("DELETE", path)

    def _request(self, method: str, path: str, body: bytes = b"") -> HttpRequest:
        headers = {"DD-API-KEY": self.keys.api, "DD-APPLICATION-KEY": self.keys.app}
        if body:
            headers["Content-Type"] = "application/json"
        return HttpRequest(method, self.base + path, headers, body, self.timeout)
