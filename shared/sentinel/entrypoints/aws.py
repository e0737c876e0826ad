"""Lambda's event shapes. Each function here makes a handler: event in, one use case, reply out.

Formats: API Gateway REST proxy integration (payload 1.0), DynamoDB Streams records, EventBridge schedules.
Nothing is done at import; the application is built on the first call and kept for the process.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pybase64

from sentinel.entrypoints import observe
from sentinel.entrypoints.identity import identity_of, route_of
from sentinel.entrypoints.web import Request, Response, error_response, json_response
from sentinel.errors import Malformed, SentinelError, Tampered

if TYPE_CHECKING:
    from sentinel.bootstrap import App

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
Bootstrap = Callable[[], "App"]

log = logging.getLogger("sentinel")


def api_gateway(function: str, bootstrap: Bootstrap) -> Handler:
    """Make the handler of a function that answers HTTP requests (`sentinel.routes`)."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        with observe.call(function, context):
            answer = reply(_answer(function, bootstrap, event))
        answer["headers"]["Sentinel-Request-Id"] = event["requestContext"]["requestId"]
        return answer

    return handler


def _answer(function: str, bootstrap: Bootstrap, event: dict[str, Any]) -> Response:
    from sentinel.entrypoints import limits
    from sentinel.entrypoints.api import endpoint

    try:
        app = bootstrap()
        request = request_from(event, app.settings.client_certificate_header)
        route = route_of(request.method, event["resource"])
        try:
            return endpoint(app, route.path, route.method)(request)
        finally:
            limits.tell(app, function)
    except SentinelError as error:
        if isinstance(error, Tampered):
            observe.tampered(function, error)
        return error_response(error)
    except Exception:
        # The last line of defence: the caller learns nothing of our insides, the log says where it broke.
        log.exception("unexpected failure")
        return json_response(500, {"error": "Internal", "message": "unexpected failure; it was logged"})


def request_from(event: dict[str, Any], certificate_header: str = "") -> Request:
    """Turn an API Gateway proxy event into a `Request`.

    Raises `Malformed`, and what `identity_of` raises. `certificate_header` is the setting
    `client_certificate_header`.
    """
    body = event.get("body") or ""
    try:
        raw = pybase64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, UnicodeEncodeError):
        raise Malformed("the body is not what its encoding says") from None
    about = event["requestContext"]
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        identity=identity_of(event, certificate_header),
        request_id=about["requestId"],
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        query=event.get("queryStringParameters") or {},
        params=event.get("pathParameters") or {},
        body=raw,
        repeated=_repeated(event.get("multiValueHeaders") or {}),
        queries=event.get("multiValueQueryStringParameters") or {},
    )


def _repeated(headers: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the headers that came more than once, in whatever case, with all values; names in lower case."""
    found: dict[str, list[str]] = {}
    for name, values in headers.items():
        found.setdefault(name.lower(), []).extend(values)
    return {name: values for name, values in found.items() if len(values) > 1}


def reply(response: Response) -> dict[str, Any]:
    """Turn a `Response` into what API Gateway takes."""
    headers = {"Content-Type": response.content_type, "X-Content-Type-Options": "nosniff", **response.headers}
    text = _text(response)
    if text is not None:
        return {"statusCode": response.status, "headers": headers, "body": text, "isBase64Encoded": False}
    encoded = base64.b64encode(response.body).decode()
    return {"statusCode": response.status, "headers": headers, "body": encoded, "isBase64Encoded": True}


def _text(response: Response) -> str | None:
    """Return a JSON body as text; None for what is not JSON, or is not text: an upstream's may be packed."""
    if response.content_type != "application/json":
        return None
    try:
        return response.body.decode()
    except UnicodeDecodeError:
        return None


def stream(function: str, bootstrap: Bootstrap, take: Callable[[App, list[dict[str, Any]]], int]) -> Handler:
    """Make the handler of a change feed. `take` handles records in order and returns how many it finished.

    The answer names the first unfinished record (`ReportBatchItemFailures`), from which Lambda retries.
    """

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        records = event["Records"]
        with observe.call(function, context):
            finished = take(bootstrap(), records)
        failed = [
            {"itemIdentifier": record["dynamodb"]["SequenceNumber"]}
            for record in records[finished : finished + 1]
        ]
        return {"batchItemFailures": failed}

    return handler


def invoked(
    function: str, bootstrap: Bootstrap, run: Callable[[App, Callable[[], float]], dict[str, Any]]
) -> Handler:
    """Make the handler of a schedule or doorbell. `run` is given a function that tells the seconds left."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del event  # a ring says nothing but "look"
        with observe.call(function, context):
            return run(bootstrap(), lambda: context.get_remaining_time_in_millis() / 1000)

    return handler


def image(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a stream record's image in the low-level form that the client gives: binary decoded."""
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else dict(value)
        for name, value in values.items()
    }
