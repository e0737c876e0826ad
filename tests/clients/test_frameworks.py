"""The integrations, each with the real framework: context, trace, an entry at the end of a request."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import flask
import loguru
import pytest
import structlog
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.websockets import WebSocket

import sentinel_client
from sentinel_client import asgi, wsgi
from sentinel_client.loguru import SentinelSink
from sentinel_client.structlog import SentinelProcessor
from sentinel_client.testing import Captured, capture

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-ID": "req-1"}
log = sentinel_client.get_logger("view")


@pytest.fixture
def captured() -> Iterator[Captured]:
    """Capture everything that is logged."""
    with capture() as found:
        yield found


def check_request(found: Captured, message: str, status: int, level: str = "INFO") -> dict[str, Any]:
    """Check the entry of a request, and that entries within it have its context."""
    entry = found.assert_logged(logger="http", message=message, status=status, level=level)
    assert entry["duration_ms"] >= 0
    for each in found.found(logger="view"):
        assert each["request_id"] == entry["request_id"]
        assert each.get("trace_id") == entry.get("trace_id")
    return entry


def fastapi_app() -> FastAPI:
    """Return an application with our middleware."""
    app = FastAPI()
    app.add_middleware(asgi.SentinelMiddleware)

    @app.get("/orders/{order}")
    def order(order: int) -> dict[str, int]:
        log.info("seen", order=order)
        return {"order": order}

    @app.get("/fails")
    async def fails() -> None:
        raise KeyError("price")

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(404)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for at in range(2):
                log.info("part", at=at)
                yield b"x"

        return StreamingResponse(parts())

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        log.info("socket")
        await socket.close()

    return app


def test_fastapi_requests_have_an_id_a_trace_and_an_entry(captured: Captured) -> None:
    """The route and not the path names the request, the answer has the id, and queries are not told."""
    with TestClient(fastapi_app()) as client:
        answer = client.get("/orders/7?card=4111111111111111", headers=HEADERS)
    assert answer.headers["X-Request-ID"] == "req-1"
    entry = check_request(captured, "GET /orders/{order}", 200)
    assert (entry["request_id"], entry["trace_id"], entry["span_id"]) == ("req-1", TRACE, SPAN)
    assert (entry["path"], entry["route"]) == ("/orders/7", "/orders/{order}")
    captured.assert_logged(logger="view", message="seen", order=7, request_id="req-1", times=1)
    assert "41111111" not in str(captured.entries)  # "4111" may be of a time


def test_fastapi_failures_streams_and_sockets_are_told(captured: Captured) -> None:
    """An exception is in the request's entry at ERROR and goes on; an HTTP error is none."""
    with TestClient(fastapi_app(), raise_server_exceptions=False) as client:
        assert client.get("/fails").status_code == 500
        assert client.get("/refused").status_code == 404
        assert client.get("/stream").content == b"xx"
        with client.websocket_connect("/ws"):
            pass
    entry = captured.assert_logged(logger="http", message="GET /fails", status=500, level="ERROR")
    assert entry["exception"]["type"] == "KeyError"
    captured.assert_logged(message="GET /refused", status=404, level="INFO")
    ids = {each["message"]: each["request_id"] for each in captured.found(logger="http")}
    assert len(set(ids.values())) == 4
    assert {each["request_id"] for each in captured.found(message="part")} == {ids["GET /stream"]}
    captured.assert_logged(message="socket", request_id=ids["WEBSOCKET /ws"])


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"', "é"])
def test_an_id_that_is_no_plain_word_is_replaced(captured: Captured, given: str) -> None:
    """Whoever calls cannot write into logs what they like."""
    with TestClient(fastapi_app()) as client:
        answer = client.get("/orders/1", headers={b"X-Request-ID": given.encode("latin-1")})
    assert len(answer.headers["X-Request-ID"]) == 32
    assert captured.assert_logged(message="seen")["request_id"] == answer.headers["X-Request-ID"]


