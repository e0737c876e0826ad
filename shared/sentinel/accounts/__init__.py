"""The services outside that steps act on by their APIs: one file a kind, this registry, and the loader.

An account says where a product's API is and under which name its credentials are kept. Requests and the
meaning of answers are pure functions of the kind's file; actions send them. To add one: a file beside this
one with a configuration, one line in `ACCOUNTS`, and its heading in `docs/connectors.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from sentinel.accounts.account import AccountConfig
from sentinel.accounts.datadog import DatadogAccount
from sentinel.accounts.falcon import FalconConfig
from sentinel.accounts.microsoft_sentinel import MicrosoftSentinelAccount
from sentinel.accounts.pagerduty import PagerDutyAccount
from sentinel.accounts.sentry import SentryAccount
from sentinel.accounts.splunk import SplunkAccount
from sentinel.core.recipes import Name, explain, load_yaml
from sentinel.errors import Malformed

__all__ = ["ACCOUNTS", "AccountConfig", "load"]

ACCOUNTS: Mapping[str, type[AccountConfig]] = {
    "falcon": FalconConfig,
    "datadog": DatadogAccount,
    "microsoft_sentinel": MicrosoftSentinelAccount,
    "pagerduty": PagerDutyAccount,
    "sentry": SentryAccount,
    "splunk": SplunkAccount,
}

_NAMES: TypeAdapter[str] = TypeAdapter(Name)


def load(name: str, body: bytes) -> dict[str, AccountConfig]:
    """Parse an account document, `accounts: {NAME: {kind: ..., ...}}`. `name` is for messages.

    Raises `Malformed` that says what to change and never quotes a value.
    """
    found = load_yaml(name, body)
    named = found.get("accounts") if isinstance(found, dict) and set(found) == {"accounts"} else None
    if not isinstance(named, dict) or not named:
        raise Malformed(
            f"{name}: an account document is a mapping with accounts: {{NAME: {{kind: ..., ...}}}} "
            "and nothing else; sinks and deliveries have files of their own"
        )
    return {str(each): _config(f"{name}: accounts.{each}", str(each), body) for each, body in named.items()}


def _config(where: str, account: str, body: object) -> AccountConfig:
    if not isinstance(body, dict):
        raise Malformed(f"{where}: an account is a mapping with kind and what its kind needs")
    kind = ACCOUNTS.get(body["kind"]) if isinstance(body.get("kind"), str) else None
    if kind is None:
        raise Malformed(f"{where}: kind is one of {', '.join(sorted(ACCOUNTS))}")
    try:
        _NAMES.validate_python(account)
        return kind.model_validate(body)
    except ValidationError as error:
        raise Malformed(f"{where}: {explain(error)}") from None
