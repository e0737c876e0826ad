"""The doors of the gateway: who may call a route, and what the function behind it is told of the caller.

`Door` plays API Gateway: for a route behind a token it asks the function `authorize`, the very file that is
deployed, and keeps its answer for a moment; routes behind the other doors go to their function with the
client certificate alone, and it decides. `OpenDoor` is that of `--insecure`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sentinel.core.access import SCOPES
from sentinel.errors import Unavailable
from sentinel.local import refusals
from sentinel.local.policies import Decision, decision_of
from sentinel.local.proxy_events import Call, authorizer_event_of, header
from sentinel.local.refusals import Refusal

MAX_KEPT = 1024  # decisions
DEFAULT_SERVICE = "local"

log = logging.getLogger("sentinel.door")

_Key = tuple[str, str]  # a token and the digest of a certificate
Authorize = Callable[[dict[str, Any], str], Awaitable[Any]]


class Admission(Protocol):
    """Decides on requests before their bodies are read."""

    async def admit(self, call: Call) -> Mapping[str, Any] | None:
        """Return the authorizer's context; None for a route without one. Raises the refusal."""


@dataclass(slots=True)
class Door:
    """Asks the authorizer. `seconds` is how long its answer for a token and certificate is used again.

    API Gateway keeps answers, too. What is kept is a policy for all routes, so each request is held against
    it; the key has the certificate in it, so a token stolen from one connection finds nothing on another.
    """

    authorize: Authorize
    seconds: float
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[_Key, tuple[float, Decision]] = field(default_factory=OrderedDict)
    _asking: dict[_Key, tuple[float, asyncio.Task[Decision]]] = field(default_factory=dict)

    async def admit(self, call: Call) -> Mapping[str, Any] | None:
        """Return the context for a route behind a token, None for others."""
        if call.route.door != "token":
            return None
        given = call.request.headers.getall("Authorization", ())
        if len(given) > 1:
            raise Refusal(400, "Malformed", "there is more than one Authorization header")
        if not given or not given[0] or not call.peer.digest:
            raise refusals.unauthenticated()  # as API Gateway does where an identity source is missing
        key = given[0], call.peer.digest
        decision = self._known(key) or await self._decided(key, call)
        if not decision.allows(call.arn):
            raise refusals.forbidden()
        return decision.context

    def _known(self, key: _Key) -> Decision | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if self.clock() - found[0] < self.seconds:
            return found[1]
        del self._kept[key]
        return None

    async def _decided(self, key: _Key, call: Call) -> Decision:
        """Ask, or wait for the answer to the same question of another request.

        One that was asked too long ago is not waited for: its answer would be too old when it comes.
        """
        now = self.clock()
        asked, asking = self._asking.get(key, (float("-inf"), None))
        if asking is None or now - asked >= self.seconds:
            # A task of its own: whoever asked first may be gone before the answer is there.
            asking = asyncio.create_task(self._asked(key, call, now))
            self._asking[key] = now, asking
            asking.add_done_callback(functools.partial(self._answered, key))
        return await asyncio.shield(asking)

    def _answered(self, key: _Key, asking: asyncio.Task[Decision]) -> None:
        if self._asking.get(key, (0.0, None))[1] is asking:
            del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # seen, also where nobody waits for it any more

    async def _asked(self, key: _Key, call: Call, asked: float) -> Decision:
        """Ask. `asked` is before the question: an answer is as old as what it was made from."""
        try:
            answer = await self.authorize(authorizer_event_of(call), call.request_id)
        except Exception as error:  # noqa: BLE001 - the function's errors are API Gateway's business
            if str(error) == "Unauthorized":  # the one message that API Gateway knows
                raise refusals.unauthenticated() from None
            log.warning("the authorizer failed: %s", type(error).__name__)
            raise refusals.busy(2) from None
        try:
            decision = decision_of(answer)
        except ValueError as error:
            log.warning("the authorizer's answer is none: %s", error)
            raise refusals.busy(5) from None
        if self.seconds > 0:
            self._kept[key] = (asked, decision)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return decision


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """Takes a caller's word: the service is what the header `Sentinel-Service` says.

    It may do everything with its own things; `admin` is of the deployment, and not given. It has no tier,
    and so no limits: anybody could use up another's. `policy` tells what else a service's record says of
    storing (`lanes`, `spread`, `encryption`); without it nothing can be stored.
    """

    policy: Callable[[str], Mapping[str, str]] | None = None

    async def admit(self, call: Call) -> Mapping[str, Any] | None:
        """Return the context for a route that would be behind a token, None for others."""
        if call.route.door != "token":
            return None
        service = header(call.request, "Sentinel-Service", DEFAULT_SERVICE)
        return {
            "service": service,
            "scopes": " ".join(scope for scope in SCOPES if scope != "admin"),
            "tier": "",
            "subject": "",
            "certificate": "",
            **await self._policy(service),
        }

    async def _policy(self, service: str) -> Mapping[str, str]:
        if self.policy is None:
            return {}
        try:
            return await asyncio.to_thread(self.policy, service)
        except Unavailable:
            raise refusals.busy(2) from None
