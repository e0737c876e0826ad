"""The functions of the service, and for each the settings it gets and what its role may do.

Every function gets `ledger_table`, also those without any right on it: an empty one means local storage.
Of the other settings a function gets those its use case reads.
"""

from __future__ import annotations

from aws_cdk import Stack, Token
from constructs import Construct

from infra import access
from infra.config import Deployment
from infra.function import Function, Platform, Spec
from infra.ledger import Ledger
from infra.nag import acknowledge
from infra.network import Redis
from infra.tasks import Tasks
from sentinel.adapters.dynamodb_tables import BY_CHANGE, BY_STATE, CHAINS
from sentinel.settings import Settings


class Functions(Construct):
    """`by_verb` has each function under the name of its folder."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        platform: Platform,
        ledger: Ledger,
        tasks: Tasks,
        redis: Redis,
    ) -> None:
        super().__init__(scope, construct_id)
        self._platform = platform
        self._deployment: Deployment = platform.deployment
        self._ledger = ledger.table
        self._tables = tasks
        self._redis = redis
        self._add_doors()
        self.detect = self._add_detect()
        self.workers = {stream: self._add_worker(stream) for stream in ("siem", "action")}
        self.dispatch = self._add_dispatch()
        self.sweep = self._add_sweep()

    @property
    def by_verb(self) -> dict[str, Function]:
        """Every function under the name of its folder below `functions/`."""
        workers = {f"work_{stream}": function for stream, function in self.workers.items()}
        return {
            "ingest": self.ingest,
            "control": self.control,
            "detect": self.detect,
            "dispatch": self.dispatch,
            "sweep": self.sweep,
            **workers,
        }

    def _settings(self, **more: object) -> Settings:
        common = {"ledger_table": self._ledger.table_name, "log_level": self._deployment.log_level}
        return Settings(**common, **more)  # type: ignore[arg-type] # the names are checked by Settings itself

    def _redis_settings(self) -> dict[str, object]:
        redis = self._redis
        return {
            "redis_url": redis.url,
            "redis_cluster": redis.cluster,
            "redis_user": redis.user,
            "redis_cache": redis.cache,
            "redis_secret": redis.secret,
            # The password's name is looked up below the prefix, as the names of sinks' secrets are.
            "secret_prefix": self._deployment.secrets if redis.secret else "",
        }

    def _rings(self) -> str:
        pairs = (f"{stream}={worker.function.function_name}" for stream, worker in self.workers.items())
        return ",".join(pairs)

    def _add(self, name: str, spec: Spec) -> Function:
        function = Function(self, name, self._platform, spec)
        if self._platform.key:
            function.allow(access.use_key(self._platform.key))
        return function

    def _add_doors(self) -> None:
        """Ingest and control: what API Gateway calls."""
        lanes = self._settings(lanes=self._deployment.lanes)
        # Memory buys CPU: below one full core, parsing and hashing a large batch would be what takes time.
        self.ingest = self._add("Ingest", Spec("ingest", lanes, memory=1769, timeout=20))
        self.ingest.allow(access.on_table(self._ledger, "PutItem", "Query"))
        shown = self._settings(tasks_table=self._tables.tasks.table_name)
        self.control = self._add("Control", Spec("control", shown, memory=512, timeout=20))
        self.control.allow(
            access.on_table(self._ledger, "Query"),
            access.on_index(self._ledger, CHAINS),
            access.on_table(self._tables.tasks, "GetItem", "Query"),
            access.on_index(self._tables.tasks, BY_CHANGE),
        )

    def _add_detect(self) -> Function:
        settings = self._settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,
            counters_table=self._tables.counters.table_name,
        )
        # As long as a function may take: a segment of which each of its 10,000 entries sets off a task of its
        # own needs minutes of writes, and one that cannot be finished in a call would never be.
        detect = self._add("Detect", Spec("detect", settings, memory=1769, timeout=900))
        detect.allow(
            access.read_stream(self._ledger),
            access.on_table(self._tables.tasks, "PutItem"),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            access.on_table(self._tables.counters, "GetItem", "PutItem"),
        )
        return detect

    def _add_worker(self, stream: str) -> Function:
        settings = self._settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,
            http_hosts=self._deployment.http_hosts,
            http_private=self._deployment.http_private,
            **{**self._redis_settings(), "secret_prefix": self._deployment.secrets},
        )
        spec = Spec(
            f"work_{stream}",
            settings,
            memory=512,
            timeout=300,
            network="workers",
            hinted=True,
            reserved=self._deployment.worker_concurrency,
        )
        worker = self._add(f"Work{stream.title()}", spec)
        worker.allow(
            access.on_table(self._ledger, "Query"),
            access.on_table(self._tables.tasks, "GetItem", "PutItem", "Query"),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            access.secrets_below(self, self._deployment.secrets),
        )
        self._allow_redis(worker)
        acknowledge(
            worker.policy,
            f"AwsSolutions-IAM5[Resource::{_as_reported(self, self._deployment)}]",
            "The secrets of sinks, below this deployment's prefix: sinks are added without a deployment, so "
            "their names are not known here.",
        )
        return worker

    def _add_dispatch(self) -> Function:
        settings = self._settings(
            tasks_table=self._tables.tasks.table_name,
            worker_functions=self._rings(),
            **self._redis_settings(),
        )
        spec = Spec("dispatch", settings, memory=512, timeout=60, network="quiet")
        dispatch = self._add("Dispatch", spec)
        dispatch.allow(
            access.read_stream(self._tables.tasks),
            access.ring(worker.function for worker in self.workers.values()),
        )
        self._allow_redis(dispatch)
        return dispatch

    def _add_sweep(self) -> Function:
        settings = self._settings(
            tasks_table=self._tables.tasks.table_name,
            worker_functions=self._rings(),
            **self._redis_settings(),
        )
        sweep = self._add("Sweep", Spec("sweep", settings, memory=512, timeout=55, network="quiet"))
        sweep.allow(
            access.on_table(self._tables.tasks, "PutItem"),
            access.on_index(self._tables.tasks, BY_STATE),
            access.ring(worker.function for worker in self.workers.values()),
        )
        self._allow_redis(sweep)
        return sweep

    def _allow_redis(self, function: Function) -> None:
        if self._redis.connect:
            function.allow(access.allow(["elasticache:Connect"], self._redis.connect))
        if self._redis.secret:
            function.allow(access.secret(self, self._deployment.secrets + self._redis.secret))


def _as_reported(scope: Construct, deployment: Deployment) -> str:
    """Return the ARN of the workers' secrets as cdk-nag spells it in a finding."""
    partition = Stack.of(scope).partition
    if Token.is_unresolved(partition):
        partition = "<AWS::Partition>"
    account = deployment.account or "<AWS::AccountId>"
    return f"arn:{partition}:secretsmanager:{deployment.region}:{account}:secret:{deployment.secrets}*"
