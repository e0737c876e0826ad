"""What `falcon.contain_host` and `falcon.lift_containment` have in common: a host's state, and its change.

Each try reads the host's state first and asks for a change only where the state does not say that one is on
its way. So a step that is taken up again, whose request may have arrived, follows what it finds: a second
request would change nothing, and mostly is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel.accounts import falcon
from sentinel.accounts.falcon import Device, FalconConfig
from sentinel.actions.falcon_calls import FalconCalls, later
from sentinel.actions.following import follow, refused
from sentinel.core.recipes import Duration, Name
from sentinel.core.step_inputs import SAMPLE, Form
from sentinel.core.steps import Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Rejected, Unavailable

_HOST = re.compile(r"[0-9a-f]{32}")


class HostInputs(BaseModel):
    """A step's `with`: an account of the kind falcon, and the agent id of a host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Name
    host: str = Field(max_length=100)
    within: Duration = Field(default=600 * SECOND, ge=30 * SECOND, le=86_400 * SECOND)


class Containment:
    """Changes a host's state through Falcon: from `start`, by `action`, to `wanted`."""

    stream = "action"
    forms: ClassVar[Mapping[str, Form]] = {"host": Form.JSON}
    model: ClassVar[type[BaseModel]] = HostInputs
    needs_approval = True
    name: ClassVar[str]
    action: ClassVar[Literal["contain", "lift_containment"]]
    start: ClassVar[str]
    wanted: ClassVar[str]

    def __init__(self, calls: FalconCalls) -> None:
        self._calls = calls

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the account may touch the host shows when it runs."""
        self._inputs(inputs, sample=True)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it does."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: to which host, by which account, and whether that lists the host."""
        found = self._inputs(run.step.with_)
        config = self._calls.account(found.account)
        listed = config.hosts == falcon.EVERY or found.host in config.hosts
        return {
            self.action: found.host,
            "server": config.base,
            "token": f"{{secret: {config.token}}}",
            "member_cid": config.member_cid,
            "allowed": "by its id" if listed else {"if in a group of": list(config.groups)},
        }

    def perform(self, run: StepRun) -> Outcome:
        """Ask for the change once, or look how far it has got."""
        try:
            inputs = self._inputs(run.step.with_)
            config = self._calls.account(inputs.account)
            return self._judged(run, inputs, config, self._device(config, inputs.host))
        except Unavailable as error:
            return later(error)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the host is as wanted; a change that is on its way is followed by `perform`."""
        inputs = self._inputs(run.step.with_)
        found = self._device(self._calls.account(inputs.account), inputs.host)
        return Done(self._facts(found)) if found.status == self.wanted else Nothing()

    def _judged(self, run: StepRun, inputs: HostInputs, config: FalconConfig, found: Device) -> Outcome:
        falcon.may_touch(config, found)
        if found.status == self.wanted:
            return Done(self._facts(found))
        if not found.status:
            return Failed("Falcon tells no state of containment of the host that is known")
        sent = run.done.get("sent") is True
        if found.status == self.start and not sent:
            sent = self._ask(config, inputs.host)
        why = f"the host is {found.status}: its sensor acts when it is online"
        outcome = follow(run, self._calls.clock(), inputs.within, why, sent=sent)
        # A redrive asks anew: somebody may have changed it back.
        return replace(outcome, done={}) if isinstance(outcome, Failed) else outcome

    def _ask(self, config: FalconConfig, host: str) -> bool:
        """Ask for the change; return whether Falcon has taken that up."""
        response = self._calls.send(
            config, lambda token: falcon.contained_by(config, token, self.action, host)
        )
        if response.status == 409:  # its state has changed since it was read
            return False
        falcon.answered(response, self._calls.clock(), "Hosts: Write")
        return True

    def _device(self, config: FalconConfig, host: str) -> Device:
        response = self._calls.send(config, lambda token: falcon.device_request(config, token, host))
        return falcon.device(response, host, self._calls.clock())

    def _facts(self, found: Device) -> dict[str, object]:
        return {"host": found.id, "status": found.status}

    def _inputs(self, inputs: Mapping[str, Any], *, sample: bool = False) -> HostInputs:
        try:
            found = HostInputs.model_validate(inputs)
        except ValidationError as error:
            raise refused(self.name, error) from None
        if not _HOST.fullmatch(found.host) and not (sample and found.host == SAMPLE):
            raise Malformed(f"{self.name}: host: is an agent id, 32 of 0-9 and a-f, or an expression alone")
        return found