def flask_app() -> flask.Flask:
    """Return an application with our middleware."""
    app = flask.Flask("shop")
    app.wsgi_app = wsgi.SentinelMiddleware(app.wsgi_app)  # type: ignore[method-assign]

    @app.get("/orders/<int:order>")
    def order(order: int) -> dict[str, int]:
        log.info("seen", order=order)
        return {"order": order}

    @app.get("/fails")
    def fails() -> str:
        raise KeyError("price")

    @app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[bytes]:
            for at in range(2):
                log.info("part", at=at)
                yield b"x"

        return flask.Response(parts())

    return app


def test_flask_requests_have_an_id_a_trace_and_an_entry(captured: Captured) -> None:
    """As with ASGI; what a view raises is logged by Flask, with the request's context."""
    client = flask_app().test_client()
    answer = client.get("/orders/7?secret=x", headers=HEADERS)
    answer.close()
    assert answer.headers["X-Request-ID"] == "req-1"
    entry = check_request(captured, "GET /orders/<int:order>", 200)
    assert (entry["trace_id"], entry["path"]) == (TRACE, "/orders/7")
    captured.clear()
    client.get("/fails").close()
    failed = check_request(captured, "GET /fails", 500, "ERROR")
    raised = captured.assert_logged(logger="shop", request_id=failed["request_id"])
    assert raised["exception"]["type"] == "KeyError"
    assert sentinel_client.current_context() == {}


def test_the_body_of_an_answer_is_part_of_its_request(captured: Captured) -> None:
    """The request ends when the server closes the answer, whether or not all of it was read."""
    app = flask_app()
    answer = app.test_client().get("/stream", buffered=False)
    assert b"".join(answer.response) == b"xx"  # type: ignore[arg-type]
    assert captured.found(logger="http") == []
    answer.close()
    entry = check_request(captured, "GET /stream", 200)
    assert {each["request_id"] for each in captured.found(message="part")} == {entry["request_id"]}
    assert len(captured.found(logger="http")) == 1


def test_a_wsgi_application_that_raises_is_told(captured: Captured) -> None:
    """What no framework catches goes on to the server, and is in the entry."""

    def broken(environ: Any, start: Any) -> Any:
        raise KeyError("price")

    app = wsgi.SentinelMiddleware(broken)
    with pytest.raises(KeyError):
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: None)
    entry = captured.assert_logged(message="GET /x", status=500, level="ERROR")
    assert entry["exception"]["type"] == "KeyError"
    assert sentinel_client.current_context() == {}


@pytest.fixture(scope="module")
def django_urls() -> Any:
    """Set Django up, once a process, and return the module that has its routes."""
    import types

    import django  # type: ignore[import-untyped] # it has no types
    from django.conf import settings  # type: ignore[import-untyped]
    from django.http import HttpResponse  # type: ignore[import-untyped]
    from django.urls import path  # type: ignore[import-untyped]

    def order(request: Any, order: int) -> Any:
        log.info("seen", order=order)
        return HttpResponse(str(order))

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        log.info("seen")
        return HttpResponse("later")

    def fails(request: Any) -> Any:
        raise KeyError("price")

    urls: Any = types.ModuleType("django_urls")
    urls.urlpatterns = [path("orders/<int:order>", order), path("later", later), path("fails", fails)]
    sys.modules["django_urls"] = urls
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF="django_urls",
            SECRET_KEY="tests",
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["sentinel_client.django.SentinelMiddleware"],
            LOGGING_CONFIG=None,
        )
        django.setup()
    return urls


def test_django_requests_have_an_id_a_trace_and_an_entry(captured: Captured, django_urls: Any) -> None:
    """The route names the request; what a view raises is told by Django's logger, once."""
    from django.test import Client  # type: ignore[import-untyped]

    client = Client(raise_request_exception=False)
    answer = client.get("/orders/7?secret=x", headers=HEADERS)
    assert answer.headers["X-Request-ID"] == "req-1"
    entry = check_request(captured, "GET orders/<int:order>", 200)
    assert (entry["trace_id"], entry["path"]) == (TRACE, "/orders/7")
    captured.clear()
    assert client.get("/fails").status_code == 500
    failed = check_request(captured, "GET fails", 500, "ERROR")
    (raised,) = captured.found(logger="django.request")
    assert (raised["exception"]["type"], raised["request_id"]) == ("KeyError", failed["request_id"])


