"""Rotation as Secrets Manager and a schedule call it.

Secrets Manager's event is `{"Step", "SecretId", "ClientRequestToken"}`, one a step, and a step that raises is
a rotation that failed. Any other event is the daily round.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import Malformed, SentinelError

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.entrypoints.aws import Bootstrap, Handler

log = logging.getLogger("sentinel.rotation")

# arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-RANDOM, with six characters at the end.
_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:(.{1,512})-[A-Za-z0-9]{6}")


def secret_rotation(function: str, bootstrap: Bootstrap) -> Handler:
    """Make the handler of what rotates: a step of Secrets Manager's, or the daily round."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        with observe.call(function, context):
            if "Step" in event:
                return step(bootstrap(), event)
            return daily(bootstrap())

    return handler


def step(app: App, event: dict[str, Any]) -> dict[str, Any]:
    """Take one step. Raises what makes Secrets Manager try again, or give up."""
    name = name_of(str(event["SecretId"]), app.settings.door_prefix)
    app.rotation.step(str(event["Step"]), name, str(event["ClientRequestToken"]))
    log.info("%s of %s is done", event["Step"], name)
    return {"step": event["Step"], "name": name}


def name_of(secret: str, prefix: str) -> str:
    """Return the name, without the deployment's prefix, of a secret that an ARN names. Raises `Malformed`.

    >>> name_of("arn:aws:secretsmanager:eu-central-1:123456789012:secret:acme/signing-keys-a1B2c3", "acme/")
    'signing-keys'
    """
    found = _ARN.fullmatch(secret)
    if found is None or not found[1].startswith(prefix):
        raise Malformed("this is not the ARN of one of the doors' secrets")
    return found[1].removeprefix(prefix)


def daily(app: App) -> dict[str, Any]:
    """Rotate what is old and publish the trust store; each of both also where the other fails."""
    done: dict[str, Any] = {}
    for name, part in (("rotated", app.rotation.upkeep), ("truststore", lambda: publish_roots(app))):
        try:
            done[name] = part()
        except SentinelError as error:
            log.warning("the daily round is not complete: %s: %s", name, error)
            observe.count("rotate", "incomplete", 1)
            done.setdefault("failed", []).append(name)
    return done


def publish_roots(app: App) -> str:
    """Publish the roots in force to the TLS layer; return the version, "" where there is no root yet."""
    roots = app.authority.published()
    return app.trust_store.publish(roots) if roots else ""
