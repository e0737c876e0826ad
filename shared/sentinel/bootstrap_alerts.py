"""The wiring of alerts: their records, what folds them and what shows them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sentinel.bootstrap_doors import Doors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.ports_alerts import Alerts
    from sentinel.usecases.fold_alerts import AlertFolder
    from sentinel.usecases.show_alerts import ShowAlerts


class Alerting(Doors):
    """What became of what webhooks told, each made on first use."""

    @cached_property
    def alerts(self) -> Alerts:
        """The records of alerts."""
        if self.local:
            from sentinel.adapters.sqlite_alerts import SqliteAlerts

            return SqliteAlerts(self.home / "alerts.db")
        from sentinel.adapters.dynamodb_alerts import DynamoAlerts

        return DynamoAlerts(self.dynamodb, self.settings.alerts_table)

    @cached_property
    def alert_folder(self) -> AlertFolder:
        """Folds what webhooks tell."""
        from sentinel.usecases.fold_alerts import AlertFolder

        return AlertFolder(self.alerts)

    @cached_property
    def show_alerts(self) -> ShowAlerts:
        """Shows alerts."""
        from sentinel.usecases.show_alerts import ShowAlerts

        return ShowAlerts(self.alerts, self._services)

    def _services(self) -> Sequence[str]:
        from sentinel.core.access import Service

        return [record.id for record in self.registry.listing(Service.KIND)]
