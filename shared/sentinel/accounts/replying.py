"""What an account has besides that can be replied to: the talk with its product, as requests and answers.

A talk is a generator and does no I/O: it yields what is to be sent, is given the answer, and returns how it
ended. Whoever leads it (`actions.reply_talk`) sends. So each product's idempotency is one function, read from
top to bottom: it looks for what an earlier attempt left, and only then acts.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import orjson

from sentinel.core.replies import Told
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.sink import Parked, RetryAfter, Token

LONGEST_WAIT = 900 * SECOND
_UNTAKEN = frozenset({425, 429, 503})  # statuses of servers that say that they have not acted


class Verb(StrEnum):
    """What a reply may do besides leaving its text."""

    RESOLVE = "resolve"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `mark` stands in `text`; `mute` is for how long, in nanoseconds, 0 for not at all.

    `key` is the effect key. `again` says that an earlier attempt may have had all or part of the effect;
    `sure` that what could not be found by now is not there. `now` is in epoch nanoseconds.
    """

    key: str
    mark: str
    text: str = field(repr=False)
    alert: Told = field(repr=False)
    task: str
    recipe: str
    now: int
    resolve: bool = False
    mute: int = 0
    unmute: bool = False
    again: bool = False
    sure: bool = False

    @property
    def verbs(self) -> frozenset[Verb]:
        """What it does besides leaving its text."""
        asked = {Verb.RESOLVE: self.resolve, Verb.MUTE: self.mute, Verb.UNMUTE: self.unmute}
        return frozenset(verb for verb, wanted in asked.items() if wanted)


@dataclass(frozen=True, slots=True)
class Look:
    """A request that changes nothing."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Act:
    """A request that has an effect. `blind`: whether it is there already could not be asked."""

    request: HttpRequest
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """It is done. `facts` are small JSON, and nothing of an answer's text."""

    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Later:
    """Not now. `after` is the product's wish in nanoseconds; `unsure`: it may have acted all the same."""

    reason: str
    after: int | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """The product does not show the effect, which may be because it is too soon to ask."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not work until somebody changes what `reason` says. `login`: its credentials were not taken."""

    reason: str
    login: bool = False


Ending = Replied | Later | Unclear | Refused
Talk = Generator[Look | Act, HttpResponse, Ending]


@runtime_checkable
class Replying(Protocol):
    """The configuration of an account that can be replied to."""

    @property
    def kind(self) -> str:
        """Which kind of account it is."""

    @property
    def token(self) -> str:
        """The name of the secret with its credentials."""

    @property
    def webhook(self) -> str:
        """The webhook source whose alerts it is replied about; "" for those of any."""

    @property
    def verbs(self) -> frozenset[Verb]:
        """What a reply may do there besides leaving its text."""

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk. Raises `Malformed` where the alert does not say what it is about there."""


@runtime_checkable
class SigningIn(Protocol):
    """What an account has besides whose secret buys tokens: `talk` is then given a token as its secret."""

    def login(self, secret: str) -> HttpRequest:
        """Return the request that asks for a token."""

    def bought(self, response: HttpResponse) -> Token | RetryAfter | Parked:
        """Read the answer to it."""


def identifier(told: str, pattern: re.Pattern[str], what: str) -> str:
    """Return what names a thing in a URL. Raises `Malformed`, quoting nothing, unless all of it fits."""
    if not pattern.fullmatch(told):
        raise Malformed(f"the alert has no {what} that can be: it names nothing that could be replied to")
    return told


def listed(response: HttpResponse, name: str = "") -> list[Mapping[str, Any]] | None:
    """Return the objects of a JSON list, or of the member `name` of a JSON object; None for anything else."""
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None  # an answer over the limit is cut, too
    if name:
        found = found.get(name) if isinstance(found, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else None


def part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; an empty one where it is none."""
    inner = found.get(name)
    return inner if isinstance(inner, dict) else {}


def unreadable(who: str) -> Later:
    """Return what an answer means that is not what the product answers."""
    return Later(f"{who} answered with what cannot be read")


def trouble(who: str, response: HttpResponse, why: Mapping[int, str], after: int | None) -> Later | Refused:
    """Say what a status means that is no success. `why` tells what to change; bodies are never read."""
    status = response.status
    if status in {408, 425, 429} or status >= 500:
        return Later(f"{who} answered {status}", after, unsure=status not in _UNTAKEN)
    reason = why.get(status, "this is no answer of it; is the account's URL right?")
    return Refused(f"{who} answered {status}: {reason}", login=status == 401)


def pause(response: HttpResponse, header: str, since: int = 0) -> int | None:
    """Return how long to wait, in nanoseconds: `Retry-After`, else what `header` says; 15 minutes at most.

    Both are seconds. `since` is subtracted from the header's, in epoch nanoseconds, where that is an instant.
    """
    for name, start in (("retry-after", 0), (header, since)):
        text = response.headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text, re.ASCII):
            return max(0, min(int(float(text) * SECOND) - start, LONGEST_WAIT))
    return None
