"""Makes functions of one deployment: their common settings, and the way to Redis for those that need it.

Every function gets `ledger_table`, also those without any right on it: an empty one means local storage.
Of the other settings a function gets those its use case reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Stack, Token
from constructs import Construct

from infra import access
from infra.config import Deployment
from infra.door_state import DoorState
from infra.function import Function, Platform, Spec
from infra.ledger import Ledger
from infra.nag import acknowledge
from infra.network import Redis
from infra.tasks import Tasks
from sentinel.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """Where functions find what they work on: the tables, what the doors keep, Redis."""

    ledger: Ledger
    tables: Tasks
    doors: DoorState
    redis: Redis


class Factory:
    """Makes functions below `scope`."""

    def __init__(self, scope: Construct, platform: Platform, stores: Stores) -> None:
        self._scope = scope
        self._platform = platform
        self._stores = stores

    @property
    def deployment(self) -> Deployment:
        """The options of the deployment."""
        return self._platform.deployment

    def settings(self, **more: object) -> Settings:
        """Return settings with what all functions have in common, and `more`."""
        common = {
            "ledger_table": self._stores.ledger.table.table_name,
            "log_level": self.deployment.log_level,
        }
        return Settings(**common, **more)  # type: ignore[arg-type] # the names are checked by Settings itself

    def redis(self) -> dict[str, object]:
        """Return the settings of what uses Redis."""
        redis = self._stores.redis
        return {
            "redis_url": redis.url,
            "redis_cluster": redis.cluster,
            "redis_user": redis.user,
            "redis_cache": redis.cache,
            "redis_secret": redis.secret,
            # The password's name is looked up below the prefix, as the names of sinks' secrets are.
            "secret_prefix": self.deployment.secrets if redis.secret else "",
        }

    def make(self, name: str, spec: Spec) -> Function:
        """Make a function; one whose settings name a Redis may connect to it."""
        function = Function(self._scope, name, self._platform, spec)
        if self._platform.key:
            function.allow(access.use_key(self._platform.key))
        if spec.settings.redis_url:
            self._allow_redis(function)
        return function

    def _allow_redis(self, function: Function) -> None:
        redis = self._stores.redis
        if redis.connect:
            function.allow(access.allow(["elasticache:Connect"], redis.connect))
        if redis.secret:
            function.allow(access.secret(self._scope, self.deployment.secrets + redis.secret))

    def allow_secrets(self, function: Function, prefix: str, *actions: str, reason: str) -> None:
        """Allow actions on all secrets below a prefix, since their names are not known here."""
        function.allow(access.secrets_below(self._scope, prefix, *actions))
        reported = _as_reported(self._scope, self.deployment, prefix)
        acknowledge(function.policy, f"AwsSolutions-IAM5[Resource::{reported}]", reason)


def _as_reported(scope: Construct, deployment: Deployment, prefix: str) -> str:
    """Return the ARN of the secrets below a prefix as cdk-nag spells it in a finding."""
    partition = Stack.of(scope).partition
    if Token.is_unresolved(partition):
        partition = "<AWS::Partition>"
    account = deployment.account or "<AWS::AccountId>"
    return f"arn:{partition}:secretsmanager:{deployment.region}:{account}:secret:{prefix}*"
