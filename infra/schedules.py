"""What runs each minute: the workers, as the safety net under lost rings, and the sweep under lost hints.

Rules of EventBridge, not its Scheduler: a rule needs no role, and the function's permission names the one
rule. A firing that fails is not tried again: the next one comes within a minute and does the same.
"""

from __future__ import annotations

from aws_cdk import Duration, aws_events, aws_events_targets
from constructs import Construct

from infra.functions import Functions


class Schedules(Construct):
    """One rule a function."""

    def __init__(self, scope: Construct, construct_id: str, functions: Functions) -> None:
        super().__init__(scope, construct_id)
        each = {"Sweep": functions.sweep}
        each |= {f"Work{stream.title()}": worker for stream, worker in functions.workers.items()}
        for name, function in each.items():
            target = aws_events_targets.LambdaFunction(
                function.function, retry_attempts=0, max_event_age=Duration.minutes(1)
            )
            aws_events.Rule(
                self,
                name,
                description=f"Runs {name} each minute",
                schedule=aws_events.Schedule.rate(Duration.minutes(1)),
                targets=[target],
            )
