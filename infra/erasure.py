"""The role that erases entries: taken by a person who may, for the length of a command.

No function has these rights. The ledger's own policy lets this role through for one thing, replacing
payloads, and the table of data keys for destroying them (docs/erasure.md). The role exists only where a
deployment names who may take it. It may not use the log's key: a function signs the records (`functions.py`),
since with the key one could sign checkpoints, too.
"""

from __future__ import annotations

from typing import cast

from aws_cdk import CfnElement, CfnOutput, Duration, Stack, aws_dynamodb, aws_iam, aws_kms, aws_s3
from constructs import Construct, IConstruct

from infra import access
from infra.archive import ARCHIVE
from infra.blobs import ASKED, BLOBS
from infra.config import Deployment
from infra.ledger import ATTRIBUTES
from infra.log import LogState
from infra.nag import acknowledge
from infra.tasks import Tasks
from sentinel.core.access import Author, Service

# What an erasure replaces in the table of tasks, and what it names to do so. Not `head`: with that one could
# put other events into a lineage, have notes signed that these were erased, and it would verify.
OF_TASKS = ("body", "entry", "item", "nonce", "task", "version")


class Erasure(Construct):
    """`role` is what a person takes; `allow` says what it may do, once there is what it works on."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self._signs = deployment.name_of("record")
        self.role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.CompositePrincipal(*map(aws_iam.ArnPrincipal, deployment.erasers)),
            description=f"Sentinel {deployment.environment}: erases entries",
            max_session_duration=Duration.hours(1),
        )
        CfnOutput(
            Stack.of(self),
            "EraseRole",
            value=self.role.role_arn,
            description="The role of who erases entries: sentinel erase",
        )

    def allow(
        self,
        ledger: aws_dynamodb.ITable,
        tables: Tasks,
        keys: tuple[aws_kms.IKey | None, aws_kms.IKey | None],
        blobs: aws_s3.IBucket | None,
    ) -> None:
        """Let the role erase. `keys` are that of data keys and the deployment's own, where there are any."""
        statements = [
            # The record is appended, payloads are replaced.
            access.on_table(ledger, "PutItem", "Query"),
            access.allow(
                ["dynamodb:UpdateItem"],
                [ledger.table_arn],
                **{"ForAllValues:StringEquals": {"dynamodb:Attributes": list(ATTRIBUTES)}},
            ),
            access.on_table(tables.tasks, "GetItem", "Query", "Scan"),
            access.allow(
                ["dynamodb:UpdateItem"],
                [tables.tasks.table_arn],
                **{
                    "ForAllValues:StringEquals": {"dynamodb:Attributes": list(OF_TASKS)},
                    # Without it a request that names no attribute would pass the condition above.
                    "Null": {"dynamodb:Attributes": "false"},
                },
            ),
            access.on_table(tables.alerts, "DeleteItem", "GetItem", "PutItem", "Scan"),
            access.on_table(tables.counters, "Scan"),
            access.on_keys(tables.counters, ["correlation/*", "delivery/*"], "DeleteItem", "PutItem"),
            access.on_table(tables.catalog, "GetItem", "Query"),
            access.on_records(tables.registry, [Author.KIND, Service.KIND], "GetItem", "Query"),
        ]
        data_key, own = keys
        if data_key:
            statements += [
                access.on_table(tables.keys, "DeleteItem", "GetItem", "PutItem", "Query"),
                access.data_keys(data_key, "Decrypt", "GenerateDataKey"),
            ]
        if own:
            statements.append(access.use_key(own))
        for folder in (BLOBS, ASKED) if blobs else ():
            statements += access.on_objects(blobs, folder, "DeleteObject", "GetObject")  # type: ignore[arg-type]
        for statement in statements:
            self.role.add_to_principal_policy(statement)
        for folder in (BLOBS, ASKED) if blobs else ():
            _accept(self.role.node.find_child("DefaultPolicy"), blobs, folder)  # type: ignore[arg-type]

    def allow_log(self, log: LogState, archive: aws_s3.IBucket, own: aws_kms.IKey | None) -> None:
        """Let the role have records signed, know the key that signs them, and erase in the archive."""
        statements = [
            access.call(self, self._signs),
            access.allow(["kms:GetPublicKey"], [log.key.key_arn]),
            *access.on_objects(archive, ARCHIVE, "GetObject", "PutObject"),
        ]
        if own:
            statements.append(access.use_key(own, "s3"))
        for statement in statements:
            self.role.add_to_principal_policy(statement)
        _accept(self.role.node.find_child("DefaultPolicy"), archive, ARCHIVE)


def _accept(policy: IConstruct, bucket: aws_s3.IBucket, folder: str) -> None:
    """Accept that a policy of the bucket's own stack names all objects of a folder."""
    name = Stack.of(policy).get_logical_id(cast("CfnElement", bucket.node.default_child))
    acknowledge(
        policy,
        f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{folder}*]",
        "Objects are named by what is in them, so their names are not known here; the folder says whose they "
        "are.",
    )
