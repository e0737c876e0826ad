"""Deliveries: which entries of the ledger go to which sink, all of them, in order, for as long as it takes.

A delivery document is `deliveries: {NAME: {to: SINK, ...}}`. The ledger itself is the buffer: a delivery only
remembers how far it is in each chain, so a sink that is down for a day loses nothing.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from sentinel.core.recipe_fields import Duration, Name, Strict
from sentinel.core.recipes import explain, load_yaml
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed

Level = Literal["informational", "low", "medium", "high", "critical"]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_NAMES: TypeAdapter[str] = TypeAdapter(Name)


class Batches(Strict):
    """When a batch leaves: with so many events or bytes, or when its oldest entry is `within` old.

    The sink's own limits are the upper ones; 0 stands for those.
    """

    events: int = Field(default=0, ge=0, le=10_000)
    bytes: int = Field(default=0, ge=0, le=10_000_000)
    within: Duration = Field(default=SECOND, ge=0, le=3600 * SECOND)


class DeliveryPlan(Strict):
    """What goes where. `services` are patterns of service ids with * and ?.

    `only` chooses entries: all of them, those that hold an alert which a webhook told, or those that a
    Sigma rule in force matches, from `level` on. `since: now` begins with what is sealed after the plan is
    first seen. `rate` is the most events per second, 0 for no limit of ours; `parallel` how many requests are
    on their way at once. With `order: chain` a chain's entries arrive in its order; with `any` several
    batches of one chain may be on their way.
    """

    to: Name
    services: tuple[Pattern, ...] = Field(default=("*",), min_length=1, max_length=100)
    only: Literal["everything", "alerts", "matches"] = "everything"
    level: Level = "informational"
    since: Literal["now", "beginning"] = "now"
    include: Literal["entry", "place"] = "entry"
    batch: Batches = Batches()
    rate: int = Field(default=0, ge=0, le=1_000_000)
    parallel: int = Field(default=1, ge=1, le=16)
    order: Literal["chain", "any"] = "chain"

    def wants(self, service: str) -> bool:
        """Say whether the entries of a service are meant.

        >>> DeliveryPlan(to="splunk", services=("shop-*",)).wants("shop-eu")
        True
        """
        return any(fnmatchcase(service, pattern) for pattern in self.services)


def load(name: str, body: bytes) -> dict[str, DeliveryPlan]:
    """Parse a delivery document. `name` is for messages. Raises `Malformed` that says what to change.

    One without any delivery is what ends those that an earlier version had.
    """
    found = load_yaml(name, body)
    named = found.get("deliveries") if isinstance(found, dict) and set(found) == {"deliveries"} else None
    if not isinstance(named, dict):
        raise Malformed(
            f"{name}: a delivery document is a mapping with deliveries: {{NAME: {{to: SINK, ...}}}} "
            "and nothing else; sinks and accounts have files of their own"
        )
    return {str(each): _plan(f"{name}: deliveries.{each}", str(each), body) for each, body in named.items()}


def _plan(where: str, delivery: str, body: object) -> DeliveryPlan:
    try:
        _NAMES.validate_python(delivery)
        return DeliveryPlan.model_validate(body)
    except ValidationError as error:
        raise Malformed(f"{where}: {explain(error)}") from None
