"""A server on loopback that speaks the wire formats of OpenAI's Responses and Anthropic's Messages.

It checks what it is asked as the providers do: the key, the version, the strict rules of schemas, arguments
that the newest APIs refuse. What is answered is a function's business; those here have the forms of the SDKs'
types (`openai.types.responses.Response`, `anthropic.types.Message`).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from tests.loopback import Asked, Loopback, Told

KEY = "sk-loopback-Zq81mXv7"
JSON = {"Content-Type": "application/json"}
_ABSENT = ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default")


def told(body: object, status: int = 200, **headers: str) -> Told:
    """Return an answer of JSON; names of headers have _ for -."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, orjson.dumps(body), {**JSON, **extra})


def response(text: str = '{"n": 1}', **over: object) -> dict[str, object]:
    """Return a `response` of OpenAI's: reasoning first, then the message."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    return {
        "id": "resp_0a1b",
        "object": "response",
        "created_at": 1_795_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-6.1-terra-2026-09-01",
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, message],
        "parallel_tool_calls": True,
        "store": False,
        "usage": {
            "input_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
            "output_tokens": 200,
            "output_tokens_details": {"reasoning_tokens": 150},
            "total_tokens": 1_200,
        },
        **over,
    }


def message(text: str = '{"n": 1}', **over: object) -> dict[str, object]:
    """Return a `message` of Anthropic's, with thinking before its text."""
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [
            {"type": "thinking", "thinking": "", "signature": "c2ln"},
            {"type": "text", "text": text, "citations": None},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 300,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 600,
            "output_tokens": 200,
            "service_tier": "standard",
        },
        **over,
    }


def by_tool(value: object, name: str = "answer") -> dict[str, object]:
    """Return a `message` that calls the tool."""
    block = {"type": "tool_use", "id": "toolu_01", "name": name, "input": value}
    return message(content=[block], stop_reason="tool_use")


def openai_error(status: int, code: str | None, kind: str = "invalid_request_error", **headers: str) -> Told:
    """Return an error of OpenAI's; its message repeats what it was sent, as theirs sometimes do."""
    error = {"message": f"Incorrect API key provided: {KEY}.", "type": kind, "param": None, "code": code}
    return told({"error": error}, status, x_request_id="req_1", **headers)


def anthropic_error(status: int, kind: str, **headers: str) -> Told:
    """Return an error of Anthropic's."""
    error = {"type": kind, "message": f"invalid bearer {KEY}"}
    return told(
        {"type": "error", "error": error, "request_id": "req_1"}, status, request_id="req_1", **headers
    )


def strict_problems(schema: Mapping[str, Any]) -> list[str]:
    """Return what the strict mode of OpenAI's would refuse of a schema."""
    found = [] if schema.get("type") == "object" and "anyOf" not in schema else ["the root is no object"]
    return [*found, *_problems("$", dict(schema), 0)]


def _problems(where: str, node: Any, depth: int) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    yield from (f"{where}: {name}" for name in _ABSENT if name in node)
    if "$ref" in node and len(node) > 1:
        yield f"{where}: keys beside $ref"
    if node.get("type") == "object":
        depth += 1
        yield from _object_problems(where, node, depth)
    below = {**node.get("properties", {}), **node.get("$defs", {}), "items": node.get("items")}
    below |= {f"anyOf.{number}": each for number, each in enumerate(node.get("anyOf", []))}
    for key, each in below.items():
        yield from _problems(f"{where}.{key}", each, depth)


def _object_problems(where: str, node: Mapping[str, Any], depth: int) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield f"{where}: additionalProperties"
    if sorted(node.get("required", [])) != sorted(node.get("properties", {})):
        yield f"{where}: required"
    if depth > 10:
        yield f"{where}: deeper than 10"


def asked_of_openai(asked: Asked) -> str:
    """Return what OpenAI would refuse of a request; "" where nothing."""
    body = json.loads(asked.body)
    form = body["text"]["format"]
    wrong = {
        "path": asked.path != "/v1/responses",
        "store": body.get("store") is not False,
        "tools": "tools" in body or "tool_choice" in body,
        "strict": form.get("strict") is not True or form["type"] != "json_schema" or "json_schema" in form,
        "schema": bool(strict_problems(form["schema"])),
        "cache": not 0 < len(body["prompt_cache_key"]) <= 64,
        "tokens": body["max_output_tokens"] < 16,
        "roles": any(each["role"] not in {"user", "assistant"} for each in body["input"]),
    }
    return next((name for name, each in wrong.items() if each), "")


def asked_of_anthropic(asked: Asked) -> str:
    """Return what Anthropic's version of 2026-10-21 would refuse of a request; "" where nothing."""
    body = json.loads(asked.body)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    forced = body.get("tool_choice", {}).get("type") == "tool"
    form = body.get("output_config", {}).get("format")
    schemas = [form["schema"]] if form else [each["input_schema"] for each in body.get("tools", [])]
    wrong = {
        "path": asked.path != "/v1/messages",
        "version": headers.get("anthropic-version") != "2026-10-21",
        "sampling": any(name in body for name in ("temperature", "top_p", "top_k")),
        "form": forced == bool(form),
        "tools": "tools" in body and not (forced and all(each["strict"] is True for each in body["tools"])),
        "schema": any(strict_problems(each) for each in schemas) or not schemas,
        "cache": body["system"][-1]["cache_control"]["type"] != "ephemeral",
        "roles": any(each["role"] not in {"user", "assistant"} for each in body["messages"]),
    }
    return next((name for name, each in wrong.items() if each), "")


def authorized(asked: Asked) -> bool:
    """Whether a request has the key, in either form."""
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return headers.get("authorization") == f"Bearer {KEY}" or headers.get("x-api-key") == KEY


class Provider(Loopback):
    """Both providers. `script` answers one request each that is in order, its last one all that follow."""

    def __init__(self, *script: Told | Callable[[Asked], Told]) -> None:
        self.script = list(script)
        super().__init__(self._answer)

    def url(self, kind: str) -> str:
        """Return what a configuration says of it."""
        return f"http://127.0.0.1:{self.port}" + ("/v1" if kind == "openai" else "")

    def _answer(self, asked: Asked) -> Told:
        openai = "responses" in asked.path
        if not authorized(asked):
            return (
                openai_error(401, "invalid_api_key")
                if openai
                else anthropic_error(401, "authentication_error")
            )
        if wrong := (asked_of_openai if openai else asked_of_anthropic)(asked):
            return told({"error": {"type": "invalid_request_error", "message": wrong}, "wrong": wrong}, 400)
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return found(asked) if callable(found) else found


@contextmanager
def serving(*script: Told | Callable[[Asked], Told]) -> Iterator[Provider]:
    """Serve while a test runs."""
    server = Provider(*script)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def raw(say: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections, read one request of each, and let `say` do what it likes; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                connection.recv(1 << 20)
                say(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def trickling(head: bytes, pause: float = 0.1) -> Callable[[socket.socket], None]:
    """Return what sends a head and then a byte each `pause` seconds, for ever."""

    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b" ")
            time.sleep(pause)

    return say
