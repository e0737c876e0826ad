"""Makes functions of one deployment: their common settings, and the way to Redis for those that need it.

Every function gets `ledger_table`, also those without any right on it: an empty one means local storage.
Of the other settings a function gets those its use case reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aws_cdk import CfnOutput, Stack, Token, aws_iam, aws_kms, aws_s3
from constructs import Construct

from infra import access
from infra.archive import ARCHIVE
from infra.blobs import BLOBS, accept_objects
from infra.config import Deployment
from infra.door_state import DoorState
from infra.function import Function, Platform, Spec
from infra.ledger import Ledger
from infra.log import LogState
from infra.nag import acknowledge
from infra.network import Redis
from infra.tasks import Tasks
from sentinel.core.access import Author
from sentinel.core.grants import parse as parse_grants
from sentinel.core.secret_kinds import KINDS
from sentinel.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """Where functions find what they work on: tables, what doors and log keep, Redis, blobs of patches.

    `data_key` wraps the data keys of encrypted services, where there may be any.
    """

    ledger: Ledger
    tables: Tasks
    doors: DoorState
    redis: Redis
    log: LogState
    archive: aws_s3.IBucket
    blobs: aws_s3.IBucket | None = None
    data_key: aws_kms.IKey | None = None


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

    @property
    def key(self) -> aws_kms.IKey | None:
        """The key of the deployment, if it has one."""
        return self._platform.key

    def signed(self) -> dict[str, object]:
        """Return the settings of what reads the catalog: whether signatures count, and whose."""
        return {
            "recipes_signed": self.deployment.recipes_signed,
            "registry_table": self._stores.tables.registry.table_name,
        }

    def authors(self) -> aws_iam.PolicyStatement:
        """Allow reading whose signatures count: of the registry's records no others."""
        return access.on_records(self._stores.tables.registry, [Author.KIND], "GetItem", "Query")

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

    def allow_sinks_secrets(self, function: Function) -> None:
        """Allow reading what sinks and accounts log in with, and nothing that patches are made with."""
        prefix = self.deployment.secrets
        self.allow_secrets(
            function,
            prefix,
            "GetSecretValue",
            reason="The secrets of sinks and accounts, below this deployment's prefix: they are added "
            "without a deployment, so their names are not known here.",
        )
        if self._stores.blobs is not None:
            function.allow(access.deny_secrets_below(self._scope, [prefix + kind for kind in KINDS]))

    def allow_roles(self, function: Function, output: str, *, told: bool) -> None:
        """Let a function assume the roles that are granted to actions; say whom they have to trust.

        `told`: the one of `siem.send`, which puts objects for sinks; else all others.
        """
        granted = parse_grants(self.deployment.action_settings)
        roles = {role.arn for action, role in granted.roles.items() if (action == "siem.send") == told}
        if not roles:
            return
        function.allow(access.assume(roles))
        CfnOutput(
            Stack.of(self._scope),
            output,
            value=function.role.role_arn,
            description="The role that the roles of actions have to trust",
        )

    def allow_reading(self, function: Function) -> None:
        """Allow reading the ledger, and opening what is encrypted there."""
        function.allow(access.on_table(self._stores.ledger.table, "Query"))
        self._allow_data_keys(function, ("GetItem", "Query"), ("Decrypt",))

    def allow_appending(self, function: Function) -> None:
        """Allow appending to the ledger, and encrypting: each process makes data keys of its own."""
        function.allow(access.on_table(self._stores.ledger.table, "PutItem", "Query"))
        self._allow_data_keys(function, ("GetItem", "PutItem", "Query"), ("Decrypt", "GenerateDataKey"))

    def _allow_data_keys(self, function: Function, items: Iterable[str], uses: Iterable[str]) -> None:
        keys, key = self._stores.tables.keys, self._stores.data_key
        if key is None:
            return
        function.allow(access.on_table(keys, *items), access.data_keys(key, *uses))
        for name, value in Settings(keys_table=keys.table_name, data_key=key.key_arn).to_environ().items():
            function.function.add_environment(name, value)

    def show_blobs(self, function: Function) -> None:
        """Let a function read what people are shown of a patch, where patches are made."""
        if self._stores.blobs is not None:
            self.allow_objects(function, BLOBS, "GetObject")

    def allow_objects(self, function: Function, folder: str, *actions: str) -> None:
        """Allow actions on the objects of a folder of the bucket of blobs, whose names are not known here."""
        bucket = self._stores.blobs
        assert bucket is not None  # noqa: S101 - asked by those who are made with it
        self._allow_bucket(function, bucket, folder, actions, Settings(blobs_bucket=bucket.bucket_name))

    def allow_archive(self, function: Function, *actions: str) -> None:
        """Allow what reads chains to read what left the table, and `actions` beside."""
        bucket = self._stores.archive
        told = Settings(archive_bucket=bucket.bucket_name)
        self._allow_bucket(function, bucket, ARCHIVE, ("GetObject", *actions), told)

    def _allow_bucket(
        self,
        function: Function,
        bucket: aws_s3.IBucket,
        folder: str,
        actions: Iterable[str],
        told: Settings,
    ) -> None:
        function.allow(*access.on_objects(bucket, folder, *actions))
        accept_objects(function.policy, bucket, folder)
        if self.key:
            function.allow(access.use_key(self.key, "s3"))
        for name, value in told.to_environ().items():
            function.function.add_environment(name, value)

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
