"""The ledger's table: what is acknowledged is here, and nobody changes it.

Two fences stand around that. No function's role has an action that changes or deletes an item
(`access.py`), but for the one that marks what is archived, and that alone. And the table's own policy denies
those actions to every other principal, whatever its role allows, so that a role made elsewhere in the account
has to remove the policy first, which CloudTrail tells. `PutItem` must stay allowed, and it overwrites unless
it is conditioned, which no policy can force: the tripwire on the stream is what sees that.
"""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Aws, aws_iam, aws_kms
from constructs import Construct

from infra.config import Deployment
from infra.table import make_table
from sentinel.adapters.dynamodb_tables import TABLES

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


class Ledger(Construct):
    """`table` has the segments; its stream carries both images."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, key: aws_kms.IKey | None
    ) -> None:
        super().__init__(scope, construct_id)
        roles = [
            f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{deployment.role_name(verb)}"
            for verb in UPDATERS
        ]
        fences = [
            _fence("NobodyChangesTheLedger", CHANGES),
            _fence("FewMarkSegments", [UPDATE], ArnNotEquals={"aws:PrincipalArn": roles}),
        ]
        self.table = make_table(
            self,
            "Table",
            TABLES["ledger"],
            deployment,
            key,
            aws_iam.PolicyDocument(statements=fences),
        )


def _fence(sid: str, actions: Iterable[str], **conditions: object) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.AnyPrincipal()],
        actions=list(actions),
        # In a table's own policy this means the table: its ARN would be a circular reference.
        resources=["*"],
        conditions=conditions or None,
    )
