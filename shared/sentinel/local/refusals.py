"""The gateway's own refusals, in the shape of the API's errors; `infra/refusals.py` has API Gateway's."""

from __future__ import annotations

import json

from aiohttp import web

SERVER = "Sentinel"  # in the place of the names and versions of what answers


class Refusal(Exception):
    """An answer that no function gives: `{"error", "message"}` with a status and perhaps headers."""

    def __init__(self, status: int, error: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error": error, "message": message}).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self, request_id: str = "") -> web.Response:
        """Return the answer."""
        headers = {**self.headers, "X-Content-Type-Options": "nosniff", "Server": SERVER}
        if request_id:
            headers["Sentinel-Request-Id"] = request_id
        return web.Response(
            status=self.status, body=self.body, headers=headers, content_type="application/json"
        )


def unauthenticated() -> Refusal:
    """Refuse a request that proves nobody's identity."""
    return Refusal(
        401,
        "Unauthenticated",
        "bring a client certificate and an access token that is bound to it; POST /v1/token gives one",
        WWW_Authenticate="Bearer",
    )


def forbidden() -> Refusal:
    """Refuse a request of somebody who is known and may not do this."""
    return Refusal(403, "Forbidden", "the token does not allow this")


def busy(retry_after: int) -> Refusal:
    """Refuse a request while nobody can say who sends it."""
    return Refusal(503, "Unavailable", "the door is busy: try again", Retry_After=str(retry_after))
