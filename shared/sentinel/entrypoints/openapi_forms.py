"""Small schemas and the forms that they are put together in, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEX32 = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
COUNT = {"type": "integer", "minimum": 0}
NANOSECONDS = {"type": "integer", "minimum": 0, "description": "epoch nanoseconds"}
TEXT = {"type": "string"}


def object_of(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with these properties, by name."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def strict_of(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others."""
    return {**object_of(required, optional), "additionalProperties": False}


def list_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def ref_to(name: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}
