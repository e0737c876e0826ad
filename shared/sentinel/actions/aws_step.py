"""What the actions in AWS share: the role of a step, and the policy that narrows its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from sentinel.core.grants import Grants
from sentinel.core.steps import StepRun
from sentinel.ports_aws import AssumedRole

Statement = Mapping[str, object]


def granted(grants: Grants, action: str) -> dict[str, object]:
    """Return what a plan says of the role in which an action would act; nothing where it is granted none."""
    role = grants.roles.get(action)
    return {"role": role.arn} if role else {}


def assumed(grants: Grants, action: str, run: StepRun, statements: Sequence[Statement]) -> AssumedRole:
    """Return the role of an action as this task's step assumes it.

    The session is named after the task, which is how CloudTrail tells who did it, and may do no more than
    `statements` say, however much the role may. Raises `Forbidden` where no role is granted.
    """
    return assumed_as(f"sentinel-{run.task.id}", grants, action, statements)


def assumed_as(session: str, grants: Grants, action: str, statements: Sequence[Statement]) -> AssumedRole:
    """Return the role of an action as a session of this name assumes it; as `assumed` else."""
    role = grants.role(action)
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": list(statements)}).decode()
    return AssumedRole(role.arn, session[:64], policy)


def allow(
    actions: str | Sequence[str], resources: str | Sequence[str], **conditions: Mapping[str, object]
) -> Statement:
    """Return a statement that allows `actions` on `resources`."""
    found: dict[str, object] = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**found, "Condition": conditions} if conditions else found
