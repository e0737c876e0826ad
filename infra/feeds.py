"""The two feeds: ledger stream to detect, tasks stream to dispatch.

A batch that fails is reported by item, halved where it fails whole, and tried again; what still fails
goes, as a pointer, to a queue, and the shard moves on. How long to try is a choice between those who wait
behind it and a person's work. Detect goes on for two hours: stores that are away for longer are rare, and
`sentinel detect --failures` makes later what was asked for, from the ledger, also when the stream has
forgotten it. Dispatch only hints, and the sweep hints again within a minute or two, so it gives way earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CfnOutput, Duration, Stack, aws_dynamodb, aws_lambda, aws_sqs
from aws_cdk.aws_lambda_event_sources import SqsDlq
from constructs import Construct

from infra.function import Function
from infra.functions import Functions
from infra.ledger import Ledger
from infra.nag import acknowledge
from infra.tasks import Tasks
from sentinel.adapters.dynamodb_tables import DISPATCH_FILTER


@dataclass(frozen=True, slots=True)
class Pace:
    """How a feed is read: records a batch, batches at once a shard, tries, the age in hours to give up at."""

    batch: int
    parallel: int
    tries: int
    hours: int


class Feeds(Construct):
    """The event source mappings and their queues of failures."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        functions: Functions,
        ledger: Ledger,
        tasks: Tasks,
        parallel: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.failures: dict[str, aws_sqs.Queue] = {}
        # A segment has up to 350 KB and a batch at most 6 MB: more than 100 records would hardly ever fit.
        # One batch at a time a shard keeps up with what one shard takes in (rules match faster than a lane
        # can be written) and leaves counters uncontended; `sentinel:detect_parallelism` raises it, and order
        # within a chain, which is the partition key, stays.
        # Tries are without end, as far as Lambda lets them be: it is the age that decides.
        detect = Pace(batch=100, parallel=parallel, tries=10_000, hours=2)
        self._feed("Detect", ledger.table, functions.detect, detect, None)
        CfnOutput(
            Stack.of(self),
            "DetectFailuresUrl",
            value=self.failures["Detect"].queue_url,
            description="What detection gave up: sentinel detect --failures URL",
        )
        # A record becomes one XADD in a pipeline: one reader is plenty, and order does not matter.
        dispatch = Pace(batch=100, parallel=1, tries=5, hours=1)
        self._feed("Dispatch", tasks.tasks, functions.dispatch, dispatch, DISPATCH_FILTER)

    def _feed(
        self,
        name: str,
        table: aws_dynamodb.Table,
        reader: Function,
        pace: Pace,
        pattern: Mapping[str, object] | None,
    ) -> None:
        queue = self.failures[name] = self._queue(name)
        mapping = aws_lambda.EventSourceMapping(
            self,
            name,
            target=reader.function,
            event_source_arn=table.table_stream_arn,
            # From the oldest record: those written while the mapping is made are not passed over.
            starting_position=aws_lambda.StartingPosition.TRIM_HORIZON,
            batch_size=pace.batch,
            # No window: a lone alert should not wait, and a busy stream fills its batches by itself.
            max_batching_window=Duration.seconds(0),
            parallelization_factor=pace.parallel,
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            retry_attempts=pace.tries,
            max_record_age=Duration.hours(pace.hours),
            on_failure=SqsDlq(queue),
            filters=[dict(aws_lambda.FilterCriteria.filter(pattern))] if pattern else None,
        )
        # Lambda tries the role's rights when the mapping is made.
        mapping.node.add_dependency(reader.role)

    def _queue(self, name: str) -> aws_sqs.Queue:
        queue = aws_sqs.Queue(
            self,
            f"{name}Failures",
            # Pointers into a stream, no content: the key that SQS manages is enough.
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(
            queue,
            "AwsSolutions-SQS3",
            "This queue is itself where failures end; messages are read by a person, not by a consumer "
            "that could fail on them.",
        )
        return queue
