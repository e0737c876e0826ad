"""The wiring of what tests connectors; the ports that it uses are `App`'s."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_alerts import Alerting
from sentinel.wiring import grants_of

if TYPE_CHECKING:
    from sentinel.actions.connectors import Connectors


class Connecting(Alerting):
    """Asks connectors whether they would work."""

    @cached_property
    def connectors(self) -> Connectors:
        """Tests sinks and accounts over the ports that steps use."""
        from sentinel.actions.connectors import Connectors
        from sentinel.adapters.http import HttpClient

        app: Any = self  # App has them
        ports = (HttpClient(self.hosts, max_idle=0), app.files, app.streams, app.secrets)
        return Connectors(*ports, lambda: app.aws_calls, grants_of(self.settings))
