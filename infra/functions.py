"""The functions behind the doors, and for each the settings it gets and what its role may do.

Detect and dispatch read the change feeds; the workers, the sweep, deliveries, sealing and the archive run by
rings and schedules; the records of erasures are signed by the call of who erases. Those that answer requests
are in `door_functions.py`, the workers in `workers.py`.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra import access
from infra.door_functions import DoorFunctions
from infra.factory import Factory, Stores
from infra.function import Function, Platform, Spec
from infra.log import LogState
from infra.workers import Workers
from sentinel.adapters.dynamodb_tables import BY_STATE, CHAINS, TABLES
from sentinel.core.access import Service
from sentinel.core.tripwire import SERVICE as TRIPWIRE


class Functions(Construct):
    """`by_verb` has each function under the name of its folder; `doors` those that answer requests."""

    def __init__(self, scope: Construct, construct_id: str, platform: Platform, stores: Stores) -> None:
        super().__init__(scope, construct_id)
        self._make = Factory(self, platform, stores)
        self._ledger = stores.ledger.table
        self._log = stores.log
        self._tables = stores.tables
        self.doors = DoorFunctions(self._make, stores)
        self.detect = self._add_detect()
        self.workers = Workers(self, self._make, stores).by_stream
        self.dispatch = self._add_dispatch()
        self.sweep = self._add_sweep()
        self.deliver = self._add_deliver()
        self.seal = self._add_seal(stores.log)
        self.archive = self._add_archive()
        self.record = self._add_record() if platform.deployment.erasers else None

    @property
    def by_verb(self) -> dict[str, Function]:
        """Every function under the name of its folder below `functions/`."""
        workers = {f"work_{stream}": function for stream, function in self.workers.items()}
        return {
            **self.doors.by_verb,
            "detect": self.detect,
            "dispatch": self.dispatch,
            "sweep": self.sweep,
            "deliver": self.deliver,
            "seal": self.seal,
            "archive": self.archive,
            **({"record": self.record} if self.record else {}),
            **workers,
        }

    def _rings(self) -> str:
        pairs = (f"{stream}={worker.function.function_name}" for stream, worker in self.workers.items())
        return ",".join(pairs)

    def _add_detect(self) -> Function:
        settings = self._make.settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,
            counters_table=self._tables.counters.table_name,
            alerts_table=self._tables.alerts.table_name,
            **self._make.signed(),
        )
        # As long as a function may take: a segment of which each of its 10,000 entries sets off a task of its
        # own needs minutes of writes, and one that cannot be finished in a call would never be.
        detect = self._make.make("Detect", Spec("detect", settings, memory=1769, timeout=900))
        self._make.allow_reading(detect)  # what a correlation counted: its trace is read there
        detect.allow(
            access.read_stream(self._ledger),
            # What the tripwire tells, and nothing else.
            access.on_keys(self._ledger, [f"{TRIPWIRE}/*"], "PutItem"),
            # What waits for more matches is read before it is told of one.
            access.on_table(self._tables.tasks, "GetItem", "PutItem"),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            access.on_table(self._tables.counters, "GetItem", "PutItem"),
            access.on_table(self._tables.alerts, "GetItem", "PutItem"),
            self._make.authors(),
        )
        self._make.allow_archive(detect)
        self._log.reads(detect)  # the tripwire asks whether an erasure was signed
        return detect

    def _add_archive(self) -> Function:
        settings = self._make.settings(registry_table=self._tables.registry.table_name)
        # A run is some megabytes of segments, verified, and an update for each of up to a thousand.
        archive = self._make.make("Archive", Spec("archive", settings, memory=1769, timeout=900, named=True))
        self._make.allow_reading(archive)
        archive.allow(
            access.on_index(self._ledger, CHAINS),
            access.mark(self._ledger, TABLES["ledger"].ttl),
            access.on_records(self._tables.registry, [Service.KIND], "Query"),
        )
        self._make.allow_archive(archive, "PutObject")
        self._log.reads(archive)  # only what was sealed is archived
        return archive

    def _add_dispatch(self) -> Function:
        settings = self._make.settings(
            tasks_table=self._tables.tasks.table_name, worker_functions=self._rings(), **self._make.redis()
        )
        spec = Spec("dispatch", settings, memory=512, timeout=60, network="quiet")
        dispatch = self._make.make("Dispatch", spec)
        dispatch.allow(
            access.read_stream(self._tables.tasks),
            access.ring(worker.function for worker in self.workers.values()),
        )
        return dispatch

    def _add_deliver(self) -> Function:
        to = self._make.deployment
        settings = self._make.settings(
            catalog_table=self._tables.catalog.table_name,
            counters_table=self._tables.counters.table_name,
            http_hosts=to.http_hosts,
            http_private=to.http_private,
            secret_prefix=to.secrets,
            **self._make.signed(),
            **to.action_settings,  # the buckets that sinks may put objects into, and in which role
        )
        # One at a time works on a delivery; the next firing finds its lease taken, or free.
        spec = Spec("deliver", settings, memory=1769, timeout=120, network="workers")
        deliver = self._make.make("Deliver", spec)
        self._make.allow_reading(deliver)
        deliver.allow(
            access.on_index(self._ledger, "chains"),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            # How far each delivery is, and whether its sink answers: nothing of limits or pauses.
            access.on_keys(self._tables.counters, ["breaker/*", "delivery/*"], "GetItem", "PutItem"),
            self._make.authors(),
        )
        self._make.allow_archive(deliver)
        self._make.allow_roles(deliver, "DeliverRole", told=True)
        self._make.allow_sinks_secrets(deliver)
        return deliver

    def _add_seal(self, log: LogState) -> Function:
        # As long as a function may take: where tiles were lost a chain is verified from its first entry. A
        # second at the same time does no harm: it is told that the number is taken, and looks again.
        reserved = self._make.deployment.seal_concurrency
        to = self._make.deployment
        settings = self._make.settings(
            witnesses=to.witnesses, witness_quorum=to.witness_quorum, timestamp_url=to.timestamp_url
        )
        spec = Spec("seal", settings, memory=1769, timeout=900, hinted=True, reserved=reserved, named=True)
        seal = self._make.make("Seal", spec)
        self._make.allow_reading(seal)
        seal.allow(access.on_index(self._ledger, CHAINS))
        log.seals(seal)
        self._make.allow_archive(seal)  # where tiles were lost the whole chain is read
        return seal

    def _add_record(self) -> Function:
        # A cold start, and two calls of KMS that may each be tried again.
        spec = Spec("record", self._make.settings(), memory=512, timeout=30, named=True, known=True)
        record = self._make.make("Record", spec)
        self._log.records(record)
        arn = record.function.function_arn
        CfnOutput(Stack.of(self), "RecordFunction", value=arn, description="SENTINEL_RECORD_FUNCTION")
        return record

    def _add_sweep(self) -> Function:
        settings = self._make.settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,
            counters_table=self._tables.counters.table_name,
            worker_functions=self._rings(),
            **self._make.signed(),
            **self._make.redis(),
        )
        sweep = self._make.make("Sweep", Spec("sweep", settings, memory=512, timeout=55, network="quiet"))
        self._make.allow_reading(sweep)  # correlations that wait are decided here: as in detect
        sweep.allow(
            # Tasks that are held are read with those that hold their places, and put off.
            access.on_table(self._tables.tasks, "GetItem", "PutItem", "UpdateItem"),
            access.on_index(self._tables.tasks, BY_STATE),
            # Schedules: the recipes, and how far each was looked at; correlations that wait; limits.
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            access.on_table(self._tables.counters, "GetItem", "PutItem"),
            self._make.authors(),
            access.ring(worker.function for worker in self.workers.values()),
        )
        self._make.allow_archive(sweep)
        return sweep
