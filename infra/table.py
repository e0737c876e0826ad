"""Makes a DynamoDB table from its description in `sentinel.adapters.dynamodb_tables`.

Encryption at rest is DynamoDB's own key by default: free, always on, and never a reason for a failed
request. A customer key (`sentinel:customer_key`) adds an entry in CloudTrail for each use and a switch to
make all data unreadable at once, and costs a KMS dependency on every path; it is for those who must have
it.
"""

from __future__ import annotations

from aws_cdk import RemovalPolicy, aws_dynamodb, aws_iam, aws_kms
from constructs import Construct

from infra.config import Deployment
from sentinel.adapters.dynamodb_tables import Key, Table

_TYPES = {
    "S": aws_dynamodb.AttributeType.STRING,
    "N": aws_dynamodb.AttributeType.NUMBER,
    "B": aws_dynamodb.AttributeType.BINARY,
}


def _attribute(key: Key) -> aws_dynamodb.Attribute:
    return aws_dynamodb.Attribute(name=key.name, type=_TYPES[key.type])


def make_table(
    scope: Construct,
    construct_id: str,
    described: Table,
    deployment: Deployment,
    key: aws_kms.IKey | None = None,
    policy: aws_iam.PolicyDocument | None = None,
) -> aws_dynamodb.Table:
    """Make a table as described, on demand; it outlives its stack unless the deployment says otherwise."""
    table = aws_dynamodb.Table(
        scope,
        construct_id,
        partition_key=_attribute(described.partition),
        sort_key=_attribute(described.sort) if described.sort else None,
        billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
        stream=aws_dynamodb.StreamViewType(described.stream) if described.stream else None,
        time_to_live_attribute=described.ttl or None,
        point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=described.recover
        ),
        encryption=aws_dynamodb.TableEncryption.CUSTOMER_MANAGED
        if key
        else aws_dynamodb.TableEncryption.DEFAULT,
        encryption_key=key,
        deletion_protection=deployment.keep,
        removal_policy=RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY,
        resource_policy=policy,
    )
    for index in described.indexes:
        table.add_global_secondary_index(
            index_name=index.name,
            partition_key=_attribute(index.partition),
            sort_key=_attribute(index.sort),
            projection_type=aws_dynamodb.ProjectionType(index.projection),
        )
    return table
