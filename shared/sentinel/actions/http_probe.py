"""How `http.call` is told to ask whether its effect is there, and what its headers may hold."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sentinel.core import urls
from sentinel.errors import Malformed
from sentinel.siem.sink import SecretName

_SENT_BY_US = frozenset({"idempotency-key", "content-type", "accept-encoding"})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


class Secret(BaseModel):
    """A header's value that is looked up under the name of a secret; `prefix` stands before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: SecretName
    prefix: str = Field(default="", max_length=50)


class Probe(BaseModel):
    """How to ask whether the effect is there: a GET whose status says so, or that it is not.

    `url` may hold `$key`, the effect key, and `$task`. Any other status means that nobody can tell now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2000)
    headers: Mapping[str, str | Secret] = Field(default_factory=dict, max_length=30)
    expect: tuple[int, ...] = Field(default=(200,), min_length=1)
    absent: tuple[int, ...] = Field(default=(404, 410), min_length=1)

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        template = Template(url)
        if not template.is_valid() or not {"key", "task"}.issuperset(template.get_identifiers()):
            raise ValueError("the URL may hold $key and $task; write $$ for a $")
        if "$" in urls.parse(url).netloc:
            raise ValueError("the URL's server cannot depend on the task")
        return url

    @model_validator(mode="after")
    def _apart(self) -> Probe:
        if set(self.expect) & set(self.absent):
            raise ValueError("a status says either that the effect is there or that it is not")
        return self


def check_headers(url: str, headers: Mapping[str, str | Secret]) -> None:
    """Raise `Malformed` for headers that are the action's, and for credentials that are not secrets."""
    if _SENT_BY_US & {name.lower() for name in headers}:
        raise Malformed(
            "http.call: headers: Idempotency-Key, Content-Type and Accept-Encoding are the action's"
        )
    if any(name.lower() in _CREDENTIALS and isinstance(value, str) for name, value in headers.items()):
        raise Malformed("http.call: headers: credentials are written {secret: NAME}, never as they are")
    held = any(isinstance(value, Secret) for value in headers.values())
    if held and not urls.safe_for_secrets(urls.parse(url)):
        raise Malformed("http.call: url: begins with https://, since a secret travels with the request")
