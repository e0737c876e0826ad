"""The account `microsoft_sentinel`: comments on incidents, by Azure's resource manager.

A comment's name is a GUID that is made of the effect key, and it is put under that name: the same again, by
whomever and whenever, changes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import orjson
from pydantic import Field

from sentinel.accounts.account import AccountConfig
from sentinel.accounts.microsoft_check import WorkspaceCheck
from sentinel.accounts.replying import (
    Act,
    Look,
    Replied,
    Reply,
    Talk,
    Verb,
    identifier,
    pause,
    trouble,
)
from sentinel.errors import Malformed
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target
from sentinel.siem.check import Finding, Question, unsigned
from sentinel.siem.microsoft_sentinel import GUID, sign_in, signed
from sentinel.siem.sink import Parked, RetryAfter, Token

WHO = "Microsoft Sentinel"
_WORKSPACE = (
    r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[a-z0-9_()-][a-z0-9_().-]{0,88}"
    r"/providers/Microsoft\.OperationalInsights/workspaces/[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$"
)
_BELOW = "/providers/microsoft.securityinsights/incidents/"
_NAME = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_WHY = {
    400: "it does not take the comment; is `api` a version that it knows?",
    401: "the token is refused: is the audience this cloud's?",
    403: "the application may not comment: it needs the role Microsoft Sentinel Responder on the workspace",
    404: "there is no such incident in the workspace",
}


class MicrosoftSentinelAccount(AccountConfig):
    """`token` is the name of the secret with the application's client secret.

    `workspace` is the ARM id of the one workspace whose incidents are commented. Clouds other than the public
    one have a `url`, an `authority` and an `audience` of their own.
    """

    kind: Literal["microsoft_sentinel"]
    workspace: str = Field(pattern=_WORKSPACE)
    tenant: str = Field(pattern=GUID)
    client: str = Field(pattern=GUID)
    url: Annotated[str, Target] = "https://management.azure.com"
    authority: Annotated[str, Target] = "https://login.microsoftonline.com"
    audience: str = Field(default="https://management.azure.com", pattern=r"^https://[a-z0-9.-]{1,100}$")
    api: str = Field(default="2025-09-01", pattern=r"^20\d\d-\d\d-\d\d(-preview)?$")
    timeout: float = Field(default=10.0, ge=1, le=20)

    webhook: ClassVar[str] = "microsoft-sentinel"
    verbs: ClassVar[frozenset[Verb]] = frozenset()

    def login(self, secret: str) -> HttpRequest:
        """Return the request of RFC 6749, 4.4, as Entra takes it."""
        return sign_in(self, secret)

    def bought(self, response: HttpResponse) -> Token | RetryAfter | Parked:
        """Read Entra's answer."""
        return signed(response, self.client)

    def check(self, secret: str) -> Question:
        """Sign in, then ask for one incident of the workspace, and what the application may do there."""

        def read(response: HttpResponse) -> Finding:
            found = self.bought(response)
            if not isinstance(found, Token):
                return unsigned(found, response)
            return WorkspaceCheck(self.url + self.workspace, self.api, found.text, self.timeout).first()

        return Question(self.login(secret), read)

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk about the incident whose ARM id is the label `incident`. `secret` is a token."""
        workspace, _, name = reply.alert.labels.get("incident", "").lower().partition(_BELOW)
        if workspace != self.workspace.lower():
            raise Malformed("the alert's incident is not of the account's workspace")
        incident = identifier(name, _NAME, "incident id")
        comment = UUID(hex=reply.key[:32], version=5)
        url = f"{self.url}{self.workspace}/providers/Microsoft.SecurityInsights/incidents/{incident}"
        return self._comment(secret, f"{url}/comments/{comment}?api-version={self.api}", reply)

    def _comment(self, token: str, url: str, reply: Reply) -> Talk:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = orjson.dumps({"properties": {"message": reply.text}})
        response = yield Act(HttpRequest("PUT", url, headers, body, self.timeout))
        if response.status == 409:  # another attempt is putting it, or has
            found = yield Look(HttpRequest("GET", url, headers, timeout=self.timeout))
            response = found if found.status == 200 else _busy(response)
        if response.status in {200, 201}:
            return Replied({"comment": str(UUID(hex=reply.key[:32], version=5))})
        return trouble(WHO, response, _WHY, pause(response, ""))


def _busy(response: HttpResponse) -> HttpResponse:
    return HttpResponse(425, response.headers)
