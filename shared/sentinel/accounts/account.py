"""What every account's configuration has, and what a kind may have besides: a way to be asked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from sentinel.siem.check import Question
from sentinel.siem.sink import SecretName


class AccountConfig(BaseModel):
    """Which kind it is, and the name of the secret with its credentials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    token: SecretName


@runtime_checkable
class Checkable(Protocol):
    """A kind of account that can be asked whether it would work. A configuration has this method, or not."""

    def check(self, secret: str) -> Question:
        """Return the first question, with the value that `token` names; it changes nothing at the target.

        One whose secret buys tokens asks for one first, and goes on from the answer.
        """
