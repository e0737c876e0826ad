"""Checkpoints and proofs in the OpenAPI document: schemas, parameters and operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.entrypoints.openapi_forms import COUNT, HASH, TEXT
from sentinel.entrypoints.openapi_forms import list_of as _list
from sentinel.entrypoints.openapi_forms import object_of as _object
from sentinel.entrypoints.openapi_operations import Answer, Operation, json_content

_NOTE = {**TEXT, "description": "the checkpoint as it was signed (C2SP signed-note)"}
_CHECKPOINT = "/v1/chains/{owner}/{lane}/checkpoint"
_PROOF = "/v1/chains/{owner}/{lane}/proof"
_INCLUSION = _object(
    {"chain": TEXT, "entry": COUNT, "size": COUNT, "leaf": HASH, "proof": _list(HASH), "checkpoint": _NOTE}
)
_CONSISTENCY = _object(
    {
        "chain": TEXT,
        "from": COUNT,
        "to": COUNT,
        "from_root": HASH,
        "to_root": HASH,
        "proof": _list(HASH),
        "size": COUNT,
        "rest": _list(HASH),
        "checkpoint": _NOTE,
    }
)
LOG_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Checkpoint": _object(
        {"chain": TEXT, "number": COUNT, "size": COUNT, "root": HASH, "time": COUNT, "checkpoint": _NOTE}
    ),
    "ChainProof": {"anyOf": [_INCLUSION, _CONSISTENCY]},
}


def _parameter(name: str, place: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
    }


_WHOLE = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999}
LOG_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "owner": _parameter("owner", "path", "the chain's service: the caller", TEXT),
    "lane": _parameter("lane", "path", "the chain's lane", {"type": "integer", "minimum": 0, "maximum": 63}),
    "number": _parameter("number", "query", "a checkpoint's number; the newest without it", _WHOLE),
    "entry": _parameter("entry", "query", "the entry that is to be proven", _WHOLE),
    "checkpoint": _parameter("checkpoint", "query", "by which checkpoint; the newest without it", _WHOLE),
    "from": _parameter("from", "query", "the size of the older tree", _WHOLE),
    "to": _parameter("to", "query", "the size of the newer tree; that of the newest checkpoint", _WHOLE),
}
LOG_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", _CHECKPOINT): Operation(
        "checkpoint",
        "A checkpoint of one of the caller's chains",
        (Answer("the checkpoint", json_content("Checkpoint")),),
        ("number",),
        errors=(404,),
    ),
    ("GET", _PROOF): Operation(
        "proof",
        "A proof that an entry is in a chain, or that a chain only grew (RFC 9162)",
        (Answer("the proof, with the checkpoint that it leads to", json_content("ChainProof")),),
        ("entry", "checkpoint", "from", "to"),
        errors=(404,),
    ),
}
