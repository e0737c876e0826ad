"""What every account's configuration has, and what a kind may have besides: a way to be asked.

Answers to questions are read alike in what they have in common: who is refused, and what is no answer.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from sentinel.ports import HttpResponse
from sentinel.siem.answers import passing
from sentinel.siem.check import Level, Question, Wrong, elsewhere, refused, throttled
from sentinel.siem.sink import SecretName


class AccountConfig(BaseModel):
    """Which kind it is, and the name of the secret with its credentials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    token: SecretName

    @property
    def base(self) -> str:
        """The address below which its API is: its `url`, unless the kind says otherwise; "" for none."""
        return str(getattr(self, "url", None) or "")


@runtime_checkable
class Checkable(Protocol):
    """A kind of account that can be asked whether it would work. A configuration has this method, or not."""

    def check(self, secret: str) -> Question:
        """Return the first question, with the value that `token` names; it changes nothing at the target.

        One whose secret buys tokens asks for one first, and goes on from the answer. Raises `Malformed` for a
        secret of another form, of which it quotes nothing.
        """


def wrong(who: str, response: HttpResponse, needs: str) -> Wrong:
    """Say what a status means that is no success. `needs` is what 403 means, and what to do about it."""
    if passing(response):
        return throttled(response.status)
    if response.status == 401:
        return refused(401, who)
    if response.status == 403:
        return Wrong(Level.PERMISSION, f"{who} knows who asks, who may not (403)", needs)
    return elsewhere(response.status, f"API of {who}")
