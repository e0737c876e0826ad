"""The ledger's table: what is acknowledged is here, and nobody changes it.

Two fences stand around that. No function's role has an action that changes or deletes an item
(`access.py`). And the table's own policy denies those actions to every principal, whatever its role
allows, so that a role made elsewhere in the account has to remove the policy first, which CloudTrail
tells. `PutItem` must stay allowed, and it overwrites unless it is conditioned, which no policy can force:
the tripwire on the stream is what sees that.

Where a deployment has a role that erases (`erasure.py`), that one alone is let through the second fence, and
only to replace a payload: what a segment's hashes are made of stays closed to it, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import aws_iam, aws_kms
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
    "dynamodb:UpdateItem",
)
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
        fences = [fence("NobodyChangesTheLedger", CHANGES)]
        if eraser:
            fences = [
                fence("NobodyChangesTheLedger", (each for each in CHANGES if each != UPDATE)),
                fence("NobodyElseErases", [UPDATE], **but(eraser)),
                fence(
                    "NothingElseIsErased",
                    [UPDATE],
                    **{"ForAnyValue:StringNotEquals": {"dynamodb:Attributes": list(ATTRIBUTES)}},
                ),
            ]
        self.table = make_table(
            self,
            "Table",
            TABLES["ledger"],
            deployment,
            key,
            aws_iam.PolicyDocument(statements=fences),
        )
