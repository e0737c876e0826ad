"""What every part of the wiring shares: the settings, where data is, and one client of each kind."""

from __future__ import annotations

import platform
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.errors import Malformed
from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.adapters.hosts import Hosts
    from sentinel.core.grants import Grants
    from sentinel.ports import Secrets


def worker_name(pid: int) -> str:
    """Return the name under which a worker process of this machine takes tasks."""
    return f"{platform.node()}:{pid}"


def steady_ns() -> int:
    """Return nanoseconds of a clock that never steps back and, where there is such, goes on during sleep."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def grants_of(to: Settings) -> Grants:
    """Return what the settings let steps touch. Raises `Malformed` with the name of a bad one."""
    from sentinel.core.grants import SETTINGS, parse

    return parse({name: getattr(to, name) for name in SETTINGS})


class Base:
    """What all parts of the wiring share."""

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

    @cached_property
    def dynamodb_once(self) -> Any:
        """One that sends each request once, for writes to the ledger, which are sent again by who asked.

        A throttled partition is a busy one: after the SDK's pause the slot is taken, and the same bytes to
        the same slot only use up what the partition gives (docs/contention.md).
        """
        return self._aws("dynamodb", attempts=1)

    @cached_property
    def _session(self) -> Any:
        # botocore's own: importing boto3 itself costs a cold start some 60 ms and adds nothing here. It keeps
        # what it read of a service, so that a second client of it costs 3 ms and not 50.
        import botocore.session

        return botocore.session.get_session()

    def _aws(
        self, service: str, connect_timeout: float = 2, read_timeout: float = 3, attempts: int = 2
    ) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=connect_timeout,
            # An ingest reads once and writes once at least, and answers before its time is up even then.
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            tcp_keepalive=True,
            max_pool_connections=32,
            user_agent="sentinel",  # putting botocore's own together is a fifth of what a put takes
            parameter_validation=False,  # our own typed code makes the parameters; DynamoDB checks them too
        )
        return self._session.create_client(service, config=config)

    @cached_property
    def secrets(self) -> Secrets:
        """Looks secrets up by name."""
        if self.local:
            from sentinel.adapters.secrets_file import FileSecrets

            return FileSecrets(self.home / "secrets")
        from sentinel.adapters.secrets_aws import AwsSecrets

        return AwsSecrets(self._aws("secretsmanager"), self.settings.secret_prefix)

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts that steps may reach."""
        from sentinel.adapters.hosts import Hosts

        return Hosts(self.settings.http_hosts.split(","), private=self.settings.http_private)

    @cached_property
    def redis(self) -> Any:
        """The connection to Redis or Valkey. Raises `Malformed` where none is set."""
        return self._redis()

    def _redis(self, **options: Any) -> Any:
        """Connect to Redis; `options` are those of `redis_streams.connect`."""
        from sentinel.adapters.redis_streams import connect

        to = self.settings
        if not to.redis_url:
            raise Malformed("SENTINEL_REDIS_URL is not set: workers and limits need a Redis or Valkey")
        password = self.secrets.get(to.redis_secret) if to.redis_secret else None
        credentials = None
        if to.redis_user:
            from sentinel.adapters.elasticache_iam import IamCredentials

            credentials = IamCredentials(to.redis_user, to.redis_cache, time.time_ns)
        return connect(to.redis_url, to.redis_cluster, credentials, password, **options)
