"""Webhook sources: how each kind of sender proves itself, and what its messages tell.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`. Collectors
take log events to paths of their own: `COLLECTORS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    splunk_hec,
    standard,
)
from sentinel.webhooks.source import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.ports_doors import Certificates


@dataclass(frozen=True, slots=True)
class Collecting:
    """As `Kind`, of log events that come to a collector's paths."""

    make: Callable[[Mapping[str, str]], splunk_hec.SplunkHec]
    options: Mapping[str, str]


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

COLLECTORS: Mapping[str, Collecting] = MappingProxyType(
    {"splunk-hec": Collecting(splunk_hec.SplunkHec, splunk_hec.OPTIONS)}
)
"""The kinds of senders whose webhooks have paths of their own, named by a token."""


def sources(certificates: Certificates) -> Mapping[str, Kind]:
    """Return `SOURCES` with certificates for those that need them, which else refuse everything."""
    return {**SOURCES, "sns": Kind(lambda options: sns.Sns(options).using(certificates), sns.OPTIONS)}
