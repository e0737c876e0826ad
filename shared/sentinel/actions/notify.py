"""The action `notify`: tell people, by an incoming webhook of Slack or of what is like it, or by SNS.

A webhook knows no key: where its answer was lost the message may come twice, and shows by its task id that it
is the same. An SNS FIFO topic gets the effect key and drops the second within five minutes. The answers of
incoming webhooks are those of Slack's "Handling errors" page and its change of 17 May 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sentinel.actions import message
from sentinel.actions.aws_step import allow, assumed, granted
from sentinel.actions.following import again, refused
from sentinel.actions.http_call import wait
from sentinel.core import urls
from sentinel.core.grants import Grants, allowed
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun, traced
from sentinel.errors import Malformed, Rejected, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets
from sentinel.ports_aws import AwsCalls
from sentinel.siem.sink import SecretName

MAX_NOTE = 300
TIMEOUT = 10.0
_LATER = frozenset({408, 425, 429})
_TOPIC = r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$"
# Only what is one of Slack's own words is repeated.
_WORDS: Mapping[str, str] = {
    "action_prohibited": "the workspace does not let the webhook post there",
    "channel_is_archived": "its channel is archived",
    "channel_not_found": "its channel does not exist",
    "invalid_payload": "the message was not understood",
    "invalid_token": "the webhook's URL is not valid",
    "no_active_hooks": "the webhook is disabled",
    "no_service": "the webhook was removed",
    "no_service_id": "the webhook's URL is not whole",
    "no_team": "the workspace does not exist",
    "no_text": "the message was empty",
    "posting_to_general_channel_denied": "the webhook may not post to the general channel",
    "team_disabled": "the workspace is disabled",
    "too_many_attachments": "the message was too long",
    "user_not_found": "its user does not exist",
}


class NotifyInputs(BaseModel):
    """A step's `with`. `webhook` is the name of the secret that is the webhook's URL; `note` a fixed text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Literal["slack", "sns"]
    webhook: SecretName | None = None
    topic: Annotated[str, StringConstraints(pattern=_TOPIC)] | None = None
    note: str = Field(default="", max_length=MAX_NOTE)
    quote: bool = False

    @model_validator(mode="after")
    def _target(self) -> NotifyInputs:
        wanted = {"slack": (True, False), "sns": (False, True)}[self.to]
        if (self.webhook is not None, self.topic is not None) != wanted:
            raise ValueError("to: slack goes with webhook, the name of a secret; to: sns with topic, an ARN")
        return self


class Notify:
    """Tells through the ports; `clock` is in epoch nanoseconds and read for `Retry-After` dates only."""

    name = "notify"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = NotifyInputs
    Inputs = NotifyInputs

    def __init__(
        self,
        http: Http,
        secrets: Secrets,
        aws: Callable[[], AwsCalls],
        grants: Grants,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._aws = aws
        self._grants = grants
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its secret exists and its topic is allowed shows when it runs."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: whom it would tell of how many entries, and whether it quotes."""
        found = _inputs(run.step.with_)
        where = f"{{secret: {found.webhook}}}" if found.to == "slack" else found.topic
        quoted = min(len(run.entries), message.QUOTED) if found.quote else 0
        told = {"notify": found.to, "where": where, "entries": len(run.entries), "quoted": quoted}
        return told | (granted(self._grants, self.name) if found.to == "sns" else {})

    def perform(self, run: StepRun) -> Outcome:
        """Send the message once."""
        try:
            inputs = _inputs(run.step.with_)
            if inputs.to == "sns":
                return self._publish(run, inputs)
            response = self._http.send(self._post(run, inputs))
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))
        return answered(response, self._clock())

    def _post(self, run: StepRun, inputs: NotifyInputs) -> HttpRequest:
        url = self._secrets.get(inputs.webhook or "")
        try:
            parts = urls.parse(url)
        except ValueError as error:
            raise Malformed(f"the secret {inputs.webhook} is no webhook's URL: {error}") from None
        if not urls.safe_for_secrets(parts):
            raise Malformed(f"the secret {inputs.webhook} is a URL that begins with https://")
        told = {
            "text": message.slack(run, inputs.note, quote=inputs.quote),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return HttpRequest("POST", url, traced(run, headers), orjson.dumps(told), TIMEOUT)

    def _publish(self, run: StepRun, inputs: NotifyInputs) -> Outcome:
        topic = inputs.topic or ""
        allowed(topic, self._grants.topics, "SENTINEL_AWS_TOPICS")
        params: dict[str, object] = {
            "TopicArn": topic,
            "Subject": message.subject(run),
            "Message": message.plain(run, inputs.note, quote=inputs.quote),
        }
        if run.traceparent:
            told = {"DataType": "String", "StringValue": run.traceparent}
            params["MessageAttributes"] = {"traceparent": told}
        if topic.endswith(".fifo"):
            params |= {"MessageGroupId": run.task.recipe, "MessageDeduplicationId": run.key}
        role = assumed(self._grants, self.name, run, [allow("sns:Publish", topic)])
        answer = self._aws().call("sns", "Publish", params, role)
        return Done({"to": "sns", "message": str(answer.get("MessageId", ""))})


def answered(response: HttpResponse, now: int) -> Outcome:
    """Say what an incoming webhook's answer means; its body is compared with Slack's words, never quoted."""
    status = response.status
    if status in _LATER or status >= 500:
        return Again(f"the webhook answered {status}", wait(response, now), unsure=status >= 500)
    if 200 <= status < 300:
        return Done({"to": "slack", "status": status})
    word = response.body[:100].decode("ascii", "replace").strip()
    why = _WORDS.get(word)
    return Failed(f"the webhook answered {status}" + (f" ({word}): {why}" if why else ""))


def _inputs(inputs: Mapping[str, Any]) -> NotifyInputs:
    try:
        return NotifyInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(Notify.name, error) from None
