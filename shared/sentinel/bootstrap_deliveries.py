"""The wiring of deliveries: the plans in force, what carries them out, and what tells of them."""

from __future__ import annotations

import os
import random
import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_doors import Doors
from sentinel.wiring import grants_of, worker_name

if TYPE_CHECKING:
    from sentinel.actions.books import DeliveryBook
    from sentinel.actions.breakers import Breakers
    from sentinel.actions.deliver import Deliverer
    from sentinel.actions.deliver_show import ShowDeliveries
    from sentinel.actions.deliver_store import DeliveryStore


class Delivering(Doors):
    """Deliveries, each part made on first use; the stores that they need are `App`'s."""

    @cached_property
    def deliveries(self) -> DeliveryBook:
        """The deliveries in force."""
        from sentinel.actions.books import DeliveryBook

        app = self._app
        return DeliveryBook(app.catalog, time.time_ns, self.settings.catalog_seconds, app.opener)

    @cached_property
    def breakers(self) -> Breakers:
        """The circuit breakers of sinks."""
        from sentinel.actions.breakers import Breakers

        return Breakers(self._app.counters, time.time_ns, random.random)

    @cached_property
    def delivery_store(self) -> DeliveryStore:
        """How far deliveries are."""
        from sentinel.actions.deliver_store import DeliveryStore

        return DeliveryStore(self._app.counters, time.time_ns)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Carries the deliveries out. In AWS a chain that is idle is asked less often: each look is paid."""
        from sentinel.actions.deliver import Deliverer, Sources
        from sentinel.actions.deliver_tools import Tools
        from sentinel.actions.siem_carry import Carrier

        app = self._app
        grants = grants_of(self.settings)
        carrier = Carrier(app.http, app.files, app.streams, lambda: app.aws_calls, grants, time.time_ns)
        sources = Sources(
            ledger=app.ledger,
            carrier=carrier,
            files=app.files,
            secrets=app.secrets,
            plans=self.deliveries.current,
            sinks=app.sinks.current,
            rules=lambda: app.playbook.current().rules,
        )
        holder = f"{worker_name(os.getpid())}:{secrets.token_hex(8)}"
        often = {"idle": 1.0, "listing": 2.0} if self.local else {"idle": 15.0, "listing": 30.0}
        tools = Tools(self.delivery_store, self.breakers, time.time_ns, time.sleep, holder, **often)
        return Deliverer(sources, tools)

    @cached_property
    def show_deliveries(self) -> ShowDeliveries:
        """Tells how far deliveries are, and has dead entries sent again."""
        from sentinel.actions.deliver_show import ShowDeliveries

        app = self._app
        return ShowDeliveries(
            self.deliveries.current, app.ledger, self.delivery_store, self.breakers, time.time_ns
        )

    @property
    def _app(self) -> Any:
        return self  # App has them
