"""The two APIs of the local gateway, each with its socket, its door and its TLS, in one of two modes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sentinel.bootstrap import bootstrap
from sentinel.local import functions
from sentinel.local.door import Door, OpenDoor
from sentinel.local.doors import DECISION_SECONDS, INSECURE, SECURE, server_files
from sentinel.local.gateway import Gateway
from sentinel.local.listeners import Front
from sentinel.local.paths import Paths
from sentinel.local.tls import Files
from sentinel.routes import HOOK_ROUTES, ROUTES, Route
from sentinel.usecases.receive import MAX_BODY

AUTHORIZE_SECONDS = 10.0
HOOK_BODY_SECONDS = 10.0
HOOK_THREADS = 2
# A webhook's sender is known only once its body is there, so whoever is slow is anybody. Their bodies are
# small enough for all connections to send one at once; where all do, the one that is slow for longest goes.
HOOK_CONNECTIONS = 500


def build(mode: str, service: socket.socket, hooks: socket.socket) -> list[Front]:
    """Make the service API and the webhook API, and load the functions behind them."""
    hook_routes = [route for route in HOOK_ROUTES if mode == SECURE or route.function != "token"]
    hook_gateway = Gateway(
        Paths.of(hook_routes),
        OpenDoor(),
        scheme="",
        body_seconds=HOOK_BODY_SECONDS,
        max_body=MAX_BODY,
        large=2 * HOOK_CONNECTIONS,
        threads=HOOK_THREADS,
    )
    if mode == INSECURE:
        routes = open_routes(ROUTES)
        _load(route.function for route in (*routes, *hook_routes))
        return [
            Front(service, Gateway(Paths.of(routes), OpenDoor(_policy))),
            Front(hooks, hook_gateway, most=HOOK_CONNECTIONS),
        ]
    app = bootstrap()
    kept = DECISION_SECONDS if app.settings.door_seconds > 0 else 0
    _load(("authorize", *(route.function for route in (*ROUTES, *HOOK_ROUTES))))
    door = Door(_Authorizer(), kept)
    certificate, key, roots = server_files(app.home)
    return [
        Front(service, Gateway(Paths.of(ROUTES), door, "https"), Files(certificate, key, roots)),
        Front(hooks, hook_gateway, Files(certificate, key), HOOK_CONNECTIONS),
    ]


def open_routes(routes: Iterable[Route]) -> list[Route]:
    """Return the routes that there are without doors: none that is about tokens or certificates."""
    return [route for route in routes if route.door == "token" and route.function != "certify"]


def _policy(service: str) -> Mapping[str, str]:
    """Return the policies of who calls itself so; one that is not registered has none of its own."""
    known = bootstrap().directory.service(service)
    if known is None:
        return {"lanes": "0", "encryption": "store"}
    return {"lanes": str(known.lanes), "spread": known.spread.text(), "encryption": known.encryption}


def _load(names: Iterable[str]) -> None:
    for name in sorted(set(names)):
        functions.load(name)


class _Authorizer:
    """Calls the function `authorize` in threads of its own: it may have to ask the registry or an issuer."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, "authorize")

    async def __call__(self, event: dict[str, Any], request_id: str) -> Any:
        context = functions.Context("authorize", request_id, AUTHORIZE_SECONDS)
        handler = functions.load("authorize")
        call = asyncio.get_running_loop().run_in_executor(self._pool, handler, event, context)
        return await asyncio.wait_for(asyncio.shield(call), AUTHORIZE_SECONDS)
