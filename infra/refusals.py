"""API Gateway's own refusals, in the shape of ours: `{"error", "message"}`, and when to come back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from aws_cdk import aws_apigateway

# The gateway's own words; they are quoted already.
_OWN_WORDS = "$context.error.messageString"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One gateway response. `error` is a name of `sentinel.errors`; `message` "" is the gateway's own words.

    `retry_after` is in seconds, 0 for an answer that stays the same; `status` 0 is the gateway's own.
    """

    kind: aws_apigateway.ResponseType
    error: str
    message: str = ""
    retry_after: int = 0
    status: int = 0
    more: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The template of the body."""
        message = json.dumps(self.message) if self.message else _OWN_WORDS
        return f'{{"error": "{self.error}", "message": {message}}}'

    @property
    def headers(self) -> dict[str, str]:
        """The headers, as mapping expressions: literals in single quotes."""
        told = {**self.more, **({"Retry-After": str(self.retry_after)} if self.retry_after else {})}
        return {name: f"'{value}'" for name, value in told.items()}


_KIND = aws_apigateway.ResponseType
_BUSY = "the door is busy: try again"
REFUSALS: dict[str, Refusal] = {
    "Default4xx": Refusal(_KIND.DEFAULT_4_XX, "Rejected"),
    "Default5xx": Refusal(_KIND.DEFAULT_5_XX, "Unavailable", _BUSY, 1),
    "Unauthorized": Refusal(
        _KIND.UNAUTHORIZED,
        "Unauthenticated",
        "bring a client certificate and an access token that is bound to it; POST /v1/token gives one",
        more={"WWW-Authenticate": "Bearer"},
    ),
    "AccessDenied": Refusal(_KIND.ACCESS_DENIED, "Forbidden", "the token does not allow this"),
    "UsageKey": Refusal(
        _KIND.INVALID_API_KEY, "Forbidden", "the service is in no usage plan: whoever runs this enrols it"
    ),
    "NoRoute": Refusal(
        _KIND.MISSING_AUTHENTICATION_TOKEN, "Missing", "there is nothing at this path", status=404
    ),
    "TooLarge": Refusal(_KIND.REQUEST_TOO_LARGE, "TooLarge"),
    "Throttled": Refusal(_KIND.THROTTLED, "Limited", "too many requests", 1, 429),
    "Quota": Refusal(_KIND.QUOTA_EXCEEDED, "Limited", "the day's quota of the service is used up", 3600, 429),
    # An authorizer that fails says nothing about the caller: it may try again, and is never let in.
    "AuthorizerFailure": Refusal(_KIND.AUTHORIZER_FAILURE, "Unavailable", _BUSY, 2, 503),
    "AuthorizerBroken": Refusal(_KIND.AUTHORIZER_CONFIGURATION_ERROR, "Unavailable", _BUSY, 5, 503),
    "IntegrationFailure": Refusal(_KIND.INTEGRATION_FAILURE, "Unavailable", _BUSY, 1),
    "IntegrationTimeout": Refusal(_KIND.INTEGRATION_TIMEOUT, "Unavailable", _BUSY, 5),
}
