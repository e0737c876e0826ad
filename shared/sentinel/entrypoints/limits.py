"""Limits at the endpoints: what a request takes, the headers that its answer gets, and the metric.

Where no tier is known nothing is limited: in the local mode without certificates, and at doors that let
strangers in. `SENTINEL_LIMITS` turns all of it off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sentinel.entrypoints import observe
from sentinel.entrypoints.web import Request, Response
from sentinel.errors import Rejected

if TYPE_CHECKING:
    from sentinel.bootstrap import App

METRIC = "limits_uncounted"  # decisions of a process alone, the counter of all processes being away


@dataclass(slots=True)
class Admission:
    """One request's way past the limits of its service: call it with the entries and bytes it holds.

    That raises `Limited` where it is over them. `headers` are what the answer gets.
    """

    app: App
    request: Request
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: bool = False

    def __call__(self, entries: int = 0, size: int = 0) -> None:
        """Take one request, so many entries and so many bytes, or nothing."""
        self.asked = True
        who = self.request.identity
        if self.app.settings.limits and who.tier:
            self.headers = self.app.limiter.take(who.service, who.tier, 1, entries, size)

    def answered(self, response: Response) -> Response:
        """Return the answer with the limits' headers."""
        return replace(response, headers={**response.headers, **self.headers}) if self.headers else response


@contextmanager
def admission(app: App, request: Request) -> Iterator[Admission]:
    """Let the block call an `Admission` once it knows what the request holds, before it stores anything.

    A request that is found bad before that counts as one, since its bytes had to be looked at. One that
    would be refused whatever it holds is refused before the block begins.
    """
    who = request.identity
    if app.settings.limits and who.tier:
        app.limiter.refuse_closed(who.service, who.tier)
    admit = Admission(app, request)
    try:
        yield admit
    except Rejected:
        if not admit.asked:
            admit()
        raise


def held(app: App, request: Request, answer: Callable[[App, Request], Response]) -> Response:
    """Answer a request that takes nothing but one request of its service's limits."""
    admit = Admission(app, request)
    admit()
    return admit.answered(answer(app, request))


def check_failures(app: App, client_id: str, certificate: str) -> None:
    """Raise `Limited` where a client has failed to prove itself too often (`failed`)."""
    if app.settings.limits:
        app.limiter.check_failures(client_id, certificate)


def failed(app: App, client_id: str, certificate: str) -> None:
    """Count a client's failed attempt at proving itself."""
    if app.settings.limits:
        app.limiter.failure(client_id, certificate)


def tell(app: App, function: str) -> None:
    """Count what was decided without the counter of all processes since the last call."""
    limiter = vars(app).get("limiter")  # only where one was used
    alone = limiter.uncounted() if limiter is not None else 0
    if alone:
        observe.count(function, METRIC, alone)
