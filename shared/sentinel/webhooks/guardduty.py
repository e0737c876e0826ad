"""Amazon GuardDuty: findings, as EventBridge sends them to an API destination.

The envelope is EventBridge's, and a finding in it has camelCase names; the command line and the SDK write
PascalCase, and a rule's input may leave the envelope out: all are taken. A finding that goes on is sent again
with the same id; one that was archived has ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.webhooks import proofs
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, only

OPTIONS: Final[Mapping[str, str]] = proofs.SHOWN
MAX_DEPTH: Final = 12  # of what is read of a finding
_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}")
_FINDING = re.compile(r"[A-Za-z0-9-]{1,100}")
_RESOURCES: Final = (
    "instanceDetails.instanceId",
    "eksClusterDetails.name",
    "ecsClusterDetails.name",
    "lambdaDetails.functionName",
    "rdsDbInstanceDetails.dbInstanceIdentifier",
    "s3BucketDetails.0.name",
    "containerDetails.name",
    "accessKeyDetails.userName",
    "accessKeyDetails.accessKeyId",
)
_LEVELS: Final = (
    (9.0, Severity.CRITICAL),
    (7.0, Severity.ERROR),
    (4.0, Severity.WARNING),
    (0.1, Severity.INFO),
)


class GuardDuty(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.shown(options))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the finding; see `Source.alerts`."""
        del headers
        return [finding(document(body))]


def finding(told: Part) -> Alert:
    """Return the alert of a finding, in its envelope or alone. Raises `Unparsed`."""
    if told.text("detail-type") not in {"", "GuardDuty Finding"}:
        raise Unparsed("an event of EventBridge that is no GuardDuty finding")
    alone = told.at("detail").value is None
    detail = Part(_camel(told.value if alone else told.at("detail").value))
    if not detail.text("id") or not detail.text("type") or not detail.text("arn", "accountId"):
        raise Unparsed("no finding of GuardDuty: those have an id, a type and an account")
    region = detail.text("region") or told.text("region") or _region(detail.text("arn"))
    archived = detail.text("service.archived") == "true"
    return Alert(
        title=detail.text("title", "type"),
        severity=_severity(detail.at("severity").value),
        status=Status.RESOLVED if archived else Status.FIRING,
        fingerprint=detail.text("id"),
        kind=detail.text("type"),
        description=detail.text("description"),
        link=_link(region, detail.text("id")),
        resource=_resource(detail),
        environment=detail.text("accountId") or told.text("account"),
        started=detail.time("service.eventFirstSeen", "createdAt"),
        ended=detail.time("updatedAt") if archived else 0,
        updated=detail.time("updatedAt"),
        labels=_labels(detail, region),
        sender_id=told.text("id") if not alone else detail.text("arn"),
    )


def _labels(detail: Part, region: str) -> dict[str, str]:
    told = {
        "region": region,
        "severity": detail.text("severity"),
        "resource_type": detail.text("resource.resourceType"),
        "role": detail.text("service.resourceRole"),
        "action": detail.text("service.action.actionType"),
        "count": detail.text("service.count"),
        "detector": detail.text("service.detectorId"),
        "arn": detail.text("arn"),
        "remote_ip": detail.text(*(f"service.action.{way}.remoteIpDetails.ipAddressV4" for way in _WAYS)),
    }
    return known(told)


_WAYS: Final = (
    "networkConnectionAction",
    "awsApiCallAction",
    "kubernetesApiCallAction",
    "rdsLoginAttemptAction",
)


def _resource(detail: Part) -> str:
    resource = detail.at("resource")
    return resource.text(*_RESOURCES) or resource.text("resourceType")


def _severity(value: object) -> Severity:
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return Severity.UNKNOWN
    return next((severity for least, severity in _LEVELS if number >= least), Severity.UNKNOWN)


def _region(arn: str) -> str:
    parts = arn.split(":")
    return parts[3] if len(parts) > 5 else ""


def _link(region: str, name: str) -> str:
    if not _REGION.fullmatch(region) or not _FINDING.fullmatch(name):
        return ""
    zone = "amazonaws.cn" if region.startswith("cn-") else "aws.amazon.com"
    return (
        f"https://{region}.console.{zone}/guardduty/home?region={region}#/findings?macros=current&fId={name}"
    )


def _camel(value: object, depth: int = 0) -> object:
    """Return a value with each name's first letter small; what lies deeper than is read is left out."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _camel(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_camel(each, depth + 1) for each in value]
    return value
