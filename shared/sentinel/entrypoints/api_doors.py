"""The endpoints of the doors. `DOOR_ENDPOINTS` has them all; `api.ENDPOINTS` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sentinel.entrypoints import oauth
from sentinel.entrypoints.web import Request, Response

if TYPE_CHECKING:
    from sentinel.bootstrap import App

DOOR_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("POST", "/v1/token"): oauth.token,
    ("GET", "/.well-known/jwks.json"): oauth.keys,
}
