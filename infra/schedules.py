"""What runs by the clock: safety nets each minute, the archive each hour, trust store and keys by the day.

The workers are the safety net under lost rings, the sweep under lost hints; deliveries and sealing run by the
clock alone. Once a day `rotate` publishes the trust store, so that a root that was added or ran out counts
within a day without anybody's doing.

Rules of EventBridge, not its Scheduler: a rule needs no role, and the function's permission names the one
rule. A firing that fails is not tried again: the next one comes within a minute and does the same.
"""

from __future__ import annotations

from aws_cdk import Duration, aws_events, aws_events_targets, aws_secretsmanager
from constructs import Construct

from infra.function import Function
from infra.functions import Functions

EVERY_DAYS = 30


class Schedules(Construct):
    """One rule a function."""

    def __init__(self, scope: Construct, construct_id: str, functions: Functions) -> None:
        super().__init__(scope, construct_id)
        each = {"Sweep": functions.sweep, "Deliver": functions.deliver, "Seal": functions.seal}
        each |= {f"Work{stream.title()}": worker for stream, worker in functions.workers.items()}
        for name, function in each.items():
            self._run(name, function, Duration.minutes(1), f"Runs {name} each minute")
        self._run("Archive", functions.archive, Duration.hours(1), "Archives old segments each hour")
        self._run("Rotate", functions.doors.rotate, Duration.days(1), "Publishes the trust store each day")

    def _run(self, name: str, function: Function, every: Duration, says: str) -> None:
        target = aws_events_targets.LambdaFunction(
            function.function, retry_attempts=0, max_event_age=Duration.minutes(1)
        )
        schedule = aws_events.Schedule.rate(every)
        aws_events.Rule(self, name, description=says, schedule=schedule, targets=[target])


class Rotations(Construct):
    """Rotates the signing keys, at the first deployment and then every 30 days.

    The secrets of services and hooks are made at run time: whoever makes one gives it a schedule of its own
    with the function whose ARN is the output `RotateFunction`.
    """

    def __init__(
        self, scope: Construct, construct_id: str, secret: aws_secretsmanager.CfnSecret, rotate: Function
    ) -> None:
        super().__init__(scope, construct_id)
        schedule = aws_secretsmanager.CfnRotationSchedule(
            self,
            "SigningKeys",
            secret_id=secret.ref,
            rotation_lambda_arn=rotate.function.function_arn,
            rotate_immediately_on_update=True,
            rotation_rules=aws_secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                automatically_after_days=EVERY_DAYS
            ),
        )
        # Secrets Manager tries the function when the schedule is made.
        schedule.node.add_dependency(rotate.function, rotate.role)
