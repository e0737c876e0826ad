"""What a product tells of our own replies is recognised, and what others do is not taken for ours."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sentinel.core.replies import mark
from sentinel.webhooks import SOURCES
from tests.webhooks.senders import golden

ACTORS: list[tuple[str, dict[str, Any], bool]] = [
    ("Sentinel", {"type": "application", "id": "b3ac", "name": "Sentinel"}, True),
    ("b3ac", {"type": "application", "id": "b3ac", "name": "Sentinel"}, True),
    ("Sentinel", {"type": "user", "id": 7, "name": "Sentinel"}, False),
    ("Sentinel", {"type": "application", "id": "sentry", "name": "Sentry"}, False),
    ("", {"type": "application", "id": "", "name": ""}, False),
]


@pytest.mark.parametrize(("ours", "actor", "labelled"), ACTORS)
def test_sentry_says_who_did_it(ours: str, actor: dict[str, Any], labelled: bool) -> None:
    """Only the integration that the option `self` names: no user of its name, and nobody without it."""
    body = copy.deepcopy(golden("sentry")["issue resolved"]["body"]) | {"actor": actor}
    source = SOURCES["sentry"].make({"self": ours} if ours else {})
    (alert,) = source.alerts({}, json.dumps(body).encode())
    assert (alert.labels.get("by") == "sentinel") is labelled
    assert alert.labels["issue_id"] == "700100200"


@pytest.mark.parametrize(("first", "second", "labelled"), [(1, 2, True), (2, 1, False)])
def test_the_newest_comment_of_an_incident_counts(first: int, second: int, labelled: bool) -> None:
    """In whatever order they are listed: after somebody else's comment the incident is theirs again."""
    body = copy.deepcopy(golden("microsoft-sentinel")["incident created"]["body"])
    body["object"]["properties"]["comments"] = [
        {"properties": {"message": mark("ab" * 32), "createdTimeUtc": f"2026-05-01T1{second}:00:00Z"}},
        {"properties": {"message": "looking", "createdTimeUtc": f"2026-05-01T1{first}:00:00Z"}},
    ]
    (alert,) = SOURCES["microsoft-sentinel"].make({}).alerts({}, json.dumps(body).encode())
    assert (alert.labels.get("by") == "sentinel") is labelled


def test_a_comment_of_sentry_tells_no_alert() -> None:
    """Ours or anybody's: so a reply by comment sets nothing off that could be replied to."""
    body = {"action": "created", "data": {"comment": mark("ab" * 32), "issue_id": 1}}
    assert SOURCES["sentry"].make({}).alerts({}, json.dumps(body).encode()) == []
