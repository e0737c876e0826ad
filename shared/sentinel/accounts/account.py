"""What every account's configuration has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sentinel.siem.sink import SecretName


class AccountConfig(BaseModel):
    """Which kind it is, and the name of the secret with its credentials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    token: SecretName
