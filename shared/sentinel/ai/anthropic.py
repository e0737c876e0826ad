"""The model `anthropic`: Anthropic's Messages API with structured output, by Anthropic's SDK.

The system's part is marked for the cache. There are no tools but, where the configuration says so, the one
whose strict input is the answer. The form of answers is that of the SDK's types (`anthropic.types.Message`,
2.14.0).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Final, Literal

import orjson

from sentinel.ai.answers import tokens, usage
from sentinel.ai.hosted import TIMEOUT, Call, Said, outcome
from sentinel.ai.model import HostedConfig
from sentinel.core import budgets
from sentinel.core.questions import CutOff, Declined, NotAnswered, Question, Usage
from sentinel.ports import HttpResponse

BASE: Final = "https://api.anthropic.com"
_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded"})


class AnthropicConfig(HostedConfig):
    """`url` is without a version, as `https://api.anthropic.com`.

    `structured: tool` asks by a forced tool, for models that have no output format.
    """

    kind: Literal["anthropic"]
    structured: Literal["format", "tool"] = "format"


class AnthropicProvider:
    """Asks by the SDK, reads by the document."""

    who: ClassVar[str] = "Anthropic"

    def send(self, call: Call, question: Question) -> HttpResponse:
        """Ask once."""
        import anthropic

        from sentinel.ai.wire import Carrier, quiet

        quiet()
        base = call.config.url or BASE
        carrier = Carrier(call.reach.http, base, call.key, call.left)
        with (
            carrier.client() as http,
            anthropic.Anthropic(
                api_key=call.key, base_url=base, max_retries=0, http_client=http, open_telemetry=False
            ) as client,
            suppress(anthropic.AnthropicError),  # the carrier has the answer, or why there is none
        ):
            told = request(call.config, question)
            # Without a time-out of the call's own the SDK refuses long answers that are not streamed.
            client.messages.with_raw_response.create(**told, timeout=TIMEOUT)
        return outcome(carrier.answer, carrier.failure)

    def said(self, answer: dict[str, Any], question: Question) -> Said:
        """Read a `message` object."""
        used = _usage(answer.get("usage"))
        charged = used or budgets.worst(question)
        reason = answer.get("stop_reason")
        if reason in _CUT:
            raise CutOff("the model's answer reached its greatest length", charged)
        if reason == "refusal":
            raise Declined("the model refused to answer", charged)
        if reason not in {"end_turn", "tool_use"}:
            raise NotAnswered("the model stopped before its answer was whole", charged)
        text = _text(answer.get("content"), question.name)
        if not text:
            raise NotAnswered("the model's answer is empty", charged)
        model = answer.get("model")
        return Said(text, model if isinstance(model, str) else "", used)


def request(config: AnthropicConfig, question: Question) -> dict[str, Any]:
    """Return the arguments of `messages.create`."""
    cached = {"type": "text", "text": question.system, "cache_control": {"type": "ephemeral"}}
    asked: dict[str, Any] = {
        "model": config.model,
        "max_tokens": question.max_output,
        "system": [cached],
        "messages": [{"role": each.role, "content": each.text} for each in question.turns],
    }
    output: dict[str, Any] = {"effort": config.effort} if config.effort else {}
    if config.structured == "format":
        output["format"] = {"type": "json_schema", "schema": dict(question.schema)}
    else:
        told = "Gives the answer."
        tool = {"name": question.name, "description": told, "input_schema": dict(question.schema)}
        asked["tools"] = [{**tool, "strict": True}]
        asked["tool_choice"] = {"type": "tool", "name": question.name, "disable_parallel_tool_use": True}
    return asked | ({"output_config": output} if output else {})


def _text(content: object, name: str) -> str:
    """Return the answer: the input of the tool of this name, else the text of all text blocks."""
    blocks = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    for each in blocks:
        if each.get("type") == "tool_use" and each.get("name") == name:
            return orjson.dumps(each.get("input")).decode()
    texts = [each.get("text") for each in blocks if each.get("type") == "text"]
    return "".join(each for each in texts if isinstance(each, str))


def _usage(counts: object) -> Usage | None:
    """Read `usage`: what was read from the cache or written to it is counted beside the input."""
    cached, written = tokens(counts, "cache_read_input_tokens"), tokens(counts, "cache_creation_input_tokens")
    taken = tokens(counts, "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return usage(taken, cached, written, tokens(counts, "output_tokens"))
