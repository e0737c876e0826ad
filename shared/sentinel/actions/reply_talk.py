"""Leading an account's talk: sends what it asks for, signs in where it has to, and says how it ended.

Tokens are kept for four fifths of their life, by configuration and secret. One from before that is refused is
replaced, and the talk begun once more: it looks for what the first left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from sentinel.accounts.replying import (
    Act,
    Ending,
    Later,
    Refused,
    Reply,
    Replying,
    SigningIn,
    Talk,
)
from sentinel.core.steps import StepRun, traced
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from sentinel.ports import Http, HttpRequest
from sentinel.siem.sink import Parked, RetryAfter, Token

MAX_TOKENS = 100
BUDGET = 25 * SECOND  # of a talk in one try; a lease is 60 s and a request takes 20 s at most


@dataclass(frozen=True, slots=True)
class Would:
    """How a talk ends that may only look: it would act now. `blind`: it cannot be asked whether it has."""

    blind: bool


class Leader:
    """Leads talks for one deployment; safe to share between threads. `clock` in epoch nanoseconds."""

    def __init__(self, http: Http, clock: Callable[[], int]) -> None:
        self._http = http
        self._clock = clock
        self._tokens: dict[object, tuple[Token, int]] = {}

    def lead(
        self, run: StepRun, account: Replying, secret: str, reply: Reply, *, acting: bool = True
    ) -> Ending | Would:
        """Carry out a reply; unless `acting`, find out whether it is there, and change nothing.

        Raises `Rejected` where it cannot be sent. No answer is an ending, `Later`.
        """
        if not isinstance(account, SigningIn):
            return self._talked(run, account.talk(secret, reply), acting=acting)
        account.talk("", reply).close()  # no sign-in for an alert that says nothing
        name = (account, sha256(secret.encode()).hexdigest())
        kept, until = self._tokens.get(name, (None, 0))
        if kept is not None and self._clock() < until:
            ending = self._talked(run, account.talk(kept.text, reply), acting=acting)
            if not (isinstance(ending, Refused) and ending.login):
                return ending
            self._tokens.pop(name, None)
            reply = replace(reply, again=True)
        token = self._token(account, secret)
        if not isinstance(token, Token):
            return token
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens.clear()
        self._tokens[name] = (token, self._clock() + int(token.seconds * 0.8 * SECOND))
        return self._talked(run, account.talk(token.text, reply), acting=acting)

    def _token(self, account: SigningIn, secret: str) -> Token | Later | Refused:
        try:
            found = account.bought(self._http.send(account.login(secret)))
        except Unavailable as error:
            return Later(f"the sign-in: {error}")
        if isinstance(found, RetryAfter):
            return Later(found.reason, None if found.after is None else int(found.after * SECOND))
        return Refused(found.reason) if isinstance(found, Parked) else found

    def _talked(self, run: StepRun, talk: Talk, *, acting: bool) -> Ending | Would:
        acted = last = False
        until = self._clock() + BUDGET
        try:
            step = next(talk)
            while acting or not isinstance(step, Act):
                if run.stopped() or self._clock() >= until:
                    return Later("the step's time was over before it was done", unsure=acted)
                last = isinstance(step, Act)
                response = self._http.send(_handed(run, step.request))
                acted = acted or (last and response.status < 300)
                step = talk.send(response)
            return Would(step.blind)
        except StopIteration as stop:
            ending: Ending = stop.value
            if isinstance(ending, Later):
                return replace(ending, unsure=acted or (last and ending.unsure))
            return ending
        except Unavailable as error:
            return Later(str(error), unsure=acted or (last and not error.unsent))


def _handed(run: StepRun, request: HttpRequest) -> HttpRequest:
    return replace(request, headers=traced(run, request.headers))
