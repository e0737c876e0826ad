"""Webhook sources: how each kind of sender proves itself, and what its messages tell.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentinel.webhooks import (
    alertmanager,
    cloudevents,
    elastic,
    generic,
    grafana,
    guardduty,
    sns,
    splunk,
    standard,
)
from sentinel.webhooks.source import Kind

if TYPE_CHECKING:
    from sentinel.ports_doors import Certificates

SOURCES: Mapping[str, Kind] = MappingProxyType(
    {
        "standard-webhooks": Kind(standard.StandardWebhooks, standard.OPTIONS),
        "alertmanager": Kind(alertmanager.Alertmanager, alertmanager.OPTIONS),
        "cloudevents": Kind(cloudevents.CloudEvents, cloudevents.OPTIONS),
        "elastic": Kind(elastic.Elastic, elastic.OPTIONS),
        "generic": Kind(generic.Generic, generic.OPTIONS),
        "grafana": Kind(grafana.Grafana, grafana.OPTIONS),
        "guardduty": Kind(guardduty.GuardDuty, guardduty.OPTIONS),
        "sns": Kind(sns.Sns, sns.OPTIONS),
        "splunk": Kind(splunk.Splunk, splunk.OPTIONS),
    }
)
"""The kinds of senders that are known."""


def sources(certificates: Certificates) -> Mapping[str, Kind]:
    """Return `SOURCES` with certificates for those that need them, which else refuse everything."""
    return {**SOURCES, "sns": Kind(lambda options: sns.Sns(options).using(certificates), sns.OPTIONS)}
