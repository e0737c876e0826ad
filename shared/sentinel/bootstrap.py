"""The only wiring: settings become adapters, adapters become use cases. Nothing is made before it is used.

`bootstrap()` is what every entrypoint calls; it builds one `App` a process, so there is one client of each
kind a process. Only this module reads the environment.
"""

from __future__ import annotations

import functools
import os
import random
import secrets
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.ports import Ledger
    from sentinel.usecases.append import Appender
    from sentinel.usecases.ingest import Ingest
    from sentinel.usecases.inspect import Inspect


class App:
    """One process's adapters and use cases, each made on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def local(self) -> bool:
        """Whether data is on this machine."""
        return not self.settings.ledger_table

    @property
    def home(self) -> Path:
        """The folder of local data."""
        return Path(self.settings.home)

    @cached_property
    def dynamodb(self) -> Any:
        """The DynamoDB client. Few retries: each is a slot tried again, and the caller retries too."""
        return self._aws("dynamodb")

    def _aws(self, service: str) -> Any:
        # botocore's own session: importing boto3 itself costs a cold start some 60 ms and adds nothing here.
        import botocore.session
        from botocore.config import Config

        config = Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 3},
            tcp_keepalive=True,
            max_pool_connections=32,
            parameter_validation=False,  # our own typed code makes the parameters; DynamoDB checks them too
        )
        return botocore.session.get_session().create_client(service, config=config)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        if self.local:
            from sentinel.adapters.sqlite_ledger import SqliteLedger

            return SqliteLedger(self.home / "ledger.db")
        from sentinel.adapters.dynamodb_ledger import DynamoLedger

        return DynamoLedger(self.dynamodb, self.settings.ledger_table)

    @cached_property
    def appender(self) -> Appender:
        """The appender, which holds the heads of warm chains."""
        from sentinel.usecases.append import Appender

        return Appender(self.ledger, time.time_ns, secrets.token_bytes, random.random, time.sleep)

    @cached_property
    def ingest(self) -> Ingest:
        """Takes batches in."""
        from sentinel.usecases.ingest import Ingest

        return Ingest(self.appender, self.settings.lanes)

    @cached_property
    def inspect(self) -> Inspect:
        """Shows chains and tasks."""
        from sentinel.usecases.inspect import Inspect

        return Inspect(self.ledger, self.tasks)


@functools.cache
def bootstrap() -> App:
    """Return the process's application, built from its environment on the first call."""
    return App(Settings.from_environ(os.environ))
