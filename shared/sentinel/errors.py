"""What can go wrong, named by what the caller must do about it.

::

    SentinelError
    ├── Rejected                 fix the request; sending it again changes nothing
    │   ├── Malformed            the bytes are not what the endpoint takes (400)
    │   │   ├── Unsupported      well-formed, but a feature that is refused by name
    │   │   └── TooLarge         over a stated limit (413)
    │   ├── Unauthenticated      no valid identity (401)
    │   ├── Forbidden            a valid identity without the right (403)
    │   ├── Missing              no such thing (404)
    │   └── Conflict             the thing is in a state that does not allow this (409)
    ├── Unavailable              try again after `retry_after` seconds (503)
    │   ├── Limited              over the caller's own limit (429)
    │   ├── BadAnswer            it answered, but with nothing that can be used (502)
    │   └── TimedOut             it did not answer within its time (504)
    └── Tampered                 a stored chain does not verify: never retry, never swallow, page someone

Messages are written for the caller and never hold entry bodies, secrets or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class SentinelError(Exception):
    """The root; never raised itself."""


class Rejected(SentinelError):
    """The request cannot be carried out as it is.

    `problems` holds structured details for the answer, for example one item a bad line.
    """

    def __init__(self, message: str, problems: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)


class Malformed(Rejected):
    """The bytes are not what this endpoint, file or command takes."""


class Unsupported(Malformed):
    """Well-formed, but it uses a feature that Sentinel refuses by name rather than ignores."""


class TooLarge(Malformed):
    """Over a stated limit; the message names the limit."""


class Unauthenticated(Rejected):
    """No valid identity came with the request."""


class Forbidden(Rejected):
    """The identity is valid and may not do this."""


class Missing(Rejected):
    """There is no such thing."""


class Conflict(Rejected):
    """The thing is in a state that does not allow this, or somebody else was faster."""


class Cause(StrEnum):
    """How far a connection came that failed: first looked up, then dialled, then trusted, then asked."""

    NAME = "name"  # it does not resolve
    CONNECT = "connect"  # nothing listens there, or nothing lets us through
    EXPIRED = "expired"  # the certificate is of another time
    OTHER_NAME = "other name"  # the certificate is of another host
    AUTHORITY = "authority"  # nobody that is trusted has signed the certificate
    TLS = "tls"  # TLS failed otherwise
    SILENT = "silent"  # it took too long
    ANSWER = "answer"  # it broke off, or did not speak the protocol


class Unavailable(SentinelError):
    """Something behind us does not answer, or says that it is busy. `retry_after` is in seconds.

    `unsent` is set where it is certain that nothing was sent, so that nothing can have been done. `cause`
    says how far a connection came, where it is one that failed.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.unsent = False
        self.cause: Cause | None = None


class Limited(Unavailable):
    """The caller is over a limit of its own. `limits` are the answer's `RateLimit*` headers."""

    def __init__(self, message: str, retry_after: float, limits: Mapping[str, str] | None = None) -> None:
        super().__init__(message, retry_after)
        self.limits = dict(limits or {})


class BadAnswer(Unavailable):
    """What stands behind us broke off or answered with what cannot be used. The request may have arrived."""


class TimedOut(Unavailable):
    """What stands behind us did not answer within its time. The request may have arrived."""


@dataclass
class Tampered(SentinelError):
    """A stored chain does not verify. Says where, and what kind of damage it is."""

    chain: str
    seq: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"chain {self.chain} at entry {self.seq}: {self.kind}: {self.detail}"
