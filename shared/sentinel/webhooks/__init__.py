"""Webhook sources: how each kind of sender proves itself, and what its messages tell.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentinel.webhooks import (
    alertmanager,
    azure_monitor,
    cloudevents,
    crowdstrike,
    datadog,
    elastic,
    generic,
    grafana,
    guardduty,
    microsoft_sentinel,
    pagerduty,
    sentry,
    sns,
    splunk,
    standard,
)
from sentinel.webhooks.source import Kind

if TYPE_CHECKING:
    from sentinel.ports_doors import Certificates

SOURCES: Mapping[str, Kind] = MappingProxyType(
    {
        "standard-webhooks": Kind(standard.StandardWebhooks, standard.OPTIONS, heeds_429=True),
        "sentry": Kind(sentry.Sentry, sentry.OPTIONS, strangers=sentry.strangers),
        "datadog": Kind(datadog.Datadog, datadog.OPTIONS),
        "pagerduty": Kind(pagerduty.PagerDuty, pagerduty.OPTIONS, heeds_429=True),
        "crowdstrike": Kind(crowdstrike.CrowdStrike, crowdstrike.OPTIONS),
        "microsoft-sentinel": Kind(microsoft_sentinel.MicrosoftSentinel, microsoft_sentinel.OPTIONS),
        "azure-monitor": Kind(azure_monitor.AzureMonitor, azure_monitor.OPTIONS),
        "splunk": Kind(splunk.Splunk, splunk.OPTIONS),
        "elastic": Kind(elastic.Elastic, elastic.OPTIONS, heeds_429=True),
        "alertmanager": Kind(alertmanager.Alertmanager, alertmanager.OPTIONS),
        "grafana": Kind(grafana.Grafana, grafana.OPTIONS),
        "cloudevents": Kind(cloudevents.CloudEvents, cloudevents.OPTIONS, heeds_429=True),
        "guardduty": Kind(guardduty.GuardDuty, guardduty.OPTIONS),
        "sns": Kind(sns.Sns, sns.OPTIONS),
        "generic": Kind(generic.Generic, generic.OPTIONS),
    }
)
"""The kinds of senders that are known."""


def sources(certificates: Certificates) -> Mapping[str, Kind]:
    """Return `SOURCES` with certificates for those that need them, which else refuse everything."""
    return {**SOURCES, "sns": Kind(lambda options: sns.Sns(options).using(certificates), sns.OPTIONS)}
