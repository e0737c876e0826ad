"""Settings that `sentinel up` reads before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import Malformed
from sentinel.local.supervisor import settings_for
from sentinel.settings import Settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"issuer": "http://issuer.example.com"}, "SENTINEL_ISSUER"),
        ({"issuer": "issuer.example.com"}, "SENTINEL_ISSUER"),
        ({"issuer": "https://issuer.example.com/tenant"}, "SENTINEL_ISSUER"),
        ({"usage_plans": "trial"}, "tier=plan"),
        ({"approve_url": "hooks.example.com"}, "SENTINEL_APPROVE_URL"),
        ({"approve_url": "ftp://hooks.example.com"}, "SENTINEL_APPROVE_URL"),
        ({"proxy": "reports"}, "SENTINEL_PROXY"),
        ({"oidc_issuers": "https://issuer.example.com"}, "issuer=audience"),
        ({"ledger_table": "ledger"}, "SENTINEL_LEDGER_TABLE"),
    ],
)
def test_what_no_function_could_use_stops_the_start(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    """Who starts the tree is told, not whoever sends the first request."""
    with pytest.raises(Malformed, match=said):
        settings_for(tmp_path, Settings(**wrong))  # type: ignore[arg-type]


def test_the_defaults_are_fine(tmp_path: Path) -> None:
    """Nothing has to be set."""
    assert settings_for(tmp_path, Settings()).issuer == "https://sentinel.local"
