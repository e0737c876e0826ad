"""The tables beside the ledger: tasks with lineage and effects, catalog, counters, registry, alerts, keys."""

from __future__ import annotations

from aws_cdk import aws_iam, aws_kms
from constructs import Construct

from infra.config import Deployment
from infra.ledger import CHANGES, but, fence
from infra.nag import acknowledge
from infra.table import make_table
from sentinel.adapters.dynamodb_tables import TABLES


class Tasks(Construct):
    """`tasks`, `catalog`, `counters`, `registry`, `alerts` and `keys` are the tables beside the ledger."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        key: aws_kms.IKey | None,
        eraser: aws_iam.IRole | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.tasks = make_table(self, "Tasks", TABLES["tasks"], deployment, key)
        self.catalog = make_table(self, "Catalog", TABLES["catalog"], deployment, key)
        self.counters = make_table(self, "Counters", TABLES["counters"], deployment, key)
        self.registry = make_table(self, "Registry", TABLES["registry"], deployment, key)
        self.alerts = make_table(self, "Alerts", TABLES["alerts"], deployment, key)
        self.keys = make_table(self, "Keys", TABLES["keys"], deployment, key, _kept(eraser))
        if not TABLES["counters"].recover:
            acknowledge(
                self.counters,
                "AwsSolutions-DDB3",
                "Counters hold open windows of correlations, minutes to hours long; restoring them to an "
                "older moment would count entries twice, and losing them only forgets those windows. They "
                "hold pauses and who has a place at a limit, too: losing those ends the pauses, and lets "
                "more start than may until what is on its way has ended.",
            )


def _kept(eraser: aws_iam.IRole | None) -> aws_iam.PolicyDocument:
    """Deny whatever would lose a data key: what it encrypted could not be read any more."""
    lost = "dynamodb:DeleteItem"
    others = (each for each in CHANGES if each != lost)
    conditions = but(eraser) if eraser else {}
    return aws_iam.PolicyDocument(
        statements=[fence("NobodyChangesKeys", others), fence("NobodyElseDestroysKeys", [lost], **conditions)]
    )
