"""What every model's configuration has, and what models reach the world by."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from sentinel.core import urls
from sentinel.core.budgets import Prices
from sentinel.core.recipe_fields import Name
from sentinel.core.secret_kinds import MODEL, checked
from sentinel.errors import Forbidden, Malformed
from sentinel.ports import Http, Secrets

_LOOKS_LIKE_A_KEY = re.compile(r"sk-|[A-Za-z0-9_-]{60,}")
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$")]
Path = Annotated[str, StringConstraints(pattern=rf"^{_PART}(?:/{_PART}){{0,9}}$")]
Dollars = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


def _no_files(path: str) -> bytes:
    raise Forbidden(f"this deployment has no folder with {path}: use a model of another kind")


@dataclass(frozen=True, slots=True)
class Reach:
    """What models are asked through. `clock` is in epoch nanoseconds.

    `read` returns a file below the deployment's folder, or raises `Missing`, `Forbidden`, `TooLarge` or
    `Unavailable`; by default there is no such folder, as in AWS.
    """

    http: Http
    secrets: Secrets
    read: Callable[[str], bytes] = _no_files
    clock: Callable[[], int] = time.time_ns
    sleep: Callable[[float], None] = time.sleep


def _secret(name: str) -> str:
    if _LOOKS_LIKE_A_KEY.match(name):
        raise ValueError("this looks like a key; store it as a secret and write the secret's name here")
    try:
        return checked(name, MODEL)
    except Malformed as error:
        raise ValueError(str(error)) from None


class PriceList(BaseModel):
    """Dollars per million tokens. Input that was cached or is written to a cache costs as other input does.

    That is, where the document says nothing else of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    written: Dollars | None = None

    @property
    def prices(self) -> Prices:
        """It as budgets count by it."""
        cached = self.input if self.cached is None else self.cached
        return Prices(self.input, cached, self.input if self.written is None else self.written, self.output)


class ModelConfig(BaseModel):
    """Which kind it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    @property
    def cost(self) -> Prices:
        """What it costs; of a kind that asks nobody nothing."""
        return Prices()


class HostedConfig(ModelConfig):
    """A model of a provider. `key` names the secret with the key; `url` is where its API is.

    `max_output` and `context` are in tokens: the most that it may answer, and the most that it takes with
    its answer. `effort` is one of the provider's words for how long it thinks.
    """

    model: ModelId
    key: Annotated[Name, AfterValidator(_secret)]
    url: str = ""
    prices: PriceList
    max_output: int = Field(default=16_000, ge=256, le=128_000)
    context: int = Field(default=200_000, ge=4_000, le=10_000_000)
    effort: Literal["low", "medium", "high"] | None = None

    @field_validator("url")
    @classmethod
    def _where(cls, url: str) -> str:
        if url:
            parts = urls.parse(url)
            if not urls.safe_for_secrets(parts):
                raise ValueError("the URL begins with https://, or leads to this machine: a key goes there")
            if parts.query or parts.fragment:
                raise ValueError("the URL ends with its path")
        return url.rstrip("/")

    @property
    def cost(self) -> Prices:
        """Its prices."""
        return self.prices.prices
