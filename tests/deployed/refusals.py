"""What the deployed API refuses, each attempt with the status that it is refused with on the emulator.

API Gateway answers 401 where the authorizer says Unauthorized or is not even asked, 403 where its policy does
not have the route or the usage plan not the caller, 404 where there is no method. Functions answer for
themselves behind the doors `key` and `signature`. Few attempts get as far as to be refused by the authorizer:
it has to raise, and the emulator starts a function that raised anew, which takes a second or more. The others
of that kind are in the tests of the authorizer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from tests.deployed.caller import Answer, Caller
from tests.throwaway import make

if TYPE_CHECKING:
    from tests.deployed.journey import Journey

LINE = b'{"message": "who am I"}'


@dataclass(frozen=True)
class Attempt:
    """Something that must not work. `status` is how it is refused."""

    name: str
    status: int
    make: Callable[[Journey], Answer]


def _edited(journey: Journey) -> Answer:
    header, claims, signature = journey.service.access_token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    edited = f"{header}.{_part({**told, 'scope': 'ingest admin'})}.{signature}"
    return journey.service.using(access_token=edited).send(LINE)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _foreign(journey: Journey) -> Caller:
    """Return the caller with a certificate of another CA that says the same in every word."""
    authority = make(journey.deployed.folder, "elsewhere")
    pem = make(journey.deployed.folder, journey.service.service, authority).certificate
    return journey.service.using(pem=pem.public_bytes(Encoding.PEM).decode())


def _swapped(journey: Journey) -> Caller:
    """Return the caller with another service's certificate: a stolen token."""
    return journey.service.using(pem=journey.other.pem)


ATTEMPTS = (
    Attempt("no token", 401, lambda it: it.service.using(access_token="").send(LINE)),
    Attempt("no certificate", 401, lambda it: it.service.using(pem="").send(LINE)),
    Attempt("a token under another's certificate", 401, lambda it: _swapped(it).send(LINE)),
    Attempt("a certificate of another CA", 401, lambda it: _foreign(it).send(LINE)),
    Attempt("an edited token", 401, _edited),
    Attempt("a token without the scope", 403, lambda it: it.other.send(LINE)),
    Attempt("an operator's route", 403, lambda it: it.service.call("GET", "/v1/services")),
    Attempt("a route that there is not", 404, lambda it: it.service.call("GET", "/v1/nothing")),
    Attempt("a method that there is not", 404, lambda it: it.service.call("DELETE", "/v1/entries")),
    Attempt("another's task", 404, lambda it: it.other.call("GET", f"/v1/tasks/{it.task}")),
    Attempt("no usage key", 403, lambda it: it.service.using(usage="").send(LINE)),
    Attempt("a token for another's key", 401, lambda it: it.service.using(api_key=it.other.api_key).token()),
    Attempt("a token for another's certificate", 401, lambda it: _swapped(it).token()),
    Attempt("a token for a foreign certificate", 401, lambda it: _foreign(it).token()),
    Attempt("a token without a certificate", 401, lambda it: it.service.using(pem="").token()),
    Attempt("a scope that it does not have", 400, lambda it: it.service.token("admin")),
    Attempt("a certificate renewed too early", 409, lambda it: it.renew()),
    Attempt("a webhook that is not signed", 401, lambda it: it.hook.send(LINE, secret=None)),
    Attempt("a webhook signed with another secret", 401, lambda it: it.hook.send(LINE, secret=bytes(32))),
)
