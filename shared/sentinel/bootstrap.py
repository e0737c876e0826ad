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
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sentinel.bootstrap_approvals import People
from sentinel.bootstrap_connectors import Connecting
from sentinel.bootstrap_flow import Flows
from sentinel.bootstrap_patches import Patching
from sentinel.bootstrap_verify import Verifying
from sentinel.settings import Settings
from sentinel.wiring import grants_of, steady_ns, worker_name

if TYPE_CHECKING:
    from sentinel.actions.books import AccountBook, SinkBook
    from sentinel.core.steps import Action
    from sentinel.errors import Tampered
    from sentinel.ports import (
        Catalog,
        Counters,
        Doorbell,
        Files,
        Http,
        Queue,
    )
    from sentinel.ports_audit import AuditedTasks
    from sentinel.ports_aws import AwsCalls
    from sentinel.ports_sinks import Streams
    from sentinel.usecases.append import Appender
    from sentinel.usecases.detect import Detector
    from sentinel.usecases.execute import Executor
    from sentinel.usecases.ingest import Ingest
    from sentinel.usecases.inspect import Inspect
    from sentinel.usecases.playbook import Playbook
    from sentinel.usecases.replay import Replay
    from sentinel.usecases.schedule import Scheduler
    from sentinel.usecases.trace import Trace


