"""Which entries a plan means: alerts that webhooks told, and matches of the rules in force."""

from __future__ import annotations

from pathlib import Path

import orjson

from sentinel.core import rules
from tests.deliveries import World

RULE = b"""
title: %s
id: 00000000-0000-4000-8000-00000000000%d
level: %s
logsource: {category: application}
detection:
  s: {msg|contains: '%s'}
  condition: s
"""


def test_alerts_are_what_webhooks_told(tmp_path: Path) -> None:
    """`only: alerts` sends notices of hooks, and nothing that only looks like one."""
    world = World(tmp_path)
    world.file()
    world.plan(only="alerts")
    told = {"webhook": {"source": "sentry", "hook": "main", "alert": 0}, "alert": {"title": "Disk full"}}
    alert = orjson.dumps(told)
    world.log("shop/0", [alert, b'{"n":1}'])
    hook = {"endpoint": "/hooks/sentry/main", "subject": "hook/sentry/main"}
    world.log("shop/0", [alert, b'{"n":3}', alert], **hook)
    found = world.run()
    assert [each["seq"] for each in world.lines()] == [2, 4]
    assert (found.delivered, world.show.one("all")["lag"]) == (2, 0)
    world.close()


def test_matches_are_told_with_their_most_severe_rule(tmp_path: Path) -> None:
    """`only: matches` sends what a rule matches, from `level` on; of several the most severe is named."""
    world = World(tmp_path)
    world.file()
    world.rules = rules.load(
        [
            ("low", RULE % (b"Low", 1, b"low", b"boom")),
            ("high", RULE % (b"High", 2, b"high", b"boom!")),
            ("info", RULE % (b"Info", 3, b"informational", b"fine")),
        ]
    )
    world.plan(only="matches", level="low")
    texts = ["quiet", "boom", "boom! boom!", "fine"]
    world.log("shop/0", [orjson.dumps({"msg": text}) for text in texts] + [b"[1]"])
    world.run()
    assert [(each["seq"], each["rule"]["title"], each["rule"]["level"]) for each in world.lines()] == [
        (1, "Low", "low"),
        (2, "High", "high"),
    ]
    assert world.show.one("all")["lag"] == 0
    world.close()


def test_a_cursor_over_what_nobody_means_is_seldom_written(tmp_path: Path) -> None:
    """Where nothing matches, a run over many segments writes the record a few times, and at its end."""
    world = World(tmp_path)
    world.file()
    world.plan(only="matches")
    world.count("shop/0", 0, 300, each=1)
    world.run(4)
    _, version = world.store.load("all", "shop/0")
    assert version <= 4
    assert world.show.one("all")["lag"] == 0
    world.close()


def test_only_places_are_told_where_the_plan_says_so(tmp_path: Path) -> None:
    """`include: place` sends no content."""
    world = World(tmp_path)
    world.file()
    world.plan(include="place")
    world.log("shop/0", [b'{"secret":"canary-1"}'])
    world.run()
    assert [each["seq"] for each in world.lines()] == [0]
    assert "canary-1" not in str(world.lines())
    world.close()
