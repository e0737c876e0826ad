"""The account `pagerduty`: notes on incidents.

A note is looked for by its mark among those of the incident before it is written. PagerDuty does not look at
texts: where two workers are at it in the same moment, both may write theirs, which have one mark.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import orjson
from pydantic import Field

from sentinel.accounts.account import AccountConfig, wrong
from sentinel.accounts.replying import (
    Act,
    Look,
    Replied,
    Reply,
    Talk,
    Verb,
    identifier,
    listed,
    pause,
    trouble,
    unreadable,
)
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere

WHO = "PagerDuty"
_INCIDENT = re.compile(r"[A-Za-z0-9]{5,40}", re.ASCII)
_WHY = {
    400: "it does not take the note; is `user` the e-mail address of one of its users?",
    401: "the API key is refused",
    403: "the API key may not write notes: it is read-only, or of a user without the right",
    404: "there is no such incident in the account",
}


class PagerDutyAccount(AccountConfig):
    """`token` is the name of the secret with an API key; `user` the e-mail address that notes are from."""

    kind: Literal["pagerduty"]
    user: str = Field(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}$")
    url: Annotated[str, Target] = "https://api.pagerduty.com"
    timeout: float = Field(default=10.0, ge=1, le=20)

    webhook: ClassVar[str] = "pagerduty"
    verbs: ClassVar[frozenset[Verb]] = frozenset()

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk about the incident whose id is the alert's fingerprint."""
        incident = identifier(reply.alert.fingerprint, _INCIDENT, "incident id")
        return self._note(secret, f"{self.url}/incidents/{incident}/notes", reply)

    def check(self, secret: str) -> Question:
        """Look for the user in whose name notes are written; it is found by its address."""
        url = f"{self.url}/users?{urlencode({'query': self.user, 'limit': 100})}"
        return Question(HttpRequest("GET", url, _headers(secret), timeout=self.timeout), self._read)

    def _read(self, response: HttpResponse) -> Finding:
        if response.status != 200:
            return wrong(WHO, response, "give it an API key that may read users and write notes")
        users = listed(response, "users")
        if users is None:
            return elsewhere(200, f"API of {WHO}")
        if all(str(each.get("email", "")).lower() != self.user.lower() for each in users):
            hint = "write the address of one of its users as `user`: notes are written in that name"
            return Wrong(Level.PLACE, f"the account has no user {self.user}", hint)
        return Sound("the API key is good and `user` is there; a key that is read-only shows with a note")

    def _note(self, secret: str, url: str, reply: Reply) -> Talk:
        headers = _headers(secret)
        response = yield Look(HttpRequest("GET", url, headers, timeout=self.timeout))
        if response.status == 200:
            notes = listed(response, "notes")
            if notes is None:
                return unreadable(WHO)
            if any(reply.mark in str(each.get("content", "")) for each in notes):
                return Replied({"comment": "found"})
            headers = {**headers, "From": self.user, "Content-Type": "application/json"}
            body = orjson.dumps({"note": {"content": reply.text}})
            response = yield Act(HttpRequest("POST", url, headers, body, self.timeout))
            if response.status in {200, 201}:
                return Replied({"comment": "posted"})
        return trouble(WHO, response, _WHY, pause(response, "ratelimit-reset"))


def _headers(secret: str) -> dict[str, str]:
    return {
        "Authorization": f"Token token={secret}",
        "Accept": "application/vnd.pagerduty+json;version=2",
    }
