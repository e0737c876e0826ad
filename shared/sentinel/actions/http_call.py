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
from typing import Any, ClassVar, Literal

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
)

from sentinel.actions.http_keep import MOST_KEPT, Keep, kept
from sentinel.actions.http_probe import Probe, Secret, check_headers
from sentinel.core import urls
from sentinel.core.recipes import Duration, Name, explain
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun, Unknown, traced
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Rejected, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets

LONGEST_WAIT = 900 * SECOND
PLACEHOLDERS = frozenset({"task", "recipe", "step", "key", "rule", "title", "level", "count"})
_EXPECT = re.compile(r"[1-5]xx|[1-5]\d\d")
_LATER = frozenset({408, 425, 429})
_NOT_DONE = frozenset({425, 429, 503})  # statuses of servers that say that they have not acted


class Inputs(BaseModel):
    """A step's `with`. `body` is JSON whose strings may hold `$rule` and the other `PLACEHOLDERS`.

    `url`, the values of `headers` and `body` take expressions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["DELETE", "GET", "PATCH", "POST", "PUT"] = "POST"
    url: str = Field(max_length=2000)
    headers: Mapping[str, str | Secret] = Field(default_factory=dict, max_length=30)
    body: JsonValue = None
    timeout: Duration = Field(default=10 * SECOND, ge=SECOND, le=30 * SECOND)
    expect: tuple[str | int, ...] = Field(default=("2xx",), min_length=1)
    probe: Probe | None = None
    keep: Mapping[Name, Keep] = Field(default_factory=dict, max_length=MOST_KEPT)

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
    forms: ClassVar[Mapping[str, Form]] = {"url": Form.URL, "headers": Form.HEADER, "body": Form.TEMPLATE}
    model: ClassVar[type[BaseModel]] = Inputs

    def __init__(self, http: Http, secrets: Secrets, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its host is allowed and its secrets exist shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say whether the request is anything but a GET."""
        return inputs.get("method") != "GET"

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return the request that would be sent, with the names of secrets in the place of secrets."""
        request = self._request(run, _inputs(run.step.with_), lambda name: f"<secret {name}>")
        return {
            "method": request.method,
            "url": request.url,
            "host": urls.parse(request.url).hostname,
            "headers": dict(request.headers),
            "body": request.body.decode(),
            "bytes": len(request.body),
            "timeout": request.timeout,
        }

    def perform(self, run: StepRun) -> Outcome:
        """Send the request once and judge the answer by its status.

        Where an earlier try may have sent it and the step has a probe, that is asked first.
        """
        try:
            inputs = _inputs(run.step.with_)
            if (known := self._asked(run, inputs)) is not None:
                return known
            request = self._request(run, inputs, self._secrets.get)
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
        return self._judged(run, inputs, response)

    def _asked(self, run: StepRun, inputs: Inputs) -> Outcome | None:
        """Return what is known of an earlier try; None where the request is to be sent."""
        if inputs.probe is None or not (run.resumed or run.task.tries):
            return None
        found = self._ask(run, inputs.probe)
        if isinstance(found, Unknown):
            return Again(found.reason, None, unsure=True)
        return found if isinstance(found, Done) else None

    def _judged(self, run: StepRun, inputs: Inputs, response: HttpResponse) -> Outcome:
        status = response.status
        if inputs.expects(status):
            found = kept(inputs.keep, response)
            return Done({"status": status, **({"kept": found} if found else {})})
        again = status in _LATER or status >= 500
        if status == 409 and (run.resumed or run.task.tries):
            again = True  # the draft's answer while the first request with this key is still being served
        if again:
            after = wait(response, self._clock())
            return Again(f"the server answered {status}", after, unsure=status not in _NOT_DONE)
        return Failed(f"the server answered {status}", unsure=status < 400)

    def probe(self, run: StepRun) -> Probed:
        """Ask as the step's `probe` says whether the effect is there."""
        inputs = _inputs(run.step.with_)
        if inputs.probe is None:
            return Unknown("the step has no probe that says how to ask for its effect")
        return self._ask(run, inputs.probe)

    def _ask(self, run: StepRun, probe: Probe) -> Probed:
        url = Template(probe.url).substitute(key=run.key, task=run.task.id)
        headers = traced(run, self._looked_up(probe.headers, self._secrets.get))
        status = self._http.send(HttpRequest("GET", url, headers)).status
        if status in probe.expect:
            return Done({"status": status, "probed": True})
        if status in probe.absent:
            return Nothing()
        if status in _LATER or status >= 500:
            raise Unavailable(f"the probe was answered {status}")
        return Unknown(
            f"the probe was answered {status}, which says neither that the effect is there nor not"
        )

    def _looked_up(self, headers: Mapping[str, str | Secret], secret: Callable[[str], str]) -> dict[str, str]:
        return {
            name: value.prefix + secret(value.secret) if isinstance(value, Secret) else value
            for name, value in headers.items()
        }

    def _request(self, run: StepRun, inputs: Inputs, secret: Callable[[str], str]) -> HttpRequest:
        headers = {"Idempotency-Key": f'"{run.key}"'}
        body = b""
        if inputs.method not in {"GET", "DELETE"} or inputs.body is not None:
            headers["Content-Type"] = "application/json"
            body = orjson.dumps(_default(run) if inputs.body is None else _fill(inputs.body, _facts(run)))
        headers.update(self._looked_up(inputs.headers, secret))
        return HttpRequest(inputs.method, inputs.url, traced(run, headers), body, inputs.timeout / SECOND)


def _inputs(inputs: Mapping[str, Any]) -> Inputs:
    try:
        found = Inputs.model_validate(inputs)
    except ValidationError as error:
        raise Malformed(f"http.call: {explain(error)}") from None
    check_headers(found.url, found.headers)
    if found.probe is not None:
        check_headers(found.probe.url, found.probe.headers)
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
