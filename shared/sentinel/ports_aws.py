"""The port of AWS actions: one call of one operation, in a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """The role that a call is made in: what CloudTrail shows, and what bounds a mistake.

    `session` is the name of the session, 2 to 64 of `A-Za-z0-9_=,.@-`. `policy` is a session policy, JSON of
    at most 2,048 characters: what the role may do is narrowed to it.
    """

    arn: str
    session: str
    policy: str


class AwsCalls(Protocol):
    """Calls AWS for steps."""

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        role: AssumedRole,
        timeout: float = 10.0,
    ) -> Mapping[str, Any]:
        """Call an operation once, named as in the API (`ssm`, `SendCommand`); `timeout` in seconds.

        Nothing is sent twice. A body that AWS streams is bytes in the answer, cut at 64 KiB. Raises
        `Unavailable` for what may pass by itself; `BadAnswer` and `TimedOut` of its kinds where the call may
        have been carried out. Raises `Forbidden` where the role may not be assumed or may not do this,
        `Missing` where its target does not exist, `Conflict` where it exists and must not, `Malformed` for
        what AWS refuses otherwise. Messages name AWS's code and never quote its text.
        """
