"""What deliveries are told of: how far each is, what died, and having that sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sentinel.actions.breakers import Breakers
from sentinel.actions.deliver_read import beginning
from sentinel.actions.deliver_store import DeliveryStore
from sentinel.core import chain
from sentinel.core.delivered import Record
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.tasks import SECOND
from sentinel.errors import Missing
from sentinel.ports import Ledger


class ShowDeliveries:
    """Reads what deliveries have written. `plans` gives those in force; `clock` is in epoch nanoseconds."""

    def __init__(
        self,
        plans: Callable[[], Mapping[str, DeliveryPlan]],
        ledger: Ledger,
        store: DeliveryStore,
        breakers: Breakers,
        clock: Callable[[], int],
    ) -> None:
        self._plans = plans
        self._ledger = ledger
        self._store = store
        self._breakers = breakers
        self._clock = clock

    def all(self) -> list[dict[str, Any]]:
        """Return all deliveries in force, by name: their state, lag and counts."""
        return [
            self._one(name, plan, self._chains(name, plan)) for name, plan in sorted(self._plans().items())
        ]

    def one(self, name: str) -> dict[str, Any]:
        """Return one delivery with its chains. Raises `Missing`."""
        plan = self._plan(name)
        chains = self._chains(name, plan)
        return self._one(name, plan, chains) | {"chains": chains}

    def dead(self, name: str) -> list[dict[str, Any]]:
        """Return the dead entries of a delivery, as ranges in their chains. Raises `Missing`."""
        found = []
        for chain_id, record in self._records(name, self._plan(name)):
            for each in record.dead if record else ():
                count = each.last - each.first + 1
                place = {"chain": chain_id, "first": each.first, "last": each.last, "count": count}
                found.append(place | {"reason": each.reason, "t": each.t})
        return found

    def redrive(self, name: str, chain_id: str = "", reason: str = "") -> int:
        """Have dead entries sent again, of one chain or of one reason; return how many. Raises `Missing`.

        The sink is tried at once: whoever asks for this has seen to what was wrong.
        """
        plan = self._plan(name)
        chains = [each for each, _ in self._records(name, plan)]
        if chain_id and chain_id not in chains:
            has = f"it has {_named(chains)}; `sentinel deliveries show {name}` tells of them"
            raise Missing(f"delivery {name} has no chain {chain_id}; {has}")
        count = sum(self._store.redrive(name, each, reason) for each in chains if chain_id in {"", each})
        self._store.nudge(name)
        if self._breakers.now(plan.to).failures:
            self._breakers.tried(plan.to)
        return count

    def _plan(self, name: str) -> DeliveryPlan:
        plans = self._plans()
        if name not in plans:
            has = f"in force: {_named(sorted(plans))}; `sentinel deliveries` shows them"
            raise Missing(f"there is no delivery {name}; {has}")
        return plans[name]

    def _one(self, name: str, plan: DeliveryPlan, chains: list[dict[str, Any]]) -> dict[str, Any]:
        now = self._clock()
        lease, _ = self._store.lease(name)
        breaker = self._breakers.now(plan.to)
        running = bool(lease.holder) and lease.until > now
        stopped = next((each["stopped"] for each in chains if each["stopped"]), "")
        wait = breaker.wait(now)
        state = "waiting" if wait else "running" if running else "idle"
        return {
            "delivery": name,
            "sink": plan.to,
            "state": "stopped" if stopped else state,
            "lag": sum(each["lag"] for each in chains),
            "lag_seconds": max((each["lag_seconds"] for each in chains), default=0.0),
            **{each: sum(chain[each] for chain in chains) for each in ("delivered", "dead", "twice")},
            "breaker": breaker.state(now),
            "breaker_seconds": wait / SECOND,
            "limit": lease.limit,
            "reason": stopped or breaker.reason,
        }

    def _records(self, name: str, plan: DeliveryPlan) -> Iterator[tuple[str, Record | None]]:
        for chain_id in sorted(self._ledger.chains()):
            if plan.wants(chain.service_of(chain_id)):
                yield chain_id, self._store.load(name, chain_id)[0]

    def _chains(self, name: str, plan: DeliveryPlan) -> list[dict[str, Any]]:
        seen = self._store.lease(name)[0].since or self._clock()
        return [
            self._chain(chain_id, record or Record(beginning(self._ledger, plan, chain_id, seen)))
            for chain_id, record in self._records(name, plan)
        ]

    def _chain(self, chain_id: str, told: Record) -> dict[str, Any]:
        """Tell of one chain; of one whose record is not made yet, from where it will begin."""
        head = self._ledger.head(chain_id)
        end = head.first + head.count if head else 0
        lag = end - told.next
        oldest = self._ledger.at(chain_id, told.next) if lag > 0 else None
        return {
            "chain": chain_id,
            "next": told.next,
            "lag": max(0, lag),
            "lag_seconds": max(0, self._clock() - oldest.t) / SECOND if oldest else 0.0,
            "delivered": told.delivered,
            "dead": told.waiting,
            "again": sum(last - first + 1 for first, last in told.again),
            "twice": told.twice,
            "stopped": told.stopped,
        }


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:20])
    return (f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown) or "none"
