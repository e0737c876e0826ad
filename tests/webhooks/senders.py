"""One sender of each kind: how it proves itself, and bodies as it writes them. All values are made up."""

from __future__ import annotations

import base64
import functools
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from sentinel.core.sns import message
from sentinel.webhooks import sources
from sentinel.webhooks.source import Source

SECRET = "correct horse battery staple"
OTHER = "another secret altogether"
NOW = 1_795_000_000  # epoch seconds
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
PEM_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"

Headers = dict[str, str]


@dataclass(frozen=True)
class Sender:
    """`prove` makes a message's headers of a secret and its body; `signs` says whether they cover the body.

    `firing`, `resolved` (of the same problem) and `another` are bodies. `like` names sources of one shape.
    """

    source: str
    prove: Callable[[str, bytes], Headers]
    firing: bytes
    resolved: bytes | None
    another: bytes
    options: Mapping[str, str] = field(default_factory=dict)
    signs: bool = False
    secret: bool = True
    like: tuple[str, ...] = ()

    def make(self) -> Source:
        """Return the source of a webhook for this sender."""
        return sources(Known()).get(self.source).make(self.options)  # type: ignore[union-attr]


class Known:
    """Certificates as SNS would serve them."""

    def get(self, url: str) -> bytes:
        assert url == PEM_URL
        return pem()


def bearer(secret: str, body: bytes) -> Headers:
    """As Alertmanager and Grafana have it."""
    return {"authorization": f"Bearer {secret}"}


def basic(secret: str, body: bytes) -> Headers:
    """With the usual user."""
    return {"authorization": "Basic " + base64.b64encode(f"sentinel:{secret}".encode()).decode()}


def header(secret: str, body: bytes) -> Headers:
    """The secret alone."""
    return {"x-sentinel-key": secret}


def cloud(secret: str, body: bytes) -> Headers:
    """One event in JSON."""
    return {**bearer(secret, body), "content-type": "application/cloudevents+json; charset=utf-8"}


def grafana(secret: str, body: bytes) -> Headers:
    """Grafana's signature of the body alone."""
    return {"x-grafana-alerting-signature": hmac.new(secret.encode(), body, "sha256").hexdigest()}


def grafana_timed(secret: str, body: bytes) -> Headers:
    """Grafana's signature of time and body."""
    signed = hmac.new(secret.encode(), f"{NOW}:".encode() + body, "sha256")
    return {"x-grafana-alerting-signature": signed.hexdigest(), "x-grafana-at": str(NOW)}


def splunk_observability(secret: str, body: bytes) -> Headers:
    """Base64 of an HMAC of the body."""
    return {"x-sfx-signature": base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()}


def own(secret: str, body: bytes) -> Headers:
    """A scheme as many have it: a prefix, and the time in the signature."""
    signed = hmac.new(secret.encode(), b"v0:%d:" % NOW + body, "sha512").hexdigest()
    return {"x-own-signature": f"v0={signed}", "x-own-time": str(NOW)}


