"""The alarms: what a person has to look at, and nothing else.

A damaged ledger or task (`tampered`, a metric of the functions, 0 while all is well), entries that detection
left out (`poison`), records that a feed gave up, a feed that falls behind, functions that fail, a daily round
that did not rotate or publish all of it, checkpoints that are missing or were, and doors that count limits by
themselves because Redis does not answer. They go to the topic of `sentinel:alarm_topic`; without one they
only show.
"""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch, aws_cloudwatch_actions, aws_sns
from constructs import Construct

from infra.config import Deployment
from infra.door_functions import LIMITED
from infra.feeds import Feeds
from infra.functions import Functions

NAMESPACE = "Sentinel"  # as `entrypoints.observe` has it
BEHIND = Duration.minutes(10)
PERIOD = Duration.minutes(5)


class Alarms(Construct):
    """Alarms on the metrics of the service stack."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, functions: Functions, feeds: Feeds
    ) -> None:
        super().__init__(scope, construct_id)
        self._actions: list[aws_cloudwatch.IAlarmAction] = []
        if deployment.alarm_topic:
            topic = aws_sns.Topic.from_topic_arn(self, "Topic", deployment.alarm_topic)
            self._actions.append(aws_cloudwatch_actions.SnsAction(topic))
        for verb, each in functions.by_verb.items():
            name = verb.title().replace("_", "")
            changed = self._counted(verb, "tampered")
            self._alarm(f"{name}Tampered", changed, f"{verb} met stored data that was changed")
            self._alarm(f"{name}Errors", each.function.metric_errors(period=PERIOD), f"{verb} fails")
        poison = self._counted("detect", "poison")
        self._alarm("DetectPoison", poison, "detect left entries out that it cannot get through")
        for name, queue in feeds.failures.items():
            depth = queue.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum")
            self._alarm(f"{name}GaveUp", depth, f"{name.lower()} gave records up; they are in {name}Failures")
        for verb in ("detect", "dispatch"):
            age = functions.by_verb[verb].function.metric("IteratorAge", period=PERIOD, statistic="Maximum")
            self._alarm(f"{verb.title()}Behind", age, f"{verb} falls behind", BEHIND.to_milliseconds())

        self._watch_seals()
        if "record" in functions.by_verb:
            refused = self._counted("record", "refused")
            self._alarm("RecordRefused", refused, "records were asked for that the log does not sign")
        incomplete = self._counted("rotate", "incomplete")
        self._alarm("RotateIncomplete", incomplete, "the daily round could not rotate or publish everything")
        if deployment.limits:
            for verb in LIMITED:
                alone = self._counted(verb, "limits_uncounted")
                self._alarm(f"{verb.title()}Uncounted", alone, f"{verb} holds limits without Redis")

    def _watch_seals(self) -> None:
        """Alarm where checkpoints are missing: no round came to its end, or each left a chain without one."""
        rounds = self._counted("seal", "rounds")
        self._alarm("SealNotRun", rounds, "no checkpoints were signed for 5 minutes", absent=True)
        unsealed = self._counted("seal", "unsealed", "Minimum")
        self._alarm("SealUnsealed", unsealed, "chains have had no checkpoint for 5 minutes")
        findings = self._counted("seal", "findings")
        self._alarm("SealFindings", findings, "checkpoints were missing, tiles wrong, or the clock is off")

    def _counted(self, verb: str, name: str, statistic: str = "Sum") -> aws_cloudwatch.Metric:
        return aws_cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"service": verb},
            period=PERIOD,
            statistic=statistic,
        )

    def _alarm(
        self,
        name: str,
        metric: aws_cloudwatch.IMetric,
        says: str,
        threshold: float = 1,
        *,
        absent: bool = False,
    ) -> None:
        """Alarm where a metric reaches a threshold; with `absent` where it does not, or has no data."""
        operator, missing = aws_cloudwatch.ComparisonOperator, aws_cloudwatch.TreatMissingData
        alarm = aws_cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=operator.LESS_THAN_THRESHOLD
            if absent
            else operator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=missing.BREACHING if absent else missing.NOT_BREACHING,
            alarm_description=f"Sentinel: {says}",
        )
        alarm.add_alarm_action(*self._actions)
