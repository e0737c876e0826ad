"""What roles may do, in small statements: an action is here because a use case needs it.

The `grant_*` shortcuts of CDK are not used for tables: "write data" there includes `UpdateItem`,
`DeleteItem` and `BatchWriteItem`. A transaction of puts needs `PutItem` alone. `PutItem` on the ledger
overwrites an item unless the request is conditioned, and IAM has no key for that condition: see
`ledger.py` for what catches it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import ArnFormat, Aws, Stack, aws_dynamodb, aws_iam, aws_kms, aws_lambda, aws_s3
from constructs import Construct


def allow(actions: Iterable[str], resources: Iterable[str], **conditions: object) -> aws_iam.PolicyStatement:
    """Allow `actions` on `resources`."""
    return aws_iam.PolicyStatement(
        actions=sorted(actions), resources=list(resources), conditions=conditions or None
    )


def on_table(table: aws_dynamodb.ITable, *actions: str) -> aws_iam.PolicyStatement:
    """Allow `actions`, named without their prefix, on the items of a table."""
    return allow([f"dynamodb:{action}" for action in actions], [table.table_arn])


def on_records(table: aws_dynamodb.ITable, kinds: Iterable[str], *actions: str) -> aws_iam.PolicyStatement:
    """Allow `actions` on the records of these kinds in the registry, whose partition key the kind is."""
    condition = {"dynamodb:LeadingKeys": sorted(kinds)}
    return allow(
        [f"dynamodb:{action}" for action in actions],
        [table.table_arn],
        **{"ForAllValues:StringEquals": condition},
    )


def on_keys(table: aws_dynamodb.ITable, keys: Iterable[str], *actions: str) -> aws_iam.PolicyStatement:
    """Allow `actions` on the items of a table whose keys are like one of `keys` (`x*`: all such)."""
    condition = {"dynamodb:LeadingKeys": sorted(keys)}
    return allow(
        [f"dynamodb:{action}" for action in actions],
        [table.table_arn],
        **{"ForAllValues:StringLike": condition},
    )


def mark(table: aws_dynamodb.ITable, attribute: str) -> aws_iam.PolicyStatement:
    """Allow setting one attribute of the ledger's items, by requests that name no other and get none back."""
    named = {"dynamodb:Attributes": sorted(("chain", "first", attribute))}
    return allow(
        ["dynamodb:UpdateItem"],
        [table.table_arn],
        **{
            "ForAllValues:StringEquals": named,
            # Without it a request that names no attribute would pass the condition above.
            "Null": {"dynamodb:Attributes": "false"},
            "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
        },
    )


def on_index(table: aws_dynamodb.ITable, *indexes: str) -> aws_iam.PolicyStatement:
    """Allow queries of the named indexes of a table."""
    return allow(["dynamodb:Query"], [f"{table.table_arn}/index/{name}" for name in indexes])


def read_stream(table: aws_dynamodb.ITable) -> aws_iam.PolicyStatement:
    """Allow Lambda's poller, which uses the function's role, to read a table's stream."""
    actions = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    return allow([f"dynamodb:{action}" for action in actions], [str(table.table_stream_arn)])


def data_keys(key: aws_kms.IKey, *actions: str) -> aws_iam.PolicyStatement:
    """Allow `actions` with the key of data keys, for what is a data key of a chain and nothing else."""
    return allow(
        [f"kms:{action}" for action in actions],
        [key.key_arn],
        StringLike={"kms:EncryptionContext:chain": "?*/?*"},
        **{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["chain", "key"]}},
    )


def use_key(key: aws_kms.IKey, service: str = "dynamodb") -> aws_iam.PolicyStatement:
    """Allow what a store does with the deployment's key on the caller's behalf, and only through it."""
    actions = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")
    via = {"kms:ViaService": f"{service}.{Aws.REGION}.amazonaws.com"}
    return allow([f"kms:{action}" for action in actions], [key.key_arn], StringEquals=via)


def ring(workers: Iterable[aws_lambda.IFunction]) -> aws_iam.PolicyStatement:
    """Allow invoking the worker functions."""
    return allow(["lambda:InvokeFunction"], [worker.function_arn for worker in workers])


def call(scope: Construct, name: str) -> aws_iam.PolicyStatement:
    """Allow invoking the function of this name, in a stack that is made before it."""
    arn = Stack.of(scope).format_arn(
        service="lambda", resource="function", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    return allow(["lambda:InvokeFunction"], [arn])


def assume(roles: Iterable[str]) -> aws_iam.PolicyStatement:
    """Allow assuming roles, each named by its ARN; what they may do is said where they are made."""
    return allow(["sts:AssumeRole"], sorted(roles))


def secrets_below(scope: Construct, prefix: str, *actions: str) -> aws_iam.PolicyStatement:
    """Allow `actions`, named without their prefix, on the secrets whose names begin with `prefix`."""
    arn = Stack.of(scope).format_arn(service="secretsmanager", resource=f"secret:{prefix}*")
    return allow([f"secretsmanager:{action}" for action in actions], [arn])


def secret(scope: Construct, name: str) -> aws_iam.PolicyStatement:
    """Allow reading one secret; to its name Secrets Manager adds six characters of its own."""
    arn = Stack.of(scope).format_arn(service="secretsmanager", resource=f"secret:{name}-??????")
    return allow(["secretsmanager:GetSecretValue"], [arn])


def deny_secrets_below(scope: Construct, prefixes: Iterable[str]) -> aws_iam.PolicyStatement:
    """Deny reading the secrets whose names begin with one of `prefixes`, whatever else is allowed."""
    stack = Stack.of(scope)
    arns = [stack.format_arn(service="secretsmanager", resource=f"secret:{each}*") for each in prefixes]
    return aws_iam.PolicyStatement(
        effect=aws_iam.Effect.DENY, actions=["secretsmanager:GetSecretValue"], resources=arns
    )


def on_objects(bucket: aws_s3.IBucket, folder: str, *actions: str) -> list[aws_iam.PolicyStatement]:
    """Allow `actions` on the objects below a folder of a bucket, and to see that one is not there."""
    return [
        allow([f"s3:{action}" for action in actions], [bucket.arn_for_objects(f"{folder}*")]),
        allow(["s3:ListBucket"], [bucket.bucket_arn], StringLike={"s3:prefix": f"{folder}*"}),
    ]


def attach_to_network() -> list[aws_iam.PolicyStatement]:
    """Allow Lambda to attach the function to its VPC, and deny the same to the function's own code.

    EC2 has no resource-level permission for the Describe calls, and Lambda refuses a function whose role is
    limited to single network interfaces, as they do not exist yet. The key `lambda:SourceFunctionArn` is
    present only in calls that a function's code makes: the second statement takes away what code never needs.
    """
    actions = (
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    )
    deny = aws_iam.PolicyStatement(
        effect=aws_iam.Effect.DENY,
        actions=list(actions),
        resources=["*"],
        conditions={"Null": {"lambda:SourceFunctionArn": "false"}},
    )
    return [allow(actions, ["*"]), deny]
