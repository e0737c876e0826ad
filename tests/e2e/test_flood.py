"""The gateway under a flood, over real sockets: others are answered, the flood waits behind itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sentinel.local.door import OpenDoor
from sentinel.local.gateway import THREADS, Gateway
from sentinel.local.listeners import Front, serve
from sentinel.local.paths import Paths
from sentinel.routes import HOOK_ROUTES, ROUTES
from tests.e2e.trees import until

Handle = Callable[[str], int]
LONG = 60.0  # seconds that a request in a line may take where the machine is busy


def api(load: Any, brake: float) -> Gateway:
    """Make a service API."""
    return Gateway(Paths.of(ROUTES), OpenDoor(), brake=brake, load=load)


def hooks_api(load: Any, brake: float) -> Gateway:
    """Make a webhook API."""
    return Gateway(Paths.of(HOOK_ROUTES), OpenDoor(), scheme="", brake=brake, load=load, threads=2)


@contextmanager
def gateway(handle: Handle, brake: float = 0.0, make: Callable[[Any, float], Gateway] = api) -> Iterator[int]:
    """Run a gateway whose functions answer with the status that `handle(caller)` returns; yield its port.

    The caller is the service, or where there is none the webhook.
    """

    def load(name: str) -> Any:
        del name

        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            del context
            door = event["requestContext"].get("authorizer")
            caller = door["service"] if door else event["pathParameters"]["hook"]
            return {"statusCode": handle(caller), "headers": {"Retry-After": "1"}, "body": "{}"}

        return handler

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    loop, stopped = asyncio.new_event_loop(), asyncio.Event()

    async def work() -> None:
        front = Front(listener, make(load, brake))
        await serve([front], stopped, grace=1.0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(LONG)
        loop.close()


@contextmanager
def flooding(
    port: int, connections: int, ask: Callable[[http.client.HTTPConnection], int] | None = None
) -> Iterator[Counter[int]]:
    """Send requests of the service `noisy` without a pause; yield the count of answers by status."""
    asked = ask or (lambda connection: _ask(connection, "noisy"))
    found: Counter[int] = Counter()
    stop = threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        while not stop.is_set():
            found[asked(connection)] += 1
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(LONG)


def _ask(connection: http.client.HTTPConnection, service: str) -> int:
    connection.request("GET", "/v1/chains", headers={"Sentinel-Service": service})
    answer = connection.getresponse()
    assert json.loads(answer.read()) == {}
    return answer.status


def test_a_quiet_service_waits_for_nobody_elses_line() -> None:
    """With 100 requests of one service in line, a tenth of a second each, another one is answered at once."""
    begun: Counter[str] = Counter()

    def handle(service: str) -> int:
        begun[service] += 1
        time.sleep(0.1 if service == "noisy" else 0.0)
        return 200

    with gateway(handle) as port, flooding(port, 100) as found:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        until(lambda: begun["noisy"] > 20, "there is no flood")
        others = []
        for _ in range(10):
            before = begun["noisy"]
            assert _ask(connection, "quiet") == 200
            others.append(begun["noisy"] - before)
        connection.close()
    # In order of arrival each would have waited for 100 requests.
    assert sorted(others)[5] < 50, others
    assert found[200] > 10


def _send(connection: http.client.HTTPConnection, hook: str) -> int:
    connection.request("POST", f"/hooks/standard-webhooks/{hook}", b"{}")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_invented_webhooks_wait_in_one_line() -> None:
    """Whoever makes a name up for each request is one caller; a webhook that took a message is another."""
    begun: Counter[bool] = Counter()

    def handle(hook: str) -> int:
        begun[hook == "real"] += 1
        time.sleep(0.05 if hook != "real" else 0.0)
        return 401 if hook != "real" else 200

    with gateway(handle, make=hooks_api) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        assert _send(connection, "real") == 200
        with flooding(port, 60, lambda each: _send(each, uuid.uuid4().hex)) as found:
            until(lambda: begun[False] > 20, "there is no flood")
            others = []
            for _ in range(10):
                before = begun[False]
                assert _send(connection, "real") == 200
                others.append(begun[False] - before)
        connection.close()
    # With a line for each name it would have waited for 60 others.
    assert sorted(others)[5] < 30, others
    assert set(found) == {401}
    assert found[401] > 10


def test_one_service_never_has_all_threads() -> None:
    """However much one service sends, one thread is left for the others."""
    running, most, lock = 0, 0, threading.Lock()

    def handle(service: str) -> int:
        del service
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return 200

    with gateway(handle) as port, flooding(port, 30):
        until(lambda: most >= THREADS - 1, "there is no flood")
        time.sleep(0.5)
    assert most == THREADS - 1


def test_refusals_are_held_back() -> None:
    """A flood that does not wait gets its refusals slowly, and only it does."""
    asked: Counter[str] = Counter()

    def handle(service: str) -> int:
        asked[service] += 1
        return 429 if service == "noisy" else 200

    with gateway(handle, brake=0.5) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        with flooding(port, 10) as found:
            began = time.monotonic()
            for _ in range(200):
                assert _ask(connection, "quiet") == 200
            assert time.monotonic() - began < 200 * 0.5 / 2
            until(lambda: asked["noisy"] >= 10, "there is no flood")
            time.sleep(max(0.0, began + 1.2 - time.monotonic()))
            took = time.monotonic() - began
        connection.close()
    assert 10 <= asked["noisy"] <= 10 * (took / 0.5 + 2)
    assert set(found) == {429}
