"""Products that take replies, on loopback: each keeps what it took, refuses, throttles, forgets to answer.

What they check is what the products' own documentation, or their source where it is public, says that they
check. `Trouble` says what goes wrong next; requests are counted from 1, sign-ins among them.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.loopback import Asked, Loopback, Told

JSON = {"Content-Type": "application/json"}
SCOPES = {"/api/v2/events": "events_read", "/api/v2/downtime": "monitors_downtime"}  # at Datadog
SECRET = "canary-secret-0123456789"
TENANT = "00000000-0000-4000-8000-00000000000a"
WORKSPACE = (
    "/subscriptions/00000000-0000-4000-8000-00000000000c/resourceGroups/rg-siem"
    "/providers/Microsoft.OperationalInsights/workspaces/acme-siem"
)


@dataclass
class Trouble:
    """`instead` is answered in the place of doing anything, by number; `lost` are done and not answered."""

    instead: dict[int, Told] = field(default_factory=dict)
    lost: frozenset[int] = frozenset()
    slow: float = 0.0


class ReplyTarget:
    """What they share. `texts` are the replies it has."""

    def __init__(self) -> None:
        self.trouble = Trouble()
        self.texts: list[str] = []
        self.server = Loopback(self._answer)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _answer(self, asked: Asked) -> Told:
        number = len(self.server.asked)
        if number in self.trouble.instead:
            return self.trouble.instead[number]
        told = self.take(asked, urlsplit(asked.path).path)
        if self.trouble.slow:
            time.sleep(self.trouble.slow)
        return Told(lost=True) if number in self.trouble.lost else told

    def take(self, asked: Asked, path: str) -> Told:
        """Answer one request."""
        raise NotImplementedError


def told(status: int, body: object = None, **headers: str) -> Told:
    """Return an answer in JSON; its text is nothing that may be repeated."""
    found = {"detail": "canary-body"} if body is None else body
    return Told(status, json.dumps(found).encode(), {**JSON, **headers})


class Sentry(ReplyTarget):
    """One issue of the organization acme. The same text by the same user within the hour is refused."""

    ISSUE = "700100200"

    def __init__(self) -> None:
        self.status, self.substatus, self.updates = "unresolved", "new", 0
        self.refused = 0
        self.scopes = ["event:read", "event:write"]
        super().__init__()

    def take(self, asked: Asked, path: str) -> Told:
        """Answer as the organization-scoped endpoints do."""
        if asked.headers.get("Authorization") != f"Bearer {SECRET}":
            return told(401)
        return self._asked(path) or self._issue(asked, path)

    def _asked(self, path: str) -> Told | None:
        """Answer for the index and the organization, by what the token may."""
        if path == "/api/0/":
            return told(200, {"version": "0", "auth": {"scopes": self.scopes}, "user": None})
        if not any(each in self.scopes for each in ("event:read", "event:write", "event:admin")):
            return told(403)
        return told(200, [{"id": self.ISSUE}]) if path == "/api/0/organizations/acme/issues/" else None

    def _issue(self, asked: Asked, path: str) -> Told:
        issue = f"/api/0/organizations/acme/issues/{self.ISSUE}/"
        if path == issue and asked.method == "GET":
            return told(200, {"id": self.ISSUE, "status": self.status, "substatus": self.substatus})
        if path == issue and asked.method == "PUT":
            self.updates += 1
            self.status = json.loads(asked.body)["status"]
            return told(200, {"status": self.status})
        if path != f"{issue}comments/":
            return told(404)
        return self._list(asked) if asked.method == "GET" else self._post(json.loads(asked.body)["text"])

    def _list(self, asked: Asked) -> Told:
        query = parse_qs(urlsplit(asked.path).query)
        size, start = int(query["per_page"][0]), int(query.get("cursor", ["0:0:0"])[0].split(":")[1])
        newest = self.texts[::-1][start : start + size]
        more = "true" if start + size < len(self.texts) else "false"
        link = (
            f'<{self.url}/x>; rel="previous"; results="false"; cursor="0:0:1", '
            f'<{self.url}/x>; rel="next"; results="{more}"; cursor="0:{start + size}:0"'
        )
        return told(200, [{"type": "note", "data": {"text": text}} for text in newest], Link=link)

    def _post(self, text: str) -> Told:
        if text in self.texts:
            self.refused += 1
            return told(400, {"detail": "You have already posted that comment."})
        self.texts.append(text)
        return told(201, {"id": str(len(self.texts)), "data": {"text": text}})


class PagerDuty(ReplyTarget):
    """One incident. Notes need the address of a user."""

    def take(self, asked: Asked, path: str) -> Told:
        """Answer as version 2 of the API does."""
        if asked.headers.get("Authorization") != f"Token token={SECRET}":
            return told(401)
        if path == "/users":
            query = parse_qs(urlsplit(asked.path).query)["query"][0].lower()
            users = [
                {"email": each} for each in ("Kim@example.com", "kim@example.community", "al@example.com")
            ]
            return told(200, {"users": [each for each in users if query in each["email"].lower()]})
        if path != "/incidents/PGR0VU2/notes":
            return told(404)
        if asked.method == "GET":
            return told(200, {"notes": [{"id": "P1", "content": text} for text in self.texts]})
        if asked.headers.get("From") != "kim@example.com":
            return told(400)
        self.texts.append(json.loads(asked.body)["note"]["content"])
        return told(201, {"note": {"id": "P1"}})


class Microsoft(ReplyTarget):
    """One incident of a workspace, and the sign-in. A comment is put under its name."""

    INCIDENT = "22d80f17-0000-4000-8000-ad88fc708c91"

    def __init__(self) -> None:
        self.comments: dict[str, str] = {}
        self.issued = self.revoked = 0
        self.actions = ["Microsoft.SecurityInsights/*/read", "Microsoft.SecurityInsights/incidents/*"]
        self.denied: list[str] = []
        self.tells = True  # what the application may do
        super().__init__()

    def take(self, asked: Asked, path: str) -> Told:
        """Answer as Entra and the resource manager do."""
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._sign_in({name: each[0] for name, each in parse_qs(asked.body.decode()).items()})
        good = range(self.revoked + 1, self.issued + 1)
        if asked.headers.get("Authorization") not in {f"Bearer bearer-{number}" for number in good}:
            return told(401)
        if answer := self._asked(path, urlsplit(asked.path).query):
            return answer
        below = f"{WORKSPACE}/providers/Microsoft.SecurityInsights/incidents/{self.INCIDENT}/comments/"
        found = re.fullmatch(re.escape(below) + "([0-9a-f-]{36})", path)
        if found is None or not urlsplit(asked.path).query.startswith("api-version=20"):
            return told(404)
        if asked.method == "GET":
            return told(200 if found[1] in self.comments else 404)
        fresh = found[1] not in self.comments
        self.comments[found[1]] = json.loads(asked.body)["properties"]["message"]
        self.texts = list(self.comments.values())
        return told(201 if fresh else 200)

    def _asked(self, path: str, query: str) -> Told | None:
        """Answer for a workspace, in which there is an incident, and what one may do there."""
        if path == f"{WORKSPACE}/providers/Microsoft.Authorization/permissions":
            roles = [{"actions": self.actions, "notActions": self.denied}]
            return told(200, {"value": roles}) if self.tells else told(403, {"error": {"code": "X"}})
        if not path.endswith("/providers/Microsoft.SecurityInsights/incidents"):
            return None
        if "api-version=2025-09-01" not in query:
            return told(400, {"error": {"code": "NoRegisteredProviderFound", "message": "canary-body"}})
        if not self.actions:
            return told(403, {"error": {"code": "AuthorizationFailed", "message": "canary-body"}})
        if not path.startswith(f"{WORKSPACE}/"):
            return told(404, {"error": {"code": "ResourceNotFound", "message": "canary-body"}})
        return told(200, {"value": [{"name": self.INCIDENT}]})

    def _sign_in(self, form: dict[str, str]) -> Told:
        if form["client_secret"] != SECRET or form["scope"] != "https://management.azure.com/.default":
            return told(401, {"error": "invalid_client", "error_description": "canary-body"})
        self.issued += 1
        return told(200, {"access_token": f"bearer-{self.issued}", "expires_in": 3599})


class Datadog(ReplyTarget):
    """One monitor, events and downtimes. Events are found once they are indexed."""

    MONITOR = 5001

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.downtimes: dict[str, dict[str, Any]] = {}
        self.indexed = True
        self.scopes = {"events_read", "monitors_downtime"}
        super().__init__()

    def take(self, asked: Asked, path: str) -> Told:
        """Answer as versions 1 and 2 of the API do."""
        keys = (asked.headers.get("DD-API-KEY"), asked.headers.get("DD-APPLICATION-KEY"))
        if path == "/api/v1/validate" and keys[0] == f"api-{SECRET}":
            return told(200, {"valid": True})
        needed = SCOPES.get(path)
        if keys != (f"api-{SECRET}", f"app-{SECRET}") or (needed and needed not in self.scopes):
            return told(403)
        return told(200, {"status": "ok"}) if path == "/api/v2/validate_keys" else self._keyed(asked, path)

    def _keyed(self, asked: Asked, path: str) -> Told:
        query = parse_qs(urlsplit(asked.path).query)
        if (asked.method, path) == ("POST", "/api/v1/events"):
            self.events.append(json.loads(asked.body))
            self.texts = [each["text"] for each in self.events]
            return told(202, {"status": "ok"})
        if path == "/api/v2/events":
            wanted = query.get("filter[query]", [""])[0]
            found = [each for each in self.events if not wanted or wanted in each["tags"]]
            data = [{"type": "event", "attributes": {"tags": each["tags"]}} for each in found]
            return told(200, {"data": data if self.indexed else []})
        return self._downtimes(asked, path, query)

    def _downtimes(self, asked: Asked, path: str, query: dict[str, list[str]]) -> Told:
        if path == f"/api/v2/monitor/{self.MONITOR}/downtime_matches":
            matches = [
                {"id": name, "attributes": {"scope": each["scope"], "groups": each.get("groups", [])}}
                for name, each in self.downtimes.items()
                if each["monitor_identifier"] in ({"monitor_id": self.MONITOR}, {"monitor_tags": ["*"]})
            ]
            return told(200, {"data": matches})
        if asked.method == "DELETE":
            gone = self.downtimes.pop(path.rpartition("/")[2], None)
            return Told(204 if gone else 404)
        if path != "/api/v2/downtime":
            return told(404)
        if asked.method == "POST":
            made = json.loads(asked.body)["data"]["attributes"]
            self.add(made)
            return told(200, {"data": {"attributes": made}})
        start, size = int(query.get("page[offset]", ["0"])[0]), int(query["page[limit]"][0])
        data = [{"id": name, "attributes": each} for name, each in self.downtimes.items()]
        return told(200, {"data": data[start : start + size]})

    def add(self, made: dict[str, Any]) -> str:
        """Add a downtime; return its id."""
        name = f"00000000-0000-4000-8000-{len(self.downtimes):012x}"
        self.downtimes[name] = made
        return name


class Splunk(ReplyTarget):
    """A collector: it takes what comes, however often, and cannot be asked."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        super().__init__()

    def take(self, asked: Asked, path: str) -> Told:
        """Answer as HEC does."""
        if asked.headers.get("Authorization") != f"Splunk {SECRET}":
            return told(403, {"text": "Invalid token", "code": 4})
        if path != "/services/collector/event":
            return told(404)
        if not asked.body:
            return told(400, {"text": "No data", "code": 5})
        event = json.loads(gzip.decompress(asked.body))
        self.events.append(event)
        self.texts.append(event["event"]["rule_description"])
        return told(200, {"text": "Success", "code": 0})
