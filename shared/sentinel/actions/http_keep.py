"""What `http.call` keeps of an answer: single values that a recipe names, for later steps and for replay."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sentinel.ports import HttpResponse

MOST_KEPT = 20
MAX_KEPT = 1_000  # characters of one value
_SECRET = frozenset({"set-cookie", "authorization", "www-authenticate", "proxy-authenticate", "x-api-key"})


class Keep(BaseModel):
    """One value: of a header of the answer, or of its body, JSON, by a dotted path (numbers count items)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(default="", max_length=100)
    json_: str = Field(default="", alias="json", max_length=200)

    @model_validator(mode="after")
    def _one(self) -> Keep:
        if bool(self.header) == bool(self.json_):
            raise ValueError("keep names either a header or a json path")
        if self.header.lower() in _SECRET:
            raise ValueError("keep: this header may hold a secret, and results are kept in clear")
        return self


def kept(wanted: Mapping[str, Keep], response: HttpResponse) -> dict[str, object]:
    """Return the values that there are: texts, numbers and booleans. Too long a text is cut.

    What is not there, or is more than one value, is left out: a step that needs it fails and says so.
    """
    body = _body(response) if any(each.json_ for each in wanted.values()) else None
    found: dict[str, object] = {}
    for name, each in wanted.items():
        value = response.headers.get(each.header.lower()) if each.header else _below(body, each.json_)
        if isinstance(value, str):
            found[name] = value[:MAX_KEPT]
        elif isinstance(value, bool | int | float):
            found[name] = value
    return found


def _body(response: HttpResponse) -> object:
    try:
        found: object = orjson.loads(response.body)
    except orjson.JSONDecodeError:  # also where it was cut
        return None
    return found


def _below(value: object, path: str) -> object:
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part[:6]) < len(value):
            value = value[int(part[:6])]
        else:
            return None
    return value
