"""Exchanges: a question with its reply, as JSON that is kept, found again and read back byte for byte.

`{"question": {...}, "reply": {...}}` in the canonical form. A question is found whatever its `max_output`:
what is left of a budget can make that smaller, and the answer is to the same question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel.core.approvals import canonical
from sentinel.core.questions import Missed, Question, Reply, Role, Turn, Usage
from sentinel.errors import Malformed, TooLarge

MAX_EXCHANGE: Final = 20_000_000  # bytes


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Turn(_Form):
    role: Role
    text: str


class _Question(_Form):
    system: str
    turns: list[_Turn]
    schema_: dict[str, Any] = Field(alias="schema")
    name: str
    max_output: int
    sample: int


class _Usage(_Form):
    input: int = Field(ge=0)
    cached: int = Field(ge=0)
    written: int = Field(ge=0)
    output: int = Field(ge=0)


class _Missed(_Form):
    model: str
    why: str
    tokens: int = Field(ge=0)
    usd: float = Field(ge=0, allow_inf_nan=False)


class _Reply(_Form):
    text: str
    provider: str
    model: str
    usage: _Usage
    usd: float = Field(ge=0, allow_inf_nan=False)
    scripted: bool
    counted: bool
    failed: list[_Missed]


class _Exchange(_Form):
    question: _Question
    reply: _Reply


def key(question: Question) -> str:
    """Return the name under which a question is kept: SHA-256, hex, whatever its `max_output`."""
    return replace(question, max_output=0).digest


def exchange(question: Question, reply: Reply) -> bytes:
    """Return a question with its reply as it is kept: the same ones give the same bytes."""
    return canonical({"question": question.document, "reply": reply_document(reply)})


def parse(data: bytes) -> tuple[Question, Reply]:
    """Read what `exchange` made. Raises `Malformed`, which quotes nothing of it."""
    if len(data) > MAX_EXCHANGE:
        raise TooLarge(f"what is kept of a question has over {MAX_EXCHANGE:,} bytes")
    try:
        found = _Exchange.model_validate(orjson.loads(data))
    except (orjson.JSONDecodeError, ValidationError):
        raise Malformed("what is kept of a question is not of its form: record it again") from None
    asked = found.question
    turns = tuple(Turn(each.role, each.text) for each in asked.turns)
    question = Question(asked.system, turns, asked.schema_, asked.name, asked.max_output, asked.sample)
    return question, _reply(found.reply)


def reply_document(reply: Reply) -> dict[str, object]:
    """Return a reply as JSON."""
    usage = reply.usage
    counts = {"input": usage.input, "cached": usage.cached, "written": usage.written, "output": usage.output}
    failed = [
        {"model": each.model, "why": each.why, "tokens": each.tokens, "usd": float(each.usd)}
        for each in reply.failed
    ]
    head = {"text": reply.text, "provider": reply.provider, "model": reply.model, "usage": counts}
    rest = {"scripted": reply.scripted, "counted": reply.counted, "failed": failed}
    return {**head, "usd": float(reply.usd), **rest}


def reply_of(document: Mapping[str, Any]) -> Reply:
    """Read what `reply_document` made. Raises `Malformed`."""
    try:
        return _reply(_Reply.model_validate(document))
    except ValidationError:
        raise Malformed("what is kept of a reply is not of its form") from None


def _reply(told: _Reply) -> Reply:
    usage = Usage(told.usage.input, told.usage.cached, told.usage.written, told.usage.output)
    failed = tuple(Missed(each.model, each.why, each.tokens, each.usd) for each in told.failed)
    where = (told.text, told.provider, told.model, usage, told.usd)
    return Reply(*where, scripted=told.scripted, counted=told.counted, failed=failed)
