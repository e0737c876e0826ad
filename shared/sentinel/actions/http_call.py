"""The action `http.call`: one HTTP request to a server that the deployment allows.

The request carries `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07: a quoted string) with
the step's effect key, the same in every attempt: a server that honours it acts once; one that does not may
act again where a reply was lost. Answers' bodies are never read into a reason, a result or a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from string import Template
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from sentinel.core import urls
from sentinel.core.recipes import Duration, explain
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Rejected, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets
from sentinel.siem.sink import SecretName

LONGEST_WAIT = 900 * SECOND
PLACEHOLDERS = frozenset({"task", "recipe", "step", "key", "rule", "title", "level", "count"})
_EXPECT = re.compile(r"[1-5]xx|[1-5]\d\d")
_LATER = frozenset({408, 425, 429})
_NOT_DONE = frozenset({425, 429, 503})  # statuses of servers that say that they have not acted
_SENT_BY_US = frozenset({"idempotency-key", "content-type", "accept-encoding"})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


class Secret(BaseModel):
    """A header's value that is looked up under the name of a secret; `prefix` stands before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: SecretName
    prefix: str = Field(default="", max_length=50)


class HttpInputs(BaseModel):
    """A step's `with`. `body` is JSON whose strings may hold `$rule` and the other `PLACEHOLDERS`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["DELETE", "GET", "PATCH", "POST", "PUT"] = "POST"
    url: str = Field(max_length=2000)
    headers: Mapping[str, str | Secret] = Field(default_factory=dict, max_length=30)
    body: JsonValue = None
    timeout: Duration = Field(default=10 * SECOND, ge=SECOND, le=30 * SECOND)
    expect: tuple[str | int, ...] = Field(default=("2xx",), min_length=1)

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        urls.parse(url)
        return url

    @field_validator("expect")
    @classmethod
    def _expect(cls, expect: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if not all(_EXPECT.fullmatch(str(each)) for each in expect):
            raise ValueError("expect lists statuses: 2xx or 204")
        return expect

    @field_validator("body")
    @classmethod
    def _body(cls, body: JsonValue) -> JsonValue:
        _fill(body, dict.fromkeys(PLACEHOLDERS, ""))
        return body

    def expects(self, status: int) -> bool:
        """Whether a status is one that the step takes for success."""
        return any(str(each) in {str(status), f"{status // 100}xx"} for each in self.expect)


class HttpCall:
    """Sends through the port. `clock` is in epoch nanoseconds and read for `Retry-After` dates only."""

    name = "http.call"
    stream = "action"

    def __init__(self, http: Http, secrets: Secrets, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its host is allowed and its secrets exist shows when it runs."""
        _inputs(inputs)

    def perform(self, run: StepRun) -> Outcome:
        """Send the request once and judge the answer by its status."""
        try:
            inputs = _inputs(run.step.with_)
            request = self._request(run, inputs)
        except Unavailable as error:
            return Again(str(error), None)  # nobody's wish: the recipe's backoff decides
        except Rejected as error:
            return Failed(str(error))
        try:
            response = self._http.send(request)
        except Unavailable as error:
            return Again(str(error), None, unsure=not error.unsent)
        except Rejected as error:
            return Failed(str(error))
        return self._judge(run, inputs, response)

    def _judge(self, run: StepRun, inputs: HttpInputs, response: HttpResponse) -> Outcome:
        status = response.status
        if inputs.expects(status):
            return Done({"status": status})
        again = status in _LATER or status >= 500
        if status == 409 and (run.resumed or run.task.tries):
            again = True  # the draft's answer while the first request with this key is still being served
        if again:
            unsure = status not in _NOT_DONE
            return Again(f"the server answered {status}", wait(response, self._clock()), unsure=unsure)
        return Failed(f"the server answered {status}", unsure=status < 400)

    def _request(self, run: StepRun, inputs: HttpInputs) -> HttpRequest:
        headers = {"Idempotency-Key": f'"{run.key}"'}
        body = b""
        if inputs.method not in {"GET", "DELETE"} or inputs.body is not None:
            headers["Content-Type"] = "application/json"
            body = orjson.dumps(_default(run) if inputs.body is None else _fill(inputs.body, _facts(run)))
        for name, value in inputs.headers.items():
            if isinstance(value, Secret):
                value = value.prefix + self._secrets.get(value.secret)  # noqa: PLW2901 - the same, looked up
            headers[name] = value
        return HttpRequest(inputs.method, inputs.url, headers, body, inputs.timeout / SECOND)


def _inputs(inputs: Mapping[str, Any]) -> HttpInputs:
    try:
        found = HttpInputs.model_validate(inputs)
    except ValidationError as error:
        raise Malformed(f"http.call: {explain(error)}") from None
    if _SENT_BY_US & {name.lower() for name in found.headers}:
        raise Malformed(
            "http.call: headers: Idempotency-Key, Content-Type and Accept-Encoding are the action's"
        )
    if any(name.lower() in _CREDENTIALS and isinstance(value, str) for name, value in found.headers.items()):
        raise Malformed("http.call: headers: credentials are written {secret: NAME}, never as they are")
    held = any(isinstance(value, Secret) for value in found.headers.values())
    if held and not urls.safe_for_secrets(urls.parse(found.url)):
        raise Malformed("http.call: url: begins with https://, since a secret travels with the request")
    return found


def _facts(run: StepRun) -> dict[str, str]:
    cause = run.task.cause
    return {
        "task": run.task.id,
        "recipe": run.task.recipe,
        "step": run.step.id,
        "key": run.key,
        "rule": str(cause.get("rule", "")),
        "title": str(cause.get("title", "")),
        "level": str(cause.get("level", "")),
        "count": str(len(run.entries)),
    }


def _default(run: StepRun) -> dict[str, object]:
    facts: dict[str, object] = {name: value for name, value in _facts(run).items() if name != "count"}
    facts["entries"] = [{"chain": each.chain, "seq": each.seq} for each in run.entries]
    return facts


def _fill(body: JsonValue, facts: Mapping[str, str]) -> JsonValue:
    """Put facts into the strings of a JSON value: into values, never into its structure."""
    if isinstance(body, str):
        template = Template(body)
        if not template.is_valid() or not PLACEHOLDERS.issuperset(template.get_identifiers()):
            raise ValueError(f"a string may hold ${', $'.join(sorted(PLACEHOLDERS))}; write $$ for a $")
        return template.substitute(facts)
    if isinstance(body, list):
        return [_fill(each, facts) for each in body]
    if isinstance(body, dict):
        return {name: _fill(each, facts) for name, each in body.items()}
    return body


def wait(response: HttpResponse, now: int) -> int | None:
    """Read `Retry-After` (RFC 9110, 10.2.3: seconds or a date), in nanoseconds, bounded by 15 minutes."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:10]) * SECOND, LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if then.tzinfo is None:  # -0000, or none at all: RFC 9110 has GMT only
        return None
    return max(0, min(int(then.timestamp()) * SECOND - now, LONGEST_WAIT))
