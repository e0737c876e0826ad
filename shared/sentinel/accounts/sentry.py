"""The account `sentry`: comments on issues, and resolves them.

A comment is looked for by its mark before it is posted, among all that the issue has; Sentry itself refuses
a user's same text within the hour (400), so two workers at the same moment leave one. The issue is resolved
before the comment is posted, which so says that all is done: an issue that came back since is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Annotated, ClassVar, Literal

import orjson
from pydantic import Field

from sentinel.accounts.account import AccountConfig, wrong
from sentinel.accounts.replying import (
    Act,
    Ending,
    Later,
    Look,
    Refused,
    Replied,
    Reply,
    Talk,
    Verb,
    identifier,
    listed,
    part,
    pause,
    trouble,
    unreadable,
)
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, json_object
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere

WHO = "Sentry"
PAGES = 20  # of comments, the newest first, that are searched
_ISSUE = re.compile(r"[0-9]{1,20}", re.ASCII)
_NEXT = re.compile(r'rel="next";\s*results="true";\s*cursor="([0-9:]{1,60})"', re.ASCII)
_WHY = {
    401: "the token is refused; is it one of an internal integration?",
    403: "the token may not do this: it needs event:read and event:write (Issue & Event: Read & Write)",
    404: "there is no such issue in the organization, or the token does not see its project",
}


class SentryAccount(AccountConfig):
    """`token` is the name of the secret with an internal integration's token, `organization` its slug."""

    kind: Literal["sentry"]
    organization: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    url: Annotated[str, Target] = "https://sentry.io"
    timeout: float = Field(default=10.0, ge=1, le=20)

    webhook: ClassVar[str] = "sentry"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.RESOLVE})

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk about the issue of the label `issue_id`."""
        issue = identifier(reply.alert.labels.get("issue_id", ""), _ISSUE, "issue id")
        return _Issue(self, secret, issue, reply).talk()

    def check(self, secret: str) -> Question:
        """Ask for one issue of the organization, then which scopes the token has."""
        headers = {"Authorization": f"Bearer {secret}"}
        path = f"/api/0/organizations/{self.organization}/issues/?limit=1"
        scopes = HttpRequest("GET", f"{self.url}/api/0/", headers, timeout=self.timeout)

        def read(response: HttpResponse) -> Finding:
            if response.status == 404 and json_object(response):
                words = f"there is no organization {self.organization} that the token sees (404)"
                return Wrong(Level.PLACE, words, "compare `organization` and, for a region, `url`")
            if response.status != 200:
                return wrong(WHO, response, _SCOPES)
            if listed(response) is None:
                return elsewhere(200, f"API of {WHO}")
            return Question(scopes, _scoped, _UNSCOPED)

        return Question(HttpRequest("GET", self.url + path, headers, timeout=self.timeout), read)


_SCOPES = "give the integration Issue & Event: Read & Write, in this organization"
_UNSCOPED = Sound(
    "the token reads the organization's issues; whether it may write shows with the first reply"
)


def _scoped(response: HttpResponse) -> Finding:
    """Read what Sentry's index tells of a token, where it does: regions have none."""
    scopes = part(json_object(response), "auth").get("scopes")
    if response.status != 200 or not isinstance(scopes, list):
        return _UNSCOPED
    if not {"event:write", "event:admin"}.intersection(each for each in scopes if isinstance(each, str)):
        return Wrong(Level.PERMISSION, "the token may read issues only: it has no event:write", _SCOPES)
    return Sound("the token reads the organization's issues, and has the scope to comment and to resolve")


class _Issue:
    def __init__(self, config: SentryAccount, secret: str, issue: str, reply: Reply) -> None:
        self._url = f"{config.url}/api/0/organizations/{config.organization}/issues/{issue}/"
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._timeout = config.timeout
        self._reply = reply

    def talk(self) -> Talk:
        found = yield from self._find()
        if found is not None:
            return found
        resolved = ""
        if self._reply.resolve:
            ending = yield from self._resolve()
            if not isinstance(ending, str):
                return ending
            resolved = ending
        response = yield Act(self._request("POST", "comments/", {"text": self._reply.text}))
        if response.status == 400:  # it has the same text from us already, perhaps
            found = yield from self._find()
            return found or Refused(f"{WHO} answered 400: it does not take the comment")
        if response.status not in {200, 201}:
            return self._trouble(response)
        return Replied({"comment": "posted", **({"issue": resolved} if resolved else {})})

    def _find(self) -> Generator[Look | Act, HttpResponse, Ending | None]:
        """Look for our comment: None where the issue does not have it."""
        cursor = ""
        for _ in range(PAGES):
            response = yield Look(self._request("GET", f"comments/?per_page=50{cursor}"))
            if response.status != 200:
                return self._trouble(response)
            comments = listed(response)
            if comments is None:
                return unreadable(WHO)
            if any(self._reply.mark in str(part(each, "data").get("text", "")) for each in comments):
                return Replied({"comment": "found"})
            following = _NEXT.search(response.headers.get("link", ""))
            if following is None:
                break
            cursor = f"&cursor={following[1]}"
        return None

    def _resolve(self) -> Generator[Look | Act, HttpResponse, str | Later | Refused]:
        """Resolve the issue; not again where an earlier attempt may have, and it came back since."""
        if self._reply.again:
            response = yield Look(self._request("GET", ""))
            if response.status != 200:
                return self._trouble(response)
            now = json_object(response)
            if now.get("status") == "resolved":
                return "resolved"
            if now.get("substatus") == "regressed":
                return "left alone: it came back"
        response = yield Act(self._request("PUT", "", {"status": "resolved"}))
        return "resolved" if response.status in {200, 202} else self._trouble(response)

    def _request(self, method: str, path: str, told: object = None) -> HttpRequest:
        headers = {**self._headers, **({"Content-Type": "application/json"} if told else {})}
        body = orjson.dumps(told) if told else b""
        return HttpRequest(method, self._url + path, headers, body, self._timeout)

    def _trouble(self, response: HttpResponse) -> Later | Refused:
        after = pause(response, "x-sentry-rate-limit-reset", self._reply.now)
        return trouble(WHO, response, _WHY, after)
