"""docs/deliveries.md says what is: every key of a plan, every limit, and an example that loads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel import siem
from sentinel.actions.connector_places import SAMPLE
from sentinel.actions.deliver_course import WRITE_AFTER
from sentinel.actions.deliver_session import HELD
from sentinel.actions.deliver_ship import EVENTS
from sentinel.cli.deliveries import deliveries
from sentinel.core.breaker import MOST
from sentinel.core.delivered import MOST_RANGES
from sentinel.core.deliveries import Batches, DeliveryPlan, load
from sentinel.siem import SINKS

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "deliveries.md").read_text()


@pytest.mark.parametrize("key", DeliveryPlan.model_fields)
def test_keys_are_documented(key: str) -> None:
    """Every key of a delivery has its row."""
    assert f"\n| `{key}` |" in TEXT


def test_the_example_is_a_document() -> None:
    """What is shown can be pushed."""
    found = re.search(r"```yaml\n(deliveries:.*?)```", TEXT, re.DOTALL)
    assert found is not None
    assert len(load("docs/deliveries.md", found[1].encode())) == 3


PLACES = re.findall(r"^\| (`[a-z0-9_`, ]+`) \| (`.+`) \| `(\S+)` \| `(\S+)` \|$", TEXT, re.MULTILINE)
CONFIGS: dict[str, dict[str, object]] = {
    "crowdstrike": {"url": "https://a.example/services/collector", "token": "t"},
    "datadog": {"token": "t"},
    "elastic": {"url": "https://a.example", "token": "t"},
    "file": {"path": "a"},
    "microsoft_sentinel": {
        "endpoint": "https://a.example",
        "rule": f"dcr-{'0' * 32}",
        "stream": "Custom-A_CL",
        "tenant": "00000000-0000-4000-8000-00000000000a",
        "client": "00000000-0000-4000-8000-00000000000b",
        "token": "t",
    },
    "s3": {"bucket": "a-bucket"},
    "splunk": {"url": "https://a.example", "token": "t"},
    "syslog": {"host": "a.example"},
}


def test_the_place_of_an_event_is_where_the_page_says() -> None:
    """Each kind of sink has a row, and its events have id, chain and number under the names there."""
    assert set(CONFIGS) == set(SINKS)
    notice = replace(SAMPLE, hash="ab" * 32, task="", recipe="", key="", seq=41, chain="sample/3")
    rows = {kind: row[1:] for row in PLACES for kind in re.findall(r"\w+", row[0])}
    assert set(rows) == set(SINKS)
    for kind, (ids, chain, seq) in rows.items():
        sink = siem.make(
            siem.load("s", json.dumps({"sinks": {"a": {"kind": kind, **CONFIGS[kind]}}}).encode())["a"]
        )
        data = sink.encode(notice).splitlines()[-1]
        named = [name for name in re.findall(r"[\w.]+", ids) if name != "_id"]
        if kind == "syslog":
            assert all(
                f'{name}="{value}"'.encode() in data
                for name, value in zip((*named, chain, seq), (notice.id, "sample/3", 41), strict=True)
            )
            continue
        told = json.loads(data)
        assert {_at(told, name) for name in named} == {notice.id}, kind
        assert (_at(told, chain), str(_at(told, seq))) == ("sample/3", "41"), kind


def _at(told: Any, name: str) -> Any:
    """Return what stands at a name with dots, in the event or in HEC's `fields`."""
    for part in name.split("."):
        told = told[part] if part in told else told["fields"][part]
    return told


def test_limits_and_commands_are_documented() -> None:
    """The numbers are the code's, and so are the commands and the parts of `batch`."""
    for told in (
        f"{EVENTS:,} events",
        f"{WRITE_AFTER:,}",
        f"{MOST} such failures",
        f"at most {MOST_RANGES} runs",
        f"about {HELD // 1_000_000} MB",
        "{" + ", ".join(Batches.model_fields) + "}",
    ):
        assert told in TEXT, told
    for name in set(deliveries.commands) - {"ls"}:
        assert f"| `sentinel deliveries {name} NAME" in TEXT
    for kind in ("elastic", "file", "s3"):
        assert kind in SINKS
        assert f"\n| `{kind}` |" in TEXT
