"""Evidence: the entries of a task, each with the webhook that its segment's context tells, and no other."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import replies
from sentinel.core.alert_notices import notices
from sentinel.core.segment import Segment
from sentinel.core.steps import Matched
from sentinel.errors import Malformed
from sentinel.usecases.evidence import matched
from tests.alert_chains import alert, sealed
from tests.steps import step_run

TASK = step_run("x", {}).task
FORGED = {
    "/v1/entries": "mallory",
    "/v1/logs": "hook/sentry/errors",
    "/services/collector/event": "hook/splunk-hec/events",
    "/hooks/sentry/others": "hook/sentry/others",
    "/hooks/generic/mine": "hook/generic/mine",
    "/hooks/sentry/errors": "mallory",
}


def _found(segments: list[Segment]) -> list[Matched]:
    ledger = SqliteLedger(":memory:")
    for segment in segments:
        ledger.append(segment)
    places = [{"chain": each.chain, "seq": each.first + n} for each in segments for n in range(each.count)]
    return matched(ledger, replace(TASK, cause={"entries": places}))


def test_what_a_webhook_told_is_known_by_its_segment() -> None:
    """All entries of a message are its webhook's, and its alert can be replied to."""
    found = _found(sealed([[alert()], [alert(status="resolved")]]))
    assert {each.hook for each in found} == {"sentry/errors"}
    assert replies.told(found, "sentry").fingerprint == "disk-7"


@pytest.mark.parametrize("endpoint", FORGED)
def test_an_entry_of_that_form_by_another_door_is_no_alert(endpoint: str) -> None:
    """A service's entries, OTLP, an event collector, another webhook: each may write the very same bytes."""
    segments = sealed([[alert()]], endpoint=endpoint, subject=FORGED[endpoint])
    told = [orjson.loads(each.entry)["webhook"] for each in _found(segments)]
    assert {each["source"] for each in told} == {"sentry"}
    assert [notice for segment in segments for notice in notices(segment)] == []
    for source in ("sentry", ""):
        with pytest.raises(Malformed, match="hold no alert"):
            replies.told(_found(segments), source)