def test_django_works_asynchronously(captured: Captured, django_urls: Any) -> None:
    """The middleware awaits where Django does, and contexts of tasks do not mix."""
    from django.test import AsyncClient

    async def both() -> None:
        client = AsyncClient()
        await asyncio.gather(*(client.get("/later", headers={"X-Request-ID": name}) for name in "ab"))

    asyncio.run(both())
    assert {each["request_id"] for each in captured.found(message="seen")} == {"a", "b"}
    assert {each["request_id"] for each in captured.found(message="GET later", status=200)} == {"a", "b"}


def test_structlog_ends_or_passes_on(captured: Captured) -> None:
    """Bound values are fields, exceptions structured, levels those of the method or of a processor."""
    printed: list[Any] = []

    def printing(logger: Any, method: str, event: Any) -> Any:
        printed.append(dict(event))
        raise structlog.DropEvent

    first = structlog.wrap_logger(
        None,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            SentinelProcessor(pass_on=True),
            printing,
        ],
    )
    with structlog.contextvars.bound_contextvars(request_id="r"):
        first.bind(order=7).info("paid", amount=1.5)
    captured.assert_logged(message="paid", level="INFO", order=7, amount=1.5, request_id="r", times=1)
    assert printed == [{"event": "paid", "level": "info", "order": 7, "amount": 1.5, "request_id": "r"}]
    last = structlog.wrap_logger(logging.getLogger("named"), processors=[SentinelProcessor()])
    try:
        dict[str, int]()["price"]
    except KeyError:
        assert last.exception("failed", level=3) is None
    last.warn("careful")
    entry = captured.assert_logged(message="failed", level="ERROR", logger="named")
    assert entry["exception"]["type"] == "KeyError"
    captured.assert_logged(message="careful", level="WARNING")
    assert len(captured.entries) == 3


def test_structlog_is_held_to_our_levels() -> None:
    """Events below the client's level are not made."""
    with capture(level="ERROR") as captured:
        logger = structlog.wrap_logger(None, processors=[SentinelProcessor()])
        logger.info("no")
        logger.error("yes")
    assert captured.messages == ["yes"]


def test_loguru_keeps_what_was_bound_and_caught(captured: Captured) -> None:
    """Fields, levels of its own, contexts and exceptions arrive."""
    logger = loguru.logger
    handler = logger.add(SentinelSink(), level=0, format="{message}")
    try:
        with logger.contextualize(request_id="r"):
            logger.bind(order=7).success("paid {}", 12, amount=1.5)
        try:
            dict[str, int]()["price"]
        except KeyError:
            logger.exception("failed")
    finally:
        logger.remove(handler)
    entry = captured.assert_logged(message="paid 12", level="SUCCESS", order=7, amount=1.5, request_id="r")
    assert entry["logger"] == __name__
    failed = captured.assert_logged(message="failed", level="ERROR")
    assert failed["exception"]["type"] == "KeyError"
    assert failed["exception"]["frames"][-1]["function"] == "test_loguru_keeps_what_was_bound_and_caught"


def test_celery_tasks_have_their_id_their_name_and_a_trace(captured: Captured) -> None:
    """By the signals of tasks; the handler that Celery takes away is put back, once."""
    import celery  # type: ignore[import-untyped] # it has no types

    from sentinel_client import celery as ours

    app = celery.Celery("jobs", broker="memory://", set_as_current=False)
    ours.connect()
    ours.connect()

    @app.task(name="pay")  # type: ignore[untyped-decorator]
    def pay(order: int) -> None:
        log.info("paid", order=order)

    pay.apply(args=(7,), task_id="t-1")
    captured.assert_logged(message="paid", order=7, task="pay", task_id="t-1", times=1)
    assert sentinel_client.current_context() == {}
    with sentinel_client.context(trace_id=TRACE, span_id=SPAN):
        headers: dict[str, Any] = {}
        celery.signals.before_task_publish.send(sender="pay", headers=headers)
    assert headers == {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    emptied = logging.Logger("emptied")  # noqa: LOG001 - as Celery leaves the root logger
    for _ in range(2):
        celery.signals.after_setup_logger.send(sender=None, logger=emptied)
    (handler,) = emptied.handlers
    emptied.error("from a worker")
    captured.assert_logged(message="from a worker")
    handler.close()
