"""docs/deliveries.md says what is: every key of a plan, every limit, and an example that loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
