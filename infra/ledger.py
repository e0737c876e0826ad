"""The ledger's table: what is acknowledged is here, and nobody changes it.

Two fences stand around that. No function's role has an action that changes or deletes an item
(`access.py`), but for the one that marks what is archived, and that alone. And the table's own policy denies
those actions to every other principal, whatever its role allows, so that a role made elsewhere in the account
has to remove the policy first, which CloudTrail tells. `PutItem` must stay allowed, and it overwrites unless
it is conditioned, which no policy can force: the tripwire on the stream is what sees that.

Where a deployment has a role that erases (`erasure.py`), that one is let through the second fence, too, and
only to replace a payload: what a segment's hashes are made of stays closed to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Aws, aws_iam, aws_kms
from constructs import Construct

from infra.config import Deployment
from infra.table import make_table
from sentinel.adapters.dynamodb_tables import TABLES

UPDATE = "dynamodb:UpdateItem"
CHANGES = (
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
)
UPDATE = "dynamodb:UpdateItem"
# The functions that update items, each the attributes that its own role says. Their roles have names, since
# this stack is made before them.
UPDATERS = ("archive",)
# What an erasure replaces, and what it names to do so.
ATTRIBUTES = ("chain", "codec", "first", "head", "key", "payload")


def fence(sid: str, actions: Iterable[str], **conditions: object) -> aws_iam.PolicyStatement:
    """Deny actions to everybody, in a table's own policy."""
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.AnyPrincipal()],
        actions=list(actions),
        # In a table's own policy this means the table: its ARN would be a circular reference.
        resources=["*"],
        conditions=conditions or None,
    )


def but(role: aws_iam.IRole) -> dict[str, object]:
    """Return the condition that somebody is not this role."""
    return {"ArnNotEquals": {"aws:PrincipalArn": role.role_arn}}


class Ledger(Construct):
    """`table` has the segments; its stream carries both images."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        key: aws_kms.IKey | None,
        eraser: aws_iam.IRole | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        roles = [
            f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{deployment.name_of(verb)}" for verb in UPDATERS
        ] + ([eraser.role_arn] if eraser else [])
        fences = [
            fence("NobodyChangesTheLedger", CHANGES),
            fence("FewUpdateSegments", [UPDATE], ArnNotEquals={"aws:PrincipalArn": roles}),
        ]
        if eraser:
            others = {"ForAnyValue:StringNotEquals": {"dynamodb:Attributes": list(ATTRIBUTES)}}
            him = {"ArnEquals": {"aws:PrincipalArn": eraser.role_arn}}
            fences.append(fence("NothingElseIsErased", [UPDATE], **others, **him))
        self.table = make_table(
            self,
            "Table",
            TABLES["ledger"],
            deployment,
            key,
            aws_iam.PolicyDocument(statements=fences),
        )
