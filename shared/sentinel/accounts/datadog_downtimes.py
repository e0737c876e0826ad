"""Downtimes of Datadog: one of ours for one monitor, that always ends; and none of anybody else's."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any

from sentinel.accounts.datadog_requests import WHO, WHY, Requests
from sentinel.accounts.replying import (
    Act,
    Later,
    Look,
    Refused,
    Replied,
    Reply,
    Talk,
    listed,
    part,
    pause,
    trouble,
    unreadable,
)
from sentinel.core.replies import marked
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed
from sentinel.ports import HttpResponse

PAGE = 100
PAGES = 10  # that are looked through: of downtimes in force
_PIECE = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,199}:[A-Za-z0-9_.:/-]{1,200}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_Found = Generator[Look | Act, HttpResponse, list[Mapping[str, Any]] | Later | Refused]


class Downtimes:
    """Mutes or unmutes one monitor for the scope of one alert."""

    def __init__(self, requests: Requests, monitor: int, reply: Reply, *, whole: bool) -> None:
        self._requests = requests
        self._monitor = monitor
        self._reply = reply
        self._scope = scope_of(reply.alert.labels.get("scope", ""), whole=whole)

    def talk(self) -> Talk:
        """Return the talk that does what the reply asks for."""
        ours = yield from self._ours()
        if not isinstance(ours, list):
            return ours
        if self._reply.unmute:
            return (yield from self._unmute(ours))
        if any(self._reply.mark in str(part(each, "attributes").get("message", "")) for each in ours):
            return Replied({"mute": "found"})
        return (yield from self._mute())

    def _mute(self) -> Talk:
        path = f"/api/v2/monitor/{self._monitor}/downtime_matches"
        response = yield Look(self._requests.get(path, {"page[limit]": str(PAGE)}))
        if response.status != 200:
            return self._trouble(response)
        matches = listed(response, "data")
        if matches is None:
            return unreadable(WHO)
        if any(self._covered(part(each, "attributes")) for each in matches):
            return Replied({"mute": "already muted"})
        end = datetime.fromtimestamp((self._reply.now + self._reply.mute) // SECOND, UTC).isoformat()
        told = {
            "message": self._reply.text,
            "monitor_identifier": {"monitor_id": self._monitor},
            "scope": " AND ".join(self._scope) or "*",
            "schedule": {"end": end},
        }
        body = {"data": {"type": "downtime", "attributes": told}}
        response = yield Act(self._requests.post("/api/v2/downtime", body))
        if response.status not in {200, 201}:
            return self._trouble(response)
        return Replied({"mute": f"until {end}"})

    def _unmute(self, ours: list[Mapping[str, Any]]) -> Talk:
        cancelled = 0
        for each in ours:
            name, scope = each.get("id"), part(each, "attributes").get("scope")
            if not isinstance(name, str) or not _UUID.fullmatch(name) or _pieces(scope) != self._wanted:
                continue
            response = yield Act(self._requests.delete(f"/api/v2/downtime/{name}"))
            if response.status not in {200, 204, 404}:
                return self._trouble(response)
            cancelled += 1
        return Replied({"unmute": cancelled})

    def _ours(self) -> _Found:
        """Return the downtimes in force that we made for this monitor."""
        found: list[Mapping[str, Any]] = []
        for page in range(PAGES):
            query = {"current_only": "true", "page[limit]": str(PAGE), "page[offset]": str(page * PAGE)}
            response = yield Look(self._requests.get("/api/v2/downtime", query))
            if response.status != 200:
                return self._trouble(response)
            downtimes = listed(response, "data")
            if downtimes is None:
                return unreadable(WHO)
            found += [each for each in downtimes if self._made(part(each, "attributes"))]
            if len(downtimes) < PAGE:
                break
        return found

    def _made(self, told: Mapping[str, Any]) -> bool:
        whose = part(told, "monitor_identifier").get("monitor_id")
        return whose == self._monitor and marked(str(told.get("message", "")))

    @property
    def _wanted(self) -> frozenset[str]:
        return frozenset(self._scope) or frozenset({"*"})

    def _covered(self, told: Mapping[str, Any]) -> bool:
        """Whether a downtime of anybody silences all that ours would."""
        scope = _pieces(told.get("scope"))
        groups = told.get("groups")
        listed_groups = groups if isinstance(groups, list) else []
        if scope == {"*"} or (scope and scope <= self._wanted):
            return True
        return bool(self._scope) and any(_pieces(each) == self._wanted for each in listed_groups)

    def _trouble(self, response: HttpResponse) -> Later | Refused:
        return trouble(WHO, response, WHY, pause(response, "x-ratelimit-reset"))


def scope_of(text: str, *, whole: bool = False) -> tuple[str, ...]:
    """Return the tags of an alert's scope, sorted; none for all that the monitor looks at.

    Raises `Malformed` where a tag is not plain, which could silence more than the alert is about, and where
    there is no scope, unless `whole` says that this means all.

    >>> scope_of("host:web-1,env:prod"), scope_of("*")
    (('env:prod', 'host:web-1'), ())
    """
    if text.strip() == "*" or (whole and not text.strip()):
        return ()
    if not text.strip():
        raise Malformed("the alert has no scope; whole_monitor: true of the account takes that for all of it")
    pieces = sorted({each.strip() for each in text.split(",")})
    if not all(_PIECE.fullmatch(each) for each in pieces):
        raise Malformed("the alert's scope has something besides plain tags: mute that monitor by hand")
    return tuple(pieces)


def _pieces(scope: object) -> frozenset[str]:
    """Return the tags that a scope joins; none of one that joins them otherwise, as by OR."""
    if not isinstance(scope, str):
        return frozenset()
    pieces = {each.strip() for each in re.split(r",| AND ", scope)}
    good = pieces == {"*"} or all(_PIECE.fullmatch(each) for each in pieces)
    return frozenset(pieces) if good else frozenset()
