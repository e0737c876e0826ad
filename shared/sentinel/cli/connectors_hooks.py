"""Examining a webhook from this side: nothing is sent, since only its sender can send to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentinel.cli.times import moment
from sentinel.errors import Malformed, Missing, SentinelError, Unauthenticated
from sentinel.siem.check import Level, Sound, Wrong

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.access import Hook
    from sentinel.webhooks.source import Source
    from sentinel.webhooks.splunk_hec import SplunkHec


_TOKENS = {
    "oauth2": "a token that its secret buys at /oauth/token",
    "jwt": "a token of the issuer in its options",
}


def examined(app: App, hook: Hook, last: int) -> Sound | Wrong:
    """Say whether a message of its sender would be taken. `last`: when its last alert came, or 0."""
    wrong = _closed(app, hook)
    if wrong:
        return wrong
    from sentinel.webhooks.splunk_hec import SplunkHec

    again = f"`sentinel hooks rotate {hook.id}` makes a new one"
    try:
        secret = app.services.hook_secret(hook.id)
    except SentinelError as error:
        return Wrong(Level.SECRET, str(error), again)
    source = _made(hook)
    if isinstance(source, Wrong):
        return source
    if not source.usable(secret):
        return Wrong(Level.SECRET, f"its secret is none that {hook.source} can use", again)
    if isinstance(source, SplunkHec):
        return Sound("log events are taken that bring its token, by authorization")
    heard = f"its last alert came at {moment(last)} UTC" if last else "no alert has come by it"
    token = _TOKENS.get(hook.options.get("auth", ""))
    taken = f"messages are taken that bring {token}, by authorization" if token else _proof(source, secret)
    return Sound(f"{taken}; {heard}")


def _closed(app: App, hook: Hook) -> Wrong | None:
    if hook.disabled:
        return Wrong(Level.ALLOWED, "it is disabled", f"`sentinel hooks enable {hook.id}` enables it")
    try:
        service = app.services.show(hook.service)
    except Missing:
        return Wrong(Level.ALLOWED, f"there is no service {hook.service}", "add it, or the webhook anew")
    if service.disabled:
        return Wrong(Level.ALLOWED, f"its service {hook.service} is disabled", "enable the service")
    return None


def _made(hook: Hook) -> Source | SplunkHec | Wrong:
    from sentinel.webhooks import COLLECTORS, SOURCES

    kind = SOURCES.get(hook.source) or COLLECTORS.get(hook.source)
    if kind is None:
        return Wrong(Level.PRODUCT, f"there is no source {hook.source}", "add the webhook anew")
    try:
        return kind.make(hook.options)
    except Malformed as error:
        return Wrong(Level.SCHEMA, f"its options: {error}", "add the webhook anew with other options")


def _proof(source: Source, secret: str) -> str:
    """Say how a message proves itself; where it shows its secret, one that does has just been tried."""
    shown = dict.fromkeys(source.proof, secret) | {"authorization": f"Bearer {secret}"}
    try:
        source.verify(shown, b"{}", [secret], int(time.time()))
    except Unauthenticated:
        return f"messages are taken that are signed, by {', '.join(source.proof) or 'what is in them'}"
    return f"messages are taken that bring its secret, by {' or '.join(source.proof)}"
