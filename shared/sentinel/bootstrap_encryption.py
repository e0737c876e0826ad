"""The wiring of encryption and erasure: data keys, what encrypts, and what erases."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.errors import Forbidden
from sentinel.wiring import Base, steady_ns

if TYPE_CHECKING:
    from sentinel.adapters.lambda_recorder import LambdaRecorder
    from sentinel.adapters.sqlite_keys import SqliteDataKeys
    from sentinel.core.segment import Segment
    from sentinel.ports_erasure import DeadLetters, ErasableBlobs, Recorder
    from sentinel.ports_log import DataKeys
    from sentinel.usecases.encryption import Keyring
    from sentinel.usecases.erase import Eraser
    from sentinel.usecases.erase_from import Place
    from sentinel.usecases.erase_lineage import LogNotes
    from sentinel.usecases.record import LogRecorder


# For how long the ledger's stream hands a segment to detection as it was put: until it gives up, and a call.
FEED_SECONDS = 2 * 3_600 + 900


class Encrypting(Base):
    """The adapters and use cases of encryption and erasure, each made on first use."""

    @cached_property
    def data_keys(self) -> DataKeys:
        """The data keys. Raises `Forbidden` where the deployment has no place for them."""
        if self.local:
            return self.local_keys
        to = self.settings
        if not to.keys_table or not to.data_key:
            raise Forbidden(
                "this has no keys of encrypted services: SENTINEL_KEYS_TABLE and SENTINEL_DATA_KEY name them"
            )
        from sentinel.adapters.kms_keys import KmsDataKeys

        kms = self._aws("kms")
        return KmsDataKeys(self.dynamodb, to.keys_table, kms, to.data_key, time.time_ns, secrets.token_bytes)

    @cached_property
    def local_keys(self) -> SqliteDataKeys:
        """The data keys of this machine."""
        from sentinel.adapters.sqlite_keys import SqliteDataKeys
        from sentinel.adapters.wrapping_keys import WrappingKeys

        path = self.home / "keys.db"
        # Where there are data keys, their wrapping key is restored, not made anew.
        wrapping = WrappingKeys(self.home / "data.key", secrets.token_bytes, create=not path.exists())
        return SqliteDataKeys(path, wrapping, time.time_ns, secrets.token_bytes)

    @cached_property
    def keyring(self) -> Keyring:
        """Encrypts and decrypts payloads."""
        from sentinel.usecases.encryption import Keyring

        return Keyring(lambda: self.data_keys, time.time_ns, secrets.token_bytes, steady_ns)

    def opens(self, segment: Segment) -> Segment:
        """Return a segment as one that can be opened. What is not encrypted stays as it is."""
        return self.keyring.opens(segment) if segment.key else segment

    @cached_property
    def eraser(self) -> Eraser:
        """Erases entries. It has a data key of its own: none of a writer's."""
        from sentinel.usecases.encryption import Keyring
        from sentinel.usecases.erase import Eraser

        app = self._all
        return Eraser(
            ledger=app.ledger,
            segments=app.segments,
            archive=app.archive if app.archived else None,
            opens=self.opens,
            appender=app.appender,
            recorder=self.recorder,
            log=self.settings.log,
            keys=lambda: self.data_keys,
            cipher=Keyring(lambda: self.data_keys, time.time_ns, secrets.token_bytes, steady_ns),
            encrypted=self._encrypted,
            places=self._places(),
            clock=time.time_ns,
            feed=0 if self.local else FEED_SECONDS * 1_000_000_000,
        )

    @cached_property
    def log_recorder(self) -> LogRecorder:
        """Signs the records of erasures by the log's key."""
        from sentinel.usecases.record import LogRecorder

        return LogRecorder(self._all.log_signer, self.settings.log, time.time_ns)

    @cached_property
    def log_notes(self) -> LogNotes:
        """Signs for erased events of lineages by the log's key."""
        from sentinel.usecases.erase_lineage import LogNotes

        return LogNotes(self._all.log_key_of, self._all.log_signer, time.time_ns)

    @cached_property
    def recorder(self) -> Recorder:
        """Who signs the records of erasures: in AWS a function, since who erases may not use the log's key.

        Raises `Forbidden` where that is not set.
        """
        return self._lambda_recorder if self.settings.log_key else self.log_recorder

    @cached_property
    def _lambda_recorder(self) -> LambdaRecorder:
        to = self.settings
        if not to.record_function:
            raise Forbidden(
                "SENTINEL_RECORD_FUNCTION names what signs the records of erasures: it is the output "
                "RecordFunction of the service's stack, where the deployment names `erasers`"
            )
        from sentinel.adapters.lambda_recorder import READ_SECONDS, LambdaRecorder

        client = self._aws("lambda", read_timeout=READ_SECONDS)
        return LambdaRecorder(client, to.record_function, self._all.log_signer.public_key)

    def _encrypted(self, service: str) -> bool:
        from sentinel.core.access import Service, decode

        record = self._all.registry.get(Service.KIND, service)
        return record is not None and decode(Service, service, record.body).encryption == "own"

    def _places(self) -> list[Place]:
        from sentinel.usecases.erase_elsewhere import InAlerts, InCorrelations, InDeliveries, InStrays
        from sentinel.usecases.erase_lineage import InLineage
        from sentinel.usecases.erase_tasks import InTasks

        app = self._all
        plans = app.deliveries.current
        notes = self._lambda_recorder if self.settings.log_key else self.log_notes
        lineages = InLineage(app.tasks, notes, app.log_key_of)
        letters = self._dead_letters()
        unreached = letters is None and not self.local  # one machine without a queue never had any
        return [
            InTasks(app.tasks, lineages, self._quoting_blobs(), letters, unreached),
            InAlerts(app.alerts, app.ledger),
            InCorrelations(app.counters),
            InDeliveries(app.counters, app.counters, plans, time.time_ns),
            *([InStrays(app.segments, app.archive)] if app.archived else []),
        ]

    def _quoting_blobs(self) -> list[ErasableBlobs]:
        app = self._all
        return [app.blobs, app.asked_blobs] if self.local or self.settings.blobs_bucket else []

    def _dead_letters(self) -> DeadLetters | None:
        """Return the dead letters, where there is a queue."""
        if not self.settings.redis_url:
            return None
        from sentinel.adapters.redis_letters import RedisLetters

        return RedisLetters(self.redis, own=self.local)

    @property
    def _all(self) -> Any:
        return self  # App has them
