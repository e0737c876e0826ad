"""The DynamoDB tables, described once: CDK creates them from here, and so do the tests.

Names of tables are the deployment's (`settings`); the keys here are how a description is found.

`ledger` has both images in its stream, since the tripwire must see what an item was before somebody changed
it. `tasks` has only new images: dispatch needs to know which task is now queued for which stream, and a
repeated hint does no harm, so the old image would double what is read for nothing. `DISPATCH_FILTER` keeps
everything else away from it before a function is woken (and paid).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal["S", "N", "B"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key attribute: its name, and its type as DynamoDB spells it."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index. Sparse where `partition` or `sort` is not on every item."""

    name: str
    partition: Key
    sort: Key
    projection: Literal["ALL", "KEYS_ONLY"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, on demand. `stream` is the view type, `ttl` the attribute with epoch seconds; "" for none.

    `recover` says whether it needs point-in-time recovery.
    """

    partition: Key
    sort: Key | None = None
    indexes: tuple[Index, ...] = ()
    stream: Literal["", "NEW_IMAGE", "NEW_AND_OLD_IMAGES"] = ""
    ttl: str = ""
    recover: bool = True


CHAINS = "chains"  # ledger: one item a chain, its first segment
BY_STATE = "by_state"  # tasks: unfinished ones by when somebody should look again
BY_CHANGE = "by_change"  # tasks: all of them by when they last changed
NEWEST = "newest"  # alerts: a service's of one status by when their senders were last heard

_BUCKET = Key("bucket", "S")

TABLES: Mapping[str, Table] = {
    "ledger": Table(
        Key("chain", "S"),
        Key("first", "N"),
        indexes=(Index(CHAINS, Key("genesis", "S"), Key("chain", "S"), "KEYS_ONLY"),),
        stream="NEW_AND_OLD_IMAGES",
        ttl="expires",  # of segments that are in the archive
    ),
    "tasks": Table(
        Key("task", "S"),
        Key("item", "S"),
        indexes=(
            Index(BY_STATE, _BUCKET, Key("due", "N"), "ALL"),
            Index(BY_CHANGE, _BUCKET, Key("changed", "N"), "ALL"),
        ),
        stream="NEW_IMAGE",
    ),
    "catalog": Table(Key("kind", "S"), Key("id", "S")),
    # Lost counters only forget what was counted in windows that are still open, pauses, and who has a place
    # at a limit, which mends itself: not worth a recovery, whose older moment would count entries twice.
    "counters": Table(Key("key", "S"), ttl="expires", recover=False),
    # Wrapped data keys. Without them what they encrypted is lost, so they can be recovered: which is why an
    # erasure takes 35 days to reach everything (docs/erasure.md).
    "keys": Table(Key("chain", "S"), Key("id", "S")),
    "registry": Table(Key("kind", "S"), Key("id", "S"), ttl="expires"),
    # Made of the ledger alone; but recovered is sooner there than folded anew.
    "alerts": Table(Key("alert", "S"), indexes=(Index(NEWEST, Key("shelf", "S"), Key("seen", "S"), "ALL"),)),
}

# For the event source mapping of dispatch: tasks that have just become queued.
DISPATCH_FILTER: Mapping[str, object] = {
    "dynamodb": {"Keys": {"item": {"S": ["state"]}}, "NewImage": {"state": {"S": ["queued"]}}}
}
