"""The model `openai`: OpenAI's Responses API with strict structured output, by OpenAI's SDK.

Nothing is stored there (`store: false`), and there are no tools. The form of answers is that of the SDK's
types (`openai.types.responses.Response`, 3.57.0).
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any, ClassVar, Final, Literal

from sentinel.ai.answers import tokens, usage
from sentinel.ai.hosted import TIMEOUT, Call, Said, outcome
from sentinel.ai.model import HostedConfig
from sentinel.core import budgets
from sentinel.core.questions import CutOff, Declined, NotAnswered, Question, Usage
from sentinel.errors import BadAnswer
from sentinel.ports import HttpResponse

BASE: Final = "https://api.openai.com/v1"


class OpenAIConfig(HostedConfig):
    """`url` has the version, as `https://api.openai.com/v1`."""

    kind: Literal["openai"]


class OpenAIProvider:
    """Asks by the SDK, reads by the document."""

    who: ClassVar[str] = "OpenAI"

    def send(self, call: Call, question: Question) -> HttpResponse:
        """Ask once."""
        import openai

        from sentinel.ai.wire import Carrier, quiet

        quiet()
        base = call.config.url or BASE
        carrier = Carrier(call.reach.http, base, call.key, call.left)
        with (
            carrier.client() as http,
            openai.OpenAI(api_key=call.key, base_url=base, max_retries=0, http_client=http) as client,
            suppress(openai.OpenAIError),  # the carrier has the answer, or why there is none
        ):
            told = request(call.config, question)
            client.responses.with_raw_response.create(**told, timeout=TIMEOUT)
        return outcome(carrier.answer, carrier.failure)

    def said(self, answer: dict[str, Any], question: Question) -> Said:
        """Read a `response` object."""
        used = _usage(answer.get("usage"))
        charged = used or budgets.worst(question)
        status = answer.get("status")
        if status == "incomplete":
            raise _incomplete(answer, charged)
        if status == "failed":
            raise NotAnswered("OpenAI says that the answer failed", used)
        if status != "completed":
            raise BadAnswer("OpenAI answered with a response that has not ended")
        parts = list(_parts(answer.get("output")))
        if any(each.get("type") == "refusal" for each in parts):
            raise Declined("the model refused to answer", charged)
        texts = [each.get("text") for each in parts if each.get("type") == "output_text"]
        text = "".join(each for each in texts if isinstance(each, str))
        if not text:
            raise NotAnswered("the model's answer is empty", charged)
        model = answer.get("model")
        return Said(text, model if isinstance(model, str) else "", used)


def request(config: OpenAIConfig, question: Question) -> dict[str, Any]:
    """Return the arguments of `responses.create`."""
    form = {"type": "json_schema", "name": question.name, "schema": dict(question.schema), "strict": True}
    asked: dict[str, Any] = {
        "model": config.model,
        "instructions": question.system,
        "input": [{"role": each.role, "content": each.text} for each in question.turns],
        "text": {"format": form},
        "max_output_tokens": question.max_output,
        "store": False,
        "truncation": "disabled",
        "prompt_cache_key": sha256(question.system.encode("utf-8", "replace")).hexdigest(),
    }
    return asked | ({"reasoning": {"effort": config.effort}} if config.effort else {})


def _incomplete(answer: dict[str, Any], used: Usage) -> NotAnswered:
    details = answer.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if reason == "max_output_tokens":
        return CutOff("the model's answer reached its greatest length", used)
    if reason == "content_filter":
        return Declined("a filter of OpenAI's stopped the answer", used)
    return NotAnswered("the model's answer is not whole", used)


def _parts(output: object) -> list[dict[str, Any]]:
    """Return the parts of the messages: what is reasoning, or whatever else, is none."""
    items = output if isinstance(output, list) else []
    messages = [each for each in items if isinstance(each, dict) and each.get("type") == "message"]
    found = [each.get("content") for each in messages]
    return [part for parts in found if isinstance(parts, list) for part in parts if isinstance(part, dict)]


def _usage(counts: object) -> Usage | None:
    """Read `usage`: what was cached and written is part of the input."""
    if not isinstance(counts, dict):
        return None
    details = counts.get("input_tokens_details") or {}
    cached, written = tokens(details, "cached_tokens"), tokens(details, "cache_write_tokens")
    return usage(tokens(counts, "input_tokens"), cached, written, tokens(counts, "output_tokens"))
