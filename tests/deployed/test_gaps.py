"""What the emulator lacks, as docs/deploy.md has it: when one of these fails, the emulator has learnt it.

Then the journey can cover it, and the option that went around it can go.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deployed.emulator import ACCOUNT, Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("deployed")]
# Types that the app's templates have with other options than those of `make deploy-local`.
UNKNOWN = {
    "AWS::EC2::EIP": {},
    "AWS::EC2::FlowLog": {"ResourceId": "vpc-1", "ResourceType": "VPC", "TrafficType": "ALL"},
    "AWS::EC2::NatGateway": {"SubnetId": "subnet-1"},
    "AWS::ElastiCache::ServerlessCache": {"Engine": "valkey", "ServerlessCacheName": "x"},
    "AWS::SecretsManager::RotationSchedule": {"SecretId": "x"},
    "AWS::WAFv2::WebACLAssociation": {"ResourceArn": "x", "WebACLArn": "x"},
}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        "Policies": [
            {
                "PolicyName": "all",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
                },
            }
        ],
    },
}
TABLE: dict[str, Any] = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "TableName": "gaps",
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
    },
}
SEEN = "print('SEEN', ''.join(each['dynamodb']['Keys']['k']['S'] for each in event['Records']))"
LAST = "{'itemIdentifier': event['Records'][-1]['dynamodb']['SequenceNumber']}"


def test_resource_types_that_are_not_known(running: Emulator) -> None:
    """A template with one of these types is refused as a whole, and the refusal names all of them."""
    resources = {f"R{n}": {"Type": kind, "Properties": has} for n, (kind, has) in enumerate(UNKNOWN.items())}
    client = running.client("cloudformation")
    with pytest.raises(client.exceptions.ClientError, match="Unrecognized resource types") as caught:
        client.create_stack(StackName="unknown", TemplateBody=json.dumps({"Resources": resources}))
    assert {kind for kind in UNKNOWN if kind in str(caught.value)} == UNKNOWN.keys()


def test_failures_of_a_stream(running: Emulator) -> None:
    """Records that a function reports as unfinished are lost; what fails whole is tried without end."""
    resources = {
        "Role": ROLE,
        "Table": TABLE,
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "gaps"}},
        "Partly": _function(f"{SEEN}\n    return {{'batchItemFailures': [{LAST}]}}"),
        "PartlyFeed": _feed("Partly"),
        "Wholly": _function("print('TRIED')\n    raise ValueError"),
        "WhollyFeed": _feed(
            "Wholly",
            MaximumRetryAttempts=1,
            DestinationConfig={"OnFailure": {"Destination": {"Fn::GetAtt": ["Queue", "Arn"]}}},
        ),
    }
    running.client("cloudformation").create_stack(
        StackName="gaps", TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_IAM"]
    )
    table, queue = running.client("dynamodb"), running.client("sqs")
    _until(lambda: "gaps" in table.list_tables()["TableNames"])
    for key in ("a", "b"):
        table.put_item(TableName="gaps", Item={"k": {"S": key}})
        _until(partial(_logged, running, f"SEEN {key}"))
    _until(lambda: running.log().count("TRIED") > 3)
    assert [line.split()[-1] for line in running.log().splitlines() if "SEEN" in line] == ["a", "b"]
    url = queue.get_queue_url(QueueName="gaps")["QueueUrl"]
    assert not queue.receive_message(QueueUrl=url).get("Messages")


def test_the_usage_plans_of_a_key(running: Emulator) -> None:
    """Asked for the usage plans of one key, it tells of plans that the key is not in."""
    client = running.client("apigateway")
    plan = client.create_usage_plan(name="gaps")["id"]
    key = client.create_api_key(name="gaps", enabled=True)["id"]
    assert plan in {each["id"] for each in client.get_usage_plans(keyId=key)["items"]}


def test_a_tables_own_policy(running: Emulator) -> None:
    """The policy that a template gives a table is not set."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "dynamodb:DeleteItem", "Resource": "*"}],
    }
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            **TABLE["Properties"],
            "TableName": "own-policy",
            "ResourcePolicy": {"PolicyDocument": policy},
        },
    }
    running.client("cloudformation").create_stack(
        StackName="own-policy", TemplateBody=json.dumps({"Resources": {"Table": table}})
    )
    client = running.client("dynamodb")
    _until(lambda: "own-policy" in client.list_tables()["TableNames"])
    arn = client.describe_table(TableName="own-policy")["Table"]["TableArn"]
    with pytest.raises(client.exceptions.ClientError, match="PolicyNotFoundException"):
        client.get_resource_policy(ResourceArn=arn)


def test_client_certificates_are_nobodys_business(running: Emulator) -> None:
    """A domain with mutual TLS can be made, of a trust store that is not even there."""
    made = running.client("apigateway").create_domain_name(
        domainName="api.example.com",
        regionalCertificateArn=f"arn:aws:acm:eu-central-1:{'0' * 12}:certificate/none",
        endpointConfiguration={"types": ["REGIONAL"]},
        mutualTlsAuthentication={"truststoreUri": "s3://no-such-bucket/roots.pem"},
    )
    assert made["domainName"] == "api.example.com"


def _logged(running: Emulator, text: str) -> bool:
    return text in running.log()


def _function(body: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": f"def handler(event, context):\n    {body}\n"},
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Runtime": "python3.13",
            "Timeout": 10,
        },
    }


def _feed(function: str, **more: object) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
            "FunctionName": {"Ref": function},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "StartingPosition": "TRIM_HORIZON",
            **more,
        },
    }


def _until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_a_caller_in_a_role_is(running: Emulator) -> None:
    """A key's policy that lets one role through does not let its sessions: AWS names the role of these."""
    iam, kms = running.client("iam"), running.client("kms")
    account = f"arn:aws:iam::{ACCOUNT}:root"
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="signer", AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    may = {"Effect": "Allow", "Action": "kms:Sign", "Resource": "*"}
    iam.put_role_policy(RoleName="signer", PolicyName="signs", PolicyDocument=_policy(may))
    given = running.client("sts").assume_role(RoleArn=role, RoleSessionName="gaps")["Credentials"]
    signer = running.client("kms", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    key = kms.create_key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    whole = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*"}
    few = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "kms:Sign", "Resource": "*"}

    def sign(let_through: str) -> int:
        but = {"Condition": {"ArnNotEquals": {"aws:PrincipalArn": let_through}}}
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=_policy(whole, few | but))
        how = {"MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}
        return len(signer.sign(KeyId=key, Message=b"x", **how)["Signature"])

    assert sign(f"arn:aws:sts::{ACCOUNT}:assumed-role/signer/*") == 64
    with pytest.raises(ClientError, match="AccessDenied"):
        sign(role)


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
