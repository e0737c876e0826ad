"""Webhook sources: how each kind of sender proves itself, and what its messages tell.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sentinel.webhooks import (
    azure_monitor,
    crowdstrike,
    datadog,
    microsoft_sentinel,
    pagerduty,
    sentry,
    standard,
)
from sentinel.webhooks.source import Kind

SOURCES: Mapping[str, Kind] = MappingProxyType(
    {
        "standard-webhooks": Kind(standard.StandardWebhooks, standard.OPTIONS, heeds_429=True),
        "sentry": Kind(sentry.Sentry, sentry.OPTIONS),
        "datadog": Kind(datadog.Datadog, datadog.OPTIONS),
        "pagerduty": Kind(pagerduty.PagerDuty, pagerduty.OPTIONS, heeds_429=True),
        "crowdstrike": Kind(crowdstrike.CrowdStrike, crowdstrike.OPTIONS),
        "microsoft-sentinel": Kind(microsoft_sentinel.MicrosoftSentinel, microsoft_sentinel.OPTIONS),
        "azure-monitor": Kind(azure_monitor.AzureMonitor, azure_monitor.OPTIONS),
    }
)
"""The kinds of senders that are known."""
