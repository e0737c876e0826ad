"""The REQUEST authorizer of API Gateway: an event in, a policy out.

Formats: "Input to a Lambda authorizer" and "Output from a Lambda authorizer" of the API Gateway guide. API
Gateway may keep the answer and use it for every method of the stage, so the policy names all routes that the
token allows, not the one that was asked for. It turns the exception `Unauthorized` into 401, a policy that
denies into 403, and any other exception into 500: the door stays shut.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.entrypoints.aws import Bootstrap, Handler
from sentinel.entrypoints.identity import certificate_of, values
from sentinel.errors import Forbidden, Rejected, Unauthenticated
from sentinel.routes import ROUTES, Route

if TYPE_CHECKING:
    from sentinel.usecases.authorize import Grant

MAX_AUTHORIZATION = 8_300

_ARN = re.compile(r"(arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]+:[A-Za-z0-9]+/[A-Za-z0-9_-]+)/.*", re.DOTALL)
_PARAMETER = re.compile(r"\{\w+\+?\}")

log = logging.getLogger("sentinel.authorizer")


def authorizer(function: str, bootstrap: Bootstrap) -> Handler:
    """Make the handler of the authorizer."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        with observe.call(function, context):
            stage = _stage(event)
            app = bootstrap()
            try:
                pem = certificate_of(event, app.settings.client_certificate_header)
                grant = app.authorizer.admit(pem, _authorization(event))
            except Forbidden as error:
                log.warning("denied: %s", error)
                observe.count(function, "denied", 1)
                return _denial(stage)
            except Rejected as error:
                log.warning("refused: %s", error)
                observe.count(function, "refused", 1)
                raise Exception("Unauthorized") from None  # noqa: TRY002 - API Gateway goes by this word
            return _answer(stage, grant)

    return handler


def _stage(event: Mapping[str, Any]) -> str:
    """Return the ARN of the API's stage: everything below it is ours to allow."""
    found = _ARN.fullmatch(event["methodArn"])
    if found is None:
        raise ValueError("the event's methodArn is none of API Gateway's")
    return found[1]


def _authorization(event: Mapping[str, Any]) -> str:
    found = values(event, "authorization")
    if len(found) != 1 or len(found[0]) > MAX_AUTHORIZATION:
        raise Unauthenticated("a request has one Authorization header, of up to 8,300 characters")
    return found[0]


def _answer(stage: str, grant: Grant) -> dict[str, Any]:
    service = grant.service
    told: dict[str, Any] = {
        "principalId": service.id,
        "policyDocument": _policy(stage, grant.scopes),
        "context": {
            "service": service.id,
            "subject": grant.subject,
            "certificate": grant.certificate,
            "scopes": " ".join(sorted(grant.scopes)),
            "tier": service.tier,
            "lanes": service.lanes,
            # Apart, since a function of an earlier version reads the number alone.
            "spread": service.spread.text(),
            "encryption": service.encryption,
        },
    }
    if service.usage:
        told["usageIdentifierKey"] = service.usage
    return told


def _denial(stage: str) -> dict[str, Any]:
    return {"principalId": "denied", "policyDocument": _document("Deny", [f"{stage}/*"])}


@functools.lru_cache(maxsize=256)
def _policy(stage: str, scopes: frozenset[str]) -> dict[str, Any]:
    """Return the policy that allows the routes of these scopes. It is shared: nobody may change it.

    A `*` stands for any text, slashes too, so what allows one route may cover another: that one is denied,
    unless these scopes allow it as well.
    """
    routes = [route for route in ROUTES if route.door == "token"]
    allowed = [_resource(route) for route in routes if not route.scope or route.scope in scopes]
    others = [_resource(route) for route in routes if route.scope and route.scope not in scopes]
    covered = [each for each in others if any(fnmatchcase(each, pattern) for pattern in allowed)]
    document = _document("Allow", [f"{stage}/{each}" for each in allowed])
    if covered:
        document["Statement"] += _document("Deny", [f"{stage}/{each}" for each in covered])["Statement"]
    return document


def _resource(route: Route) -> str:
    return f"{'*' if route.method == 'ANY' else route.method}{_PARAMETER.sub('*', route.path)}"


def _document(effect: str, resources: list[str]) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resources}
    return {"Version": "2012-10-17", "Statement": [statement]}
