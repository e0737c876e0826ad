"""The services outside that steps act on by their APIs: one file a kind, this registry, and the loader.

An account says where a product's API is and under which name its credentials are kept. Requests and the
meaning of answers are pure functions of the kind's file; actions send them. To add one: a file beside this
one with a configuration, one line in `ACCOUNTS`, and its heading in `docs/connectors.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.accounts.account import AccountConfig
from sentinel.accounts.datadog import DatadogAccount
from sentinel.accounts.falcon import FalconConfig
from sentinel.accounts.microsoft_sentinel import MicrosoftSentinelAccount
from sentinel.accounts.pagerduty import PagerDutyAccount
from sentinel.accounts.sentry import SentryAccount
from sentinel.accounts.splunk import SplunkAccount
from sentinel.core import named

__all__ = ["ACCOUNTS", "AccountConfig", "load"]

ACCOUNTS: Mapping[str, type[AccountConfig]] = {
    "falcon": FalconConfig,
    "datadog": DatadogAccount,
    "microsoft_sentinel": MicrosoftSentinelAccount,
    "pagerduty": PagerDutyAccount,
    "sentry": SentryAccount,
    "splunk": SplunkAccount,
}


def load(name: str, body: bytes) -> dict[str, AccountConfig]:
    """Parse an account document, `accounts: {NAME: {kind: ..., ...}}`; see `core.named.load`."""
    return named.load(name, body, "accounts", "an account", ACCOUNTS)
