"""How a connector is asked whether it would work: questions that change nothing, and what answers mean.

Pure, like all of a sink: a question is a request and what reads its answer, which ends in a finding or in
the next question. `actions.connectors` asks. Nothing that is asked creates an event at the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from sentinel.ports import FileAppend, HttpRequest, HttpResponse
from sentinel.ports_sinks import ObjectPut, StreamSend
from sentinel.siem.answers import json_object
from sentinel.siem.sink import Parked, RetryAfter


class Level(StrEnum):
    """What can be wrong, in the order in which it shows: of several faults the first one is told."""

    SECRET = "secret"  # noqa: S105 - a level: there is none of this name, or it may not be read
    ALLOWED = "allowed"  # this deployment does not let steps reach it
    NAME = "name"  # DNS
    CONNECT = "connect"
    TLS = "tls"
    SILENT = "silent"  # connected, and no answer
    PRODUCT = "product"  # something answers, but not what the connector is for
    BUSY = "busy"  # it throttles, or is not up to work
    CREDENTIALS = "credentials"
    PERMISSION = "permission"
    PLACE = "place"  # index, stream, rule, bucket or file: not there, or not to be used
    SCHEMA = "schema"  # it would not take what is sent


ABSENT = frozenset({Level.NAME, Level.CONNECT, Level.SILENT, Level.BUSY})
"""Levels at which nothing answers: that may pass by itself."""


@dataclass(frozen=True, slots=True)
class Sound:
    """It works, as far as can be known without an event; `words` say what was seen and what was not."""

    words: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """It would not work. `words` say what is wrong, `hint` what to do; neither quotes an answer's text."""

    level: Level
    words: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what its answer means. `unasked` is what is found where the request cannot be sent.

    Without `unasked` that is what is wrong.
    """

    request: HttpRequest = field(repr=False)
    read: Callable[[HttpResponse], Finding] = field(repr=False)
    unasked: Sound | None = None


Finding = Sound | Wrong | Question
Place = FileAppend | ObjectPut | StreamSend


@runtime_checkable
class Checkable(Protocol):
    """A sink that can be asked."""

    def check(self) -> Question | Place:
        """Return the first question.

        For what takes no questions, the place that requests would go to, with nothing in it: it is looked at
        and not used. A sink that signs in is asked with a token.
        """


def refused(status: int, what: str) -> Wrong:
    """Return what 401 and 403 mean at most targets."""
    return Wrong(
        Level.CREDENTIALS,
        f"{what} refuses the credentials ({status})",
        "look at the secret that `token` names: is it whole, still valid, and of this target?",
    )


def elsewhere(status: int, what: str) -> Wrong:
    """Return what an answer means that is none of the product's."""
    return Wrong(
        Level.PRODUCT,
        f"what answers there is no {what} (status {status})",
        "look at the address: host, port and path; a proxy or a sign-in page may stand in front",
    )


def unsigned(found: RetryAfter | Parked, answer: HttpResponse) -> Wrong:
    """Return what a sign-in means that gave no token; `found` is what the kind read in the answer."""
    if isinstance(found, RetryAfter):
        return Wrong(Level.BUSY, found.reason, "wait, and test it again")
    if "error" not in json_object(answer):
        return elsewhere(answer.status, "token endpoint")
    return Wrong(Level.CREDENTIALS, found.reason, "look at the secret that `token` names, and at the ids")


def throttled(status: int) -> Wrong:
    """Return what 408, 425, 429 and all from 500 mean."""
    return Wrong(
        Level.BUSY, f"it answers that it cannot serve now (status {status})", "wait, and test it again"
    )
