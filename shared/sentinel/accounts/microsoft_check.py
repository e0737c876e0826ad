"""How a workspace of Microsoft Sentinel is asked: for an incident, and for what the application may do.

The resource manager tells whoever may ask which actions its roles give it; *Microsoft Sentinel Responder*
lets it ask. So whether comments can be written is known before the first one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.accounts.account import wrong
from sentinel.accounts.replying import listed, part
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import json_object
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, refused

WHO = "Microsoft Sentinel"
PERMISSIONS = "2022-04-01"  # version of the API that tells what one may do
COMMENT = "Microsoft.SecurityInsights/incidents/comments/write"
_ROLE = (
    "give the application the role Microsoft Sentinel Responder on the workspace; that may take 30 minutes"
)
_VERSIONS = frozenset({"InvalidApiVersionParameter", "InvalidResourceType", "NoRegisteredProviderFound"})
_UNKNOWN = Sound("the application reads the workspace's incidents; whether it may comment shows with a reply")


@dataclass(frozen=True, slots=True)
class WorkspaceCheck:
    """Asks one workspace, at its whole address, with a token."""

    workspace: str
    api: str
    token: str = field(repr=False)
    timeout: float

    def first(self) -> Question:
        """Return the question for an incident."""
        path = f"/providers/Microsoft.SecurityInsights/incidents?api-version={self.api}&$top=1"
        return Question(self._get(path), self._incidents)

    def _incidents(self, response: HttpResponse) -> Finding:
        status = response.status
        code = part(json_object(response), "error").get("code")
        if status == 401:
            return refused(status, "the resource manager, which may want another `audience`,")
        if code in _VERSIONS:
            hint = "write a version as `api` that this cloud has"
            return Wrong(
                Level.SCHEMA, f"the resource manager does not know `api` {self.api} ({status})", hint
            )
        if status in {400, 404, 409} and code:
            words = f"there is no such workspace, or Microsoft Sentinel is not enabled in it ({status})"
            return Wrong(Level.PLACE, words, "compare `workspace` with the ARM id in the portal")
        if status != 200:
            return wrong(WHO, response, _ROLE)
        if listed(response, "value") is None:
            return elsewhere(status, "resource manager")
        path = f"/providers/Microsoft.Authorization/permissions?api-version={PERMISSIONS}"
        return Question(self._get(path), _permitted, _UNKNOWN)

    def _get(self, path: str) -> HttpRequest:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        return HttpRequest("GET", self.workspace + path, headers, timeout=self.timeout)


def _permitted(response: HttpResponse) -> Finding:
    roles = listed(response, "value")
    if response.status != 200 or roles is None:
        return _UNKNOWN
    if not any(_gives(role) for role in roles):
        return Wrong(Level.PERMISSION, "the application reads incidents, and may not comment on them", _ROLE)
    return Sound("the application reads the workspace's incidents, and its roles let it comment")


def _gives(role: Mapping[str, object]) -> bool:
    """Whether a role lets who has it comment.

    >>> _gives({"actions": ["Microsoft.SecurityInsights/incidents/*"], "notActions": []})
    True
    >>> _gives({"actions": ["*"], "notActions": ["microsoft.securityinsights/*/write"]})
    False
    """
    return _matches(role.get("actions")) and not _matches(role.get("notActions"))


def _matches(patterns: object) -> bool:
    told = [each for each in patterns if isinstance(each, str)] if isinstance(patterns, list) else []
    return any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), COMMENT, re.IGNORECASE) for each in told)