def nothing(secret: str, body: bytes) -> Headers:
    """What proves is in the body."""
    return {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-topic-arn": TOPIC}


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def pem(since: int = NOW - 86_400, until: int = NOW + 86_400) -> bytes:
    """Return a certificate of the key that signs for SNS here."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_key().public_key())
    made = made.serial_number(7).not_valid_before(datetime.fromtimestamp(since, UTC))
    made = made.not_valid_after(datetime.fromtimestamp(until, UTC))
    return made.sign(_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def notification(text: str, **members: str) -> bytes:
    """Return a message of SNS, signed."""
    at = (datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    told = {
        "Type": "Notification",
        "MessageId": "5d0c1a3e-0001-4b6e-9c53-6d2f6a1b0c11",
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": at,
        "SignatureVersion": "2",
        "SigningCertURL": PEM_URL,
        **members,
    }
    return signed_by_sns(told)


def signed_by_sns(told: dict[str, str]) -> bytes:
    """Return a message with its signature."""
    found = message(told)
    signed = found.signed() if found else b""
    how = hashes.SHA256() if told["SignatureVersion"] == "2" else hashes.SHA1()
    signature = base64.b64encode(_key().sign(signed, padding.PKCS1v15(), how)).decode()
    return orjson.dumps({**told, "Signature": signature})


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


def _alertmanager(status: str, ends: str, number: int = 1) -> dict[str, Any]:
    labels = {"alertname": "DiskFull", "instance": f"db-{number}:9100", "job": "node", "severity": "critical"}
    alert = {
        "status": status,
        "labels": {**labels, "env": "prod"},
        "annotations": {"summary": f"Disk of db-{number} is full", "description": "5 % are left\non /var."},
        "startsAt": "2026-11-18T09:00:00.123456789+01:00",
        "endsAt": ends,
        "generatorURL": "https://prometheus.example.com/graph?g0.expr=1",
        "fingerprint": f"a1b2c3d4e5f6000{number}",
    }
    return {
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "sentinel",
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "https://alertmanager.example.com",
        "alerts": [alert],
    }


def _grafana(status: str, ends: str, number: int = 1) -> dict[str, Any]:
    told = _alertmanager(status, ends, number)
    more = {"silenceURL": "https://grafana.example.com/s", "dashboardURL": "https://grafana.example.com/d/1"}
    told["alerts"][0] |= more | {
        "panelURL": "https://grafana.example.com/d/1?viewPanel=2",
        "values": {"B": 95.5},
    }
    return told | {"version": "1", "orgId": 1, "title": "[FIRING:1] DiskFull", "state": "alerting"}


def _elastic(group: str, uuid: str = "0d3f1c6e-77aa-4b8b-9a41-6f0f2b9a0001") -> dict[str, Any]:
    return {
        "schema": "sentinel/elastic/1",
        "severity": "",
        "service": "checkout",
        "environment": "prod",
        "resource": "host-7",
        "date": "2026-11-18T09:00:00.000Z",
        "kibana": "https://kibana.example.com",
        "rule": {
            "id": "r-17",
            "name": "Latency is high",
            "type": "apm.transaction_duration",
            "space": "default",
            "tags": "checkout,slo",
            "url": "https://kibana.example.com/app/rules/r-17",
        },
        "alert": {"id": "checkout_prod", "uuid": uuid, "group": group, "group_name": "", "flapping": "false"},
        "context": {
            "title": "",
            "message": "",
            "reason": "Latency is 2.1 s, over 1 s",
            "value": "2.1",
            "url": "",
        },
        "alerts": [{}],
    }


def _finding(archived: bool, name: str = "8ac2f0d1c0ffee00") -> dict[str, Any]:
    detail = {
        "schemaVersion": "2.0",
        "accountId": "111122223333",
        "region": "eu-west-1",
        "id": name,
        "arn": f"arn:aws:guardduty:eu-west-1:111122223333:detector/d1/finding/{name}",
        "type": "CryptoCurrency:EC2/BitcoinTool.B!DNS",
        "severity": 8,
        "title": "i-0abc is asking for a mining pool's name.",
        "description": "The instance i-0abc asks for a name that goes with mining.",
        "createdAt": "2026-11-18T08:00:00.000Z",
        "updatedAt": "2026-11-18T09:00:00.000Z",
        "resource": {"resourceType": "Instance", "instanceDetails": {"instanceId": "i-0abc"}},
        "service": {"archived": archived, "count": 3, "resourceRole": "TARGET", "detectorId": "d1"},
    }
    return {
        "version": "0",
        "id": "c0a80101-0000-4000-8000-00000000000a",
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": "111122223333",
        "time": "2026-11-18T09:00:05Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    }


def _event(kind: str, name: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": f"com.example.disk.{kind}",
        "source": "/hosts/db-1",
        "subject": "/var",
        "id": name,
        "time": "2026-11-18T09:00:00.1234567Z",
        "datacontenttype": "application/json",
        "severitytext": "ERROR",
        "team": "storage",
        "data": {"title": "Disk is full", "description": "5 % are left", "service": "db"},
    }


def _alarm(state: str, name: str = "queue-depth") -> str:
    return orjson.dumps(
        {
            "AlarmName": name,
            "AlarmDescription": "Too many wait",
            "AWSAccountId": "111122223333",
            "Region": "EU (Ireland)",
            "NewStateValue": state,
            "NewStateReason": "Threshold crossed",
            "StateChangeTime": "2026-11-18T09:00:00.000+0000",
            "Trigger": {
                "MetricName": "Depth",
                "Namespace": "AWS/SQS",
                "Threshold": 100.0,
                "Dimensions": [{"name": "QueueName", "value": "orders"}],
            },
        }
    ).decode()


def _search(count: str, sid: str) -> dict[str, Any]:
    return {
        "sid": sid,
        "search_name": "Failed logins",
        "app": "search",
        "owner": "admin",
        "results_link": "https://splunk.example.com/app/search/@go?sid=1",
        "result": {"host": "vpn-1", "count": count, "severity": "high", "_time": "1794992400.5"},
    }


def _signalfx(status: str, name: str = "EoJzhfRA4AA") -> dict[str, Any]:
    return {
        "severity": "Critical",
        "statusExtended": status,
        "detectorUrl": "https://app.eu0.signalfx.com/#/detector/v2/1/edit",
        "incidentId": name,
        "originatingMetric": "queue.depth",
        "rule": "Depth is over 100",
        "detector": "Queues",
        "messageTitle": "Depth is over 100 (Queues)",
        "messageBody": "It was 140.",
        "timestamp": "2026-11-18T09:00:00Z",
        "dimensions": {"host.name": "mq-1", "service.name": "orders", "deployment.environment": "prod"},
    }


OWN_MAPPING = """\
each: items
require: [key]
ignore:
  - {at: what, values: [ping]}
extract:
  host: {at: text, match: 'on ([a-z0-9-]+)'}
title: ={what} of {key} | what
resource: $host
severity: {at: level, values: {bad*: error}, else: info}
status: {at: state, values: {'1': firing, '0': resolved}}
fingerprint: [key]
started: '"at.ms"'
labels: {raw: text}
"""


def _own(state: int, key: str = "K-1") -> dict[str, Any]:
    item = {"what": "backup", "key": key, "text": "it failed on nas-2", "level": "badly", "state": state}
    return {"items": [{**item, "at.ms": 1_794_992_400_000}, {"what": "ping", "key": "x"}]}


OPEN = "0001-01-01T00:00:00Z"
ENDED = "2026-11-18T10:30:00Z"
_FIRING, _RESOLVED = _alertmanager("firing", OPEN), _alertmanager("resolved", ENDED)
_AM = (_json(_FIRING), _json(_RESOLVED), _json(_alertmanager("firing", OPEN, 2)))
_GRAFANA = (
    _json(_grafana("firing", OPEN)),
    _json(_grafana("resolved", ENDED)),
    _json(_grafana("firing", OPEN, 2)),
)
_CLOUD = (
    _json(_event("full.triggered", "e-1")),
    _json(_event("full.resolved", "e-2")),
    _json(_event("slow.triggered", "e-3")),
)
_HMAC = {"auth": "hmac"}

SENDERS: Mapping[str, Sender] = {
    "alertmanager": Sender("alertmanager", bearer, *_AM, like=("grafana",)),
    "alertmanager-basic": Sender("alertmanager", basic, *_AM, like=("grafana",)),
    "grafana": Sender("grafana", header, *_GRAFANA, like=("alertmanager",)),
    "grafana-hmac": Sender("grafana", grafana, *_GRAFANA, _HMAC, signs=True, like=("alertmanager",)),
    "grafana-hmac-time": Sender(
        "grafana",
        grafana_timed,
        *_GRAFANA,
        {**_HMAC, "timestamp-header": "X-Grafana-At"},
        signs=True,
        like=("alertmanager",),
    ),
    "elastic": Sender(
        "elastic",
        header,
        _json(_elastic("threshold_met")),
        _json(_elastic("recovered")),
        _json(_elastic("threshold_met", "0d3f1c6e-77aa-4b8b-9a41-6f0f2b9a0002")),
    ),
    "guardduty": Sender(
        "guardduty",
        basic,
        _json(_finding(False)),
        _json(_finding(True)),
        _json(_finding(False, "8ac2f0d1c0ffee01")),
    ),
    "cloudevents": Sender("cloudevents", cloud, *_CLOUD),
    "cloudevents-hmac": Sender(
        "cloudevents",
        own,
        *_CLOUD,
        {
            **_HMAC,
            "signature-header": "x-own-signature",
            "timestamp-header": "x-own-time",
            "signed": "v0:{timestamp}:{body}",
            "prefix": "v0=",
            "algorithm": "sha512",
        },
        signs=True,
    ),
    "splunk": Sender(
        "splunk",
        header,
        _json(_search("8", "scheduler__admin__search__RMD5abc_at_1794992400_132")),
        None,
        _json(_search("9", "scheduler__admin__search__RMD5abc_at_1794996000_133")),
    ),
    "sns": Sender(
        "sns",
        nothing,
        notification(_alarm("ALARM")),
        notification(_alarm("OK"), MessageId="5d0c1a3e-0002-4b6e-9c53-6d2f6a1b0c11"),
        notification(
            "Somebody logged in as root", Subject="Root", MessageId="5d0c1a3e-0003-4b6e-9c53-6d2f6a1b0c11"
        ),
        {"topics": TOPIC},
        signs=True,
        secret=False,
    ),
    "generic": Sender(
        "generic",
        splunk_observability,
        _json(_signalfx("anomalous")),
        _json(_signalfx("ok")),
        _json(_signalfx("anomalous", "EoJzhfRA4AB")),
        {**_HMAC, "mapping": "signalfx", "signature-header": "X-SFX-Signature", "encoding": "base64"},
        signs=True,
    ),
    "generic-own": Sender(
        "generic",
        header,
        _json(_own(1)),
        _json(_own(0)),
        _json(_own(1, "K-2")),
        {"mapping": OWN_MAPPING},
    ),
}
"""Ways that senders have, by a name of their own that begins with the source's."""