class App(People, Flows, Connecting, Patching, Verifying):
    """One process's adapters and use cases, each made on first use."""

    @cached_property
    def appender(self) -> Appender:
        """The appender, which holds the heads of warm chains."""
        from sentinel.usecases.append import Appender

        entropy, jitter = secrets.token_bytes, random.random
        return Appender(self.ledger, time.time_ns, entropy, jitter, time.sleep, steady_ns)

    @cached_property
    def ingest(self) -> Ingest:
        """Takes batches in."""
        from sentinel.usecases.ingest import Ingest

        return Ingest(self.appender, self.settings.lanes, lambda: self.keyring)

    @cached_property
    def inspect(self) -> Inspect:
        """Shows chains and tasks."""
        from sentinel.usecases.inspect import Inspect

        strays = self.seam.strays if self.archived else _none
        return Inspect(self.ledger, lambda: self.tasks, lambda: self.verification, strays, self.log_key_of)

    @cached_property
    def tasks(self) -> AuditedTasks:
        """Tasks, lineage, effects."""
        if self.local:
            from sentinel.adapters.sqlite_tasks import SqliteTasks

            return SqliteTasks(self.home / "tasks.db")
        from sentinel.adapters.dynamodb_tasks import DynamoTasks

        return DynamoTasks(self.dynamodb, self.settings.tasks_table)

    @cached_property
    def catalog(self) -> Catalog:
        """Rules, recipes, sinks."""
        if self.local:
            from sentinel.adapters.sqlite_catalog import SqliteCatalog

            return SqliteCatalog(self.home / "catalog.db")
        from sentinel.adapters.dynamodb_catalog import DynamoCatalog

        return DynamoCatalog(self.dynamodb, self.settings.catalog_table)

    @cached_property
    def counters(self) -> Counters:
        """The state of correlations, limits and pauses."""
        if self.local:
            from sentinel.adapters.sqlite_counters import SqliteCounters

            return SqliteCounters(self.home / "counters.db")
        from sentinel.adapters.dynamodb_counters import DynamoCounters

        return DynamoCounters(self.dynamodb, self.settings.counters_table)

    @cached_property
    def queue(self) -> Queue:
        """The streams of hints. Raises `Malformed` where no Redis is set."""
        from sentinel.adapters.redis_streams import RedisQueue

        return RedisQueue(self.redis)

    @cached_property
    def doorbell(self) -> Doorbell:
        """Wakes workers where they are functions; elsewhere they wait on their streams."""
        from sentinel.adapters.lambda_doorbell import LambdaDoorbell, NoDoorbell, parse_functions

        functions = parse_functions(self.settings.worker_functions)
        return LambdaDoorbell(self._aws("lambda"), functions) if functions else NoDoorbell()

    @cached_property
    def http(self) -> Http:
        """Sends requests to the hosts that the deployment allows."""
        from sentinel.adapters.http import HttpClient

        return HttpClient(self.hosts)

    @cached_property
    def streams(self) -> Streams:
        """Sends to streams over TLS, to the same hosts."""
        from sentinel.adapters.tls_streams import TlsStreams

        return TlsStreams(self.hosts)

    @cached_property
    def files(self) -> Files:
        """The folder of file sinks: below `home`, or none in AWS."""
        from sentinel.adapters.append_files import AppendFiles, NoFiles

        if not self.local:
            return NoFiles()
        folder = self.home / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return AppendFiles(folder)

    @cached_property
    def sinks(self) -> SinkBook:
        """The sinks in force."""
        from sentinel.actions.books import SinkBook

        return SinkBook(self.catalog, time.time_ns, self.settings.catalog_seconds, self.opener)

    @cached_property
    def accounts(self) -> AccountBook:
        """The accounts in force."""
        from sentinel.actions.books import AccountBook

        return AccountBook(self.catalog, time.time_ns, self.settings.catalog_seconds, self.opener)

    @cached_property
    def actions(self) -> dict[str, Action]:
        """What steps may do, by name."""
        from sentinel.actions import build

        return build(
            self.http,
            self.files,
            self.secrets,
            self.sinks.current,
            accounts=self.accounts.current,
            streams=self.streams,
            aws=lambda: self.aws_calls,
            grants=grants_of(self.settings),
            breakers=lambda: self.breakers,
            patches=self.patch_parts,
        )

    @cached_property
    def aws_calls(self) -> AwsCalls:
        """Calls AWS for steps, each in a role of its action."""
        from sentinel.adapters.aws_calls import SteppedCalls

        return SteppedCalls(time.time_ns)

    @cached_property
    def playbook(self) -> Playbook:
        """The rules and recipes in force."""
        from sentinel.usecases.playbook import Playbook

        return Playbook(self.catalog, time.time_ns, self.settings.catalog_seconds, self.opener)

    @cached_property
    def scheduler(self) -> Scheduler:
        """Makes the tasks of schedules."""
        from sentinel.usecases.schedule import Scheduler, Timetable

        timetable = Timetable(self.catalog, self.opener, time.time_ns, self.settings.catalog_seconds)
        return Scheduler(timetable, self.tasks, self.counters, self.actions, time.time_ns, _nonce)

    @cached_property
    def detector(self) -> Detector:
        """Makes tasks of segments."""
        return self._detector()

    @cached_property
    def decider(self) -> Detector:
        """Decides what correlations wait for: the sweep's own, since one machine has both in one process."""
        return self._detector()

    def _detector(self) -> Detector:
        from sentinel.usecases.detect import Detector

        to = (self.playbook, self.tasks, self.counters, self.actions, time.time_ns, _nonce)
        return Detector(*to, ledger=self.ledger)

    @cached_property
    def replay(self) -> Replay:
        """Compares what was asked for with what there is."""
        from sentinel.core.tasks import SECOND
        from sentinel.usecases.replay import FEED_SLACK, Replay
        from sentinel.usecases.resolve import inputs_of

        slack = int(self.settings.catalog_seconds * SECOND) + FEED_SLACK
        inputs = inputs_of(self.actions, self.ledger)
        authors = None if self.settings.recipes_signed == "off" else self.authors.everyone
        stores = (self.ledger, self.catalog, self.tasks)
        return Replay(*stores, time.time_ns, slack, inputs, self.actions, authors, self.log_key_of)

    @cached_property
    def trace(self) -> Trace:
        """Tells what caused what, with what proves it."""
        from sentinel.usecases.set_off import Forward
        from sentinel.usecases.trace import Trace

        forward = Forward(self.ledger, self.tasks, self.catalog, time.time_ns, self.replay.slack)
        return Trace(
            self.ledger, self.tasks, self.playbook.recipe, self.replay.inputs, forward, self.log_key_of
        )

    def executor(self, stream: str) -> Executor:
        """Return what executes the tasks of one stream."""
        from sentinel.usecases.execute import Executor

        return Executor(
            worker=worker_name(os.getpid()),
            stream=stream,
            tasks=self.tasks,
            ledger=self.ledger,
            queue=self.queue,
            playbook=self.playbook,
            actions=self.actions,
            clock=time.time_ns,
            nonce=_nonce,
            rng=random.random,
            gates=self.gates,
            removed=self.approvers.removed,
        )


def _nonce() -> bytes:
    return secrets.token_bytes(32)


def _none(_: str) -> tuple[Tampered, ...]:
    return ()


def application(home: str) -> App:
    """Return an application on the process's environment with its local data below `home`."""
    return App(replace(Settings.from_environ(os.environ), home=home))


@functools.cache
def bootstrap() -> App:
    """Return the process's application, built from its environment on the first call."""
    return App(Settings.from_environ(os.environ))


def environment() -> Mapping[str, str]:
    """Return the process's environment, for a program that is told more by it than settings."""
    return os.environ
