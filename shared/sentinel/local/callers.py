"""In whose line a request waits at the gateway: its service's, its certificate's, or its webhook's.

Anybody may send to the webhook API under any name, and which names are webhooks the gateway does not know. So
a name has a line of its own once a message to it was taken; all the others share one line. A flood of names
that were made up waits behind itself then, and is one caller among many. So it is with tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from sentinel.core.hec_tokens import presented
from sentinel.local.proxy_events import Call

STRANGERS: Final = "strangers"  # the names of webhooks have a slash in them
MOST: Final = 1_024  # webhooks that are remembered


@dataclass(slots=True)
class Callers:
    """Names the lines of one API."""

    _proven: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def line(self, call: Call, context: Mapping[str, Any] | None) -> str:
        """Return whose line a request waits in; `context` is the authorizer's."""
        if context is not None:
            return str(context.get("service", ""))
        if call.peer.digest:
            return call.peer.digest
        name = _hook(call)
        return name if not name or name in self._proven else STRANGERS

    def answered(self, call: Call, status: int) -> None:
        """Take note of an answer: only who has proven itself to a webhook gets a 200 from it."""
        name = _hook(call)
        if status != 200 or not name or call.route.door != "signature":
            return
        self._proven[name] = None
        self._proven.move_to_end(name)
        while len(self._proven) > MOST:
            self._proven.popitem(last=False)


def _hook(call: Call) -> str:
    if not call.params and call.route.door == "signature":  # a token names the webhook, and not the path
        return f"token/{sha256(_token(call)).hexdigest()}"
    return "/".join(call.params.values())


def _token(call: Call) -> bytes:
    """Return the token that came, the same however it was put: a user of Basic is whoever, a scheme any."""
    shown = call.request.headers.get("Authorization")
    if shown is None:
        shown = f"Splunk {call.request.rel_url.query.getall('token', [''])[-1]}"
    found = presented(shown)
    return f"{found.hook}\0{found.secret}".encode("utf-8", "replace") if found else b""
