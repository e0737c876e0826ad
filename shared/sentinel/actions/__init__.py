"""What a step may do: one file an action, and this registry. The contract is `core.steps.Action`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from sentinel.accounts import AccountConfig
from sentinel.actions.ai_choose import Choose
from sentinel.actions.ai_patch import AiPatch
from sentinel.actions.alert_reply import AlertReply
from sentinel.actions.approval import Approval
from sentinel.actions.aws_ecs_update_service import UpdateService
from sentinel.actions.aws_invoke_lambda import InvokeLambda
from sentinel.actions.aws_ssm_run import SsmRun
from sentinel.actions.breakers import Breakers
from sentinel.actions.falcon_calls import FalconCalls
from sentinel.actions.falcon_contain_host import ContainHost
from sentinel.actions.falcon_lift_containment import LiftContainment
from sentinel.actions.falcon_update_alert import UpdateAlert
from sentinel.actions.git_pull_request import GitPullRequest
from sentinel.actions.http_call import HttpCall
from sentinel.actions.k8s_rollout_restart import RolloutRestart
from sentinel.actions.notify import Notify
from sentinel.actions.patch_parts import PatchParts
from sentinel.actions.siem_carry import Carrier, NoStreams
from sentinel.actions.siem_send import SiemSend
from sentinel.actions.terraform_plan import TerraformPlan
from sentinel.actions.wait import Wait
from sentinel.core.grants import Grants
from sentinel.core.steps import Action
from sentinel.errors import Forbidden
from sentinel.ports import Files, Http, Secrets
from sentinel.ports_aws import AwsCalls
from sentinel.ports_sinks import Streams
from sentinel.siem import SinkConfig

Kind = (
    type[SiemSend]
    | type[AlertReply]
    | type[HttpCall]
    | type[Notify]
    | type[Wait]
    | type[Approval]
    | type[InvokeLambda]
    | type[SsmRun]
    | type[UpdateService]
    | type[RolloutRestart]
    | type[TerraformPlan]
    | type[ContainHost]
    | type[LiftContainment]
    | type[UpdateAlert]
    | type[AiPatch]
    | type[Choose]
    | type[GitPullRequest]
)

ACTIONS: Mapping[str, Kind] = {
    "siem.send": SiemSend,
    "alert.reply": AlertReply,
    "http.call": HttpCall,
    "notify": Notify,
    "wait": Wait,
    "approval": Approval,
    "aws.invoke_lambda": InvokeLambda,
    "aws.ssm_run": SsmRun,
    "aws.ecs_update_service": UpdateService,
    "k8s.rollout_restart": RolloutRestart,
    "terraform.plan": TerraformPlan,
    "falcon.contain_host": ContainHost,
    "falcon.lift_containment": LiftContainment,
    "falcon.update_alert": UpdateAlert,
    "ai.patch": AiPatch,
    "ai.choose": Choose,
    "git.pull_request": GitPullRequest,
}


def _no_aws() -> AwsCalls:
    raise Forbidden("this deployment does not call AWS for its steps")


def build(  # noqa: PLR0913 - one argument for each port
    http: Http,
    files: Files,
    secrets: Secrets,
    sinks: Callable[[], Mapping[str, SinkConfig]],
    *,
    accounts: Callable[[], Mapping[str, AccountConfig]] = dict,
    aws: Callable[[], AwsCalls] = _no_aws,
    grants: Grants | None = None,
    streams: Streams | None = None,
    clock: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], None] = time.sleep,
    breakers: Callable[[], Breakers] | None = None,
    patches: PatchParts | None = None,
) -> dict[str, Action]:
    """Return the actions of a deployment by name.

    `sinks` and `accounts` are asked at each step for what is set up now.
    `aws` is asked for when a step calls AWS. `grants` are what the deployment lets steps touch; by default
    nothing. Without `streams` no step sends to one. `breakers` are those of sinks, shared with deliveries.
    Without `patches` none are made.
    """
    may, made = grants or Grants(), patches or PatchParts()
    carrier = Carrier(http, files, streams or NoStreams(), aws, may, clock, sleep)
    actions: list[Action] = [
        SiemSend(carrier, files, secrets, sinks, clock=clock, sleep=sleep, breakers=breakers),
        AlertReply(http, secrets, accounts, clock=clock),
        HttpCall(http, secrets, clock=clock),
        Notify(http, secrets, aws, may, clock=clock),
        Wait(clock=clock),
        Approval(),
        InvokeLambda(aws, may),
        SsmRun(aws, may, clock=clock),
        UpdateService(aws, may, clock=clock),
        RolloutRestart(http, secrets, may, clock=clock),
        TerraformPlan(http, secrets, may, clock=clock),
        *_falcon(FalconCalls(http, secrets, accounts, clock)),
        *made.actions(),
    ]
    return {action.name: action for action in actions}


def _falcon(calls: FalconCalls) -> tuple[Action, ...]:
    return ContainHost(calls), LiftContainment(calls), UpdateAlert(calls)
