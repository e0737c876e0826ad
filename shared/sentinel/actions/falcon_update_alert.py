"""The action `falcon.update_alert`: comment on an alert of Falcon, set its status, tag it.

A comment ends in a line with the effect key, by which a step that is taken up again finds its own before it
writes one. Status and tags are the same however often they are set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sentinel.accounts import falcon, falcon_alerts
from sentinel.accounts.falcon import FalconConfig
from sentinel.actions.falcon_calls import FalconCalls, later
from sentinel.actions.following import refused
from sentinel.core.recipes import Name
from sentinel.core.replies import harmless
from sentinel.core.step_inputs import SAMPLE, Form
from sentinel.core.steps import Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.errors import Malformed, Rejected, Unavailable

MAX_COMMENT = 4_000  # characters
_ALERT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{9,299}")


class AlertInputs(BaseModel):
    """A step's `with`: an account of the kind falcon, an alert by its composite id, and what to change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Name
    alert: str = Field(max_length=400)
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_COMMENT)] = ""
    status: Literal["new", "in_progress", "closed", "reopened"] | None = None
    tag: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9/_.-]{0,63}$")] = ""

    @model_validator(mode="after")
    def _something(self) -> AlertInputs:
        if not (self.comment or self.status or self.tag):
            raise ValueError("comment, status or tag says what to change")
        return self


class UpdateAlert:
    """Changes alerts through Falcon."""

    name = "falcon.update_alert"
    stream = "action"
    forms: ClassVar[Mapping[str, Form]] = {"alert": Form.JSON, "comment": Form.JSON}
    model: ClassVar[type[BaseModel]] = AlertInputs

    def __init__(self, calls: FalconCalls) -> None:
        self._calls = calls

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether there is such an alert shows when it runs."""
        _inputs(inputs, sample=True)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say whether it sets a status: comments and tags only tell people."""
        return inputs.get("status") is not None

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: what it would change of which alert, by which account."""
        found = _inputs(run.step.with_)
        config = self._calls.account(found.account)
        return {
            "update_alert": found.alert,
            "server": config.base,
            "token": f"{{secret: {config.token}}}",
            "member_cid": config.member_cid,
            "changes": _changes(run, found),
        }

    def perform(self, run: StepRun) -> Outcome:
        """Change the alert, unless it shows that an earlier try has."""
        try:
            inputs = _inputs(run.step.with_)
            config = self._calls.account(inputs.account)
            if (run.resumed or run.task.tries) and self._there(run, inputs, config):
                return Done(_facts(inputs))
            changes = _changes(run, inputs)
            response = self._calls.send(
                config, lambda token: falcon.alert_update(config, token, inputs.alert, changes)
            )
            falcon.answered(response, self._calls.clock(), "Alerts: Write")
            return Done(_facts(inputs))
        except Unavailable as error:
            return later(error)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the alert is as the step would make it."""
        inputs = _inputs(run.step.with_)
        there = self._there(run, inputs, self._calls.account(inputs.account))
        return Done(_facts(inputs)) if there else Nothing()

    def _there(self, run: StepRun, inputs: AlertInputs, config: FalconConfig) -> bool:
        response = self._calls.send(config, lambda token: falcon.alert_request(config, token, inputs.alert))
        found = falcon_alerts.read(falcon.alert_entity(response, inputs.alert, self._calls.clock()))
        if inputs.comment:  # one request changes all, so the comment speaks for the rest of it
            return any(each.rstrip().endswith(_marker(run)) for each in found.comments)
        same = inputs.status is None or inputs.status == found.status
        return same and (not inputs.tag or inputs.tag in found.tags)


def _changes(run: StepRun, inputs: AlertInputs) -> dict[str, str]:
    shown = harmless(inputs.comment, MAX_COMMENT)
    comment = f"{shown}\n{_marker(run)}" if inputs.comment else ""
    found = {"append_comment": comment, "update_status": inputs.status or "", "add_tag": inputs.tag}
    return {name: value for name, value in found.items() if value}


def _marker(run: StepRun) -> str:
    return f"sentinel:{run.key[:32]}"


def _facts(inputs: AlertInputs) -> dict[str, object]:
    found = {"alert": inputs.alert, "status": inputs.status, "tag": inputs.tag}
    return {**{name: value for name, value in found.items() if value}, "commented": bool(inputs.comment)}


def _inputs(inputs: Mapping[str, Any], *, sample: bool = False) -> AlertInputs:
    try:
        found = AlertInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(UpdateAlert.name, error) from None
    if not _ALERT.fullmatch(found.alert) and not (sample and found.alert == SAMPLE):
        raise Malformed(f"{UpdateAlert.name}: alert: is the composite id of one, or an expression alone")
    return found
