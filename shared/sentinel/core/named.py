"""Documents that name things, each of which says of what kind it is: sinks, accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from sentinel.core.recipe_fields import Name
from sentinel.core.recipes import explain, load_yaml
from sentinel.errors import Malformed

FILES = (
    "sinks",
    "accounts",
    "deliveries",
    "repositories",
    "models",
)  # documents with these have nothing else
_NAMES: TypeAdapter[str] = TypeAdapter(Name)

Model = TypeVar("Model", bound=BaseModel)


def load(name: str, body: bytes, key: str, one: str, kinds: Mapping[str, type[Model]]) -> dict[str, Model]:
    """Parse `KEY: {NAME: {kind: ..., ...}}`. `name` and `one`, such as `a sink`, are for messages.

    Raises `Malformed` that says what to change and never quotes a value.
    """
    found = load_yaml(name, body)
    named = found.get(key) if isinstance(found, dict) and set(found) == {key} else None
    if not isinstance(named, dict) or not named:
        *most, last = (each for each in FILES if each != key)
        others = f"{', '.join(most)} and {last}"
        raise Malformed(
            f"{name}: {one} document is a mapping with {key}: {{NAME: {{kind: ..., ...}}}} and nothing "
            f"else; {others} have files of their own"
        )
    return {str(it): _model(f"{name}: {key}.{it}", str(it), each, one, kinds) for it, each in named.items()}


def _model(where: str, it: str, body: object, one: str, kinds: Mapping[str, type[Model]]) -> Model:
    if not isinstance(body, dict):
        raise Malformed(f"{where}: {one} is a mapping with kind and what its kind needs")
    kind = kinds.get(body["kind"]) if isinstance(body.get("kind"), str) else None
    if kind is None:
        raise Malformed(f"{where}: kind is one of {', '.join(sorted(kinds))}")
    try:
        _NAMES.validate_python(it)
        return kind.model_validate(body)
    except ValidationError as error:
        raise Malformed(f"{where}: {explain(error)}") from None
