"""Records of DynamoDB Streams as changes: images, expiries, and who did it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.core.segment import Segment
from sentinel.core.tripwire import alert
from sentinel.entrypoints.changes import change_of
from tests.chains import grow

OLD, NEW = grow("a/0", [[b"{}"], [b"{}"]])


def _image(segment: Segment, **more: Any) -> dict[str, Any]:
    item = {**to_item(segment), **more}
    return {
        name: {"B": b64encode(value["B"]).decode()} if "B" in value else value for name, value in item.items()
    }


def _record(kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    images = {name: each for name, each in (("OldImage", old), ("NewImage", new)) if each is not None}
    keys = {"chain": {"S": "a/0"}, "first": {"N": "1"}}
    return {
        "eventName": kind,
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:111122223333:table/ledger/stream/now",
        "dynamodb": {"Keys": keys, "SequenceNumber": "4421584500000000017450439091", **images},
        **more,
    }


def test_both_images_are_told() -> None:
    """Old and new segment, expiries, whether the payload stayed, and a number of the change's own."""
    change = change_of(_record("MODIFY", _image(NEW), _image(NEW, expires={"N": "1700000000"})))
    assert (change.kind, change.chain, change.first, change.old, change.new) == ("MODIFY", "a/0", 1, NEW, NEW)
    assert (change.old_expires, change.new_expires, change.same) == (0, 1_700_000_000, True)
    assert change.number.endswith("stream/now 4421584500000000017450439091")
    assert not change.damage
    assert not change_of(_record("MODIFY", _image(OLD), _image(NEW))).same


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ({"type": "Service", "principalId": "dynamodb.amazonaws.com"}, True),
        ({"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}, True),
        ({"type": "Service", "principalId": "replication.dynamodb.amazonaws.com"}, False),
        ({"type": "AssumedRole", "principalId": "dynamodb.amazonaws.com"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_ttl_is_ttl(who: dict[str, str] | None, *, expected: bool) -> None:
    """A removal is TTL's where DynamoDB itself did it, and nobody else's."""
    assert change_of(_record("REMOVE", _image(NEW), None, userIdentity=who)).by_ttl is expected


def test_what_is_no_segment_is_damage() -> None:
    """An image that cannot be one of ours says so; one that is missing, too."""
    odd = {"chain": {"S": "a/0"}, "first": {"N": "1"}}
    assert "no segment" in change_of(_record("INSERT", None, odd)).damage
    assert "no segment" in change_of(_record("MODIFY", _image(NEW), odd)).damage
    assert "no segment" in change_of(_record("MODIFY", _image(NEW), None)).damage
    assert change_of(_record("REMOVE", odd, None)).old is None
    assert change_of(_record("MODIFY", _image(NEW), _image(NEW, expires={"N": "soon"}))).new_expires == 0


@pytest.mark.parametrize("place", ["1.5", "-1", "1e-7", "9223372036854775808", "1" + "0" * 37])
@pytest.mark.parametrize("kind", ["INSERT", "MODIFY", "REMOVE"])
def test_a_place_that_none_can_have_is_damage(kind: str, place: str) -> None:
    """A number that is no entry's holds up no shard: it is told of, and the alert can be written."""
    key = {"first": {"N": place}}
    told = _record(kind, _image(OLD, **key), None if kind == "REMOVE" else _image(NEW, **key))
    told["dynamodb"]["Keys"]["first"] = key["first"]
    change = change_of(told)
    assert "place" in change.damage
    assert b'"first":0' in alert(change, change.damage).entries[0]


def test_a_chain_that_leaves_the_list_of_chains_is_told() -> None:
    """Without its mark a chain would be listed, sealed and verified no more; all else of the item stays."""
    unlisted = _image(OLD)
    del unlisted["genesis"]
    assert "list of chains" in change_of(_record("MODIFY", _image(OLD), unlisted)).damage
    assert "list of chains" in change_of(_record("MODIFY", unlisted, _image(OLD))).damage
    assert not change_of(_record("MODIFY", _image(OLD), _image(OLD))).damage
