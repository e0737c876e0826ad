"""What an operator does with a deployment: opens its doors, pushes rules, adds services.

By the product's own commands, with the settings that the stacks' outputs name. Where Secrets Manager would
call the function that rotates, it is called here in the same four steps: the emulator does not do it.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deployed.caller import Caller, Hook
from tests.deployed.deployment import DOOR_SECRETS, ERASER, HEC_SECRET, Deployment
from tests.deployed.emulator import ROOT, Say

RULES = ROOT / "examples" / "rules" / "login-failures.yml"
RECIPE = """
id: tell-of-failed-logins
on: {rule: failed_login_burst}
dedup: {by: [source], within: 1h}
steps:
  - {id: tell, uses: siem.send, with: {to: [hec]}}
"""
SINKS = "sinks: {hec: {kind: splunk, url: '%s', token: %s, index: main}}\n"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class CommandFailed(RuntimeError):
    """A command of the operator's failed; the message has what it said."""


def command(deployed: Deployment, *arguments: str, **settings: str) -> Any:
    """Run a `sentinel` command and return its JSON. Raises `CommandFailed`."""
    done = deployed.sentinel(*arguments, "--json", **settings)
    if done.returncode:
        raise CommandFailed(f"sentinel {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def open_doors(deployed: Deployment, say: Say) -> None:
    """Make the CA's root, publish it, and make the first key that signs tokens."""
    told = command(deployed, "ca", "publish")
    say("ca", f"its root by a key of KMS, published as version {told['version']}")
    command(deployed, "rotate", "signing-keys")
    say("keys", "the first one signs")


def push(deployed: Deployment, say: Say) -> None:
    """Push a rule, a recipe and a sink into the catalog."""
    (deployed.folder / "recipe.yaml").write_text(RECIPE)
    (deployed.folder / "sinks.yaml").write_text(SINKS % (deployed.collector.url, HEC_SECRET))
    pushed = command(deployed, "recipes", "push", str(RULES), "recipe.yaml", "sinks.yaml")
    say("pushed", ", ".join(f"{each['kind']} {each['id']}" for each in pushed))


def add(deployed: Deployment, service: str, scopes: tuple[str, ...], say: Say) -> Caller:
    """Add a service and have a certificate issued for it; return it as a caller."""
    asked = [part for scope in scopes for part in ("--scope", scope)]
    key = command(deployed, "services", "add", service, *asked)["api_key"]
    pem = certificate(deployed, service, service).read_text()
    say("service", f"{service}, with an API key and a certificate, may {', '.join(scopes)}")
    return Caller(deployed.url, service, pem, key, usage_key(deployed, service))


def certificate(deployed: Deployment, service: str, folder: str) -> Path:
    """Have one more certificate issued for a service; return the file."""
    command(deployed, "certs", "issue", service, "--out", str(deployed.folder / folder))
    return deployed.folder / folder / "certificate.pem"


def revoke(deployed: Deployment, path: Path) -> None:
    """Revoke a certificate."""
    command(deployed, "certs", "revoke", str(path), "--reason", "its key was lost")


def add_hook(deployed: Deployment, service: str, say: Say) -> Hook:
    """Add a webhook of a service; return its sender."""
    told = command(deployed, "hooks", "add", "deploys", "--service", service, "--source", "standard-webhooks")
    say("webhook", f"/hooks/standard-webhooks/deploys, for {service}")
    key = base64.b64decode(told["secret"].removeprefix("whsec_"))
    return Hook(f"{deployed.hooks_url}/hooks/standard-webhooks/deploys", key)


def new_api_key(deployed: Deployment, service: str) -> str:
    """Rotate a service's API key as Secrets Manager does; return the new one."""
    name = f"services.{service}"
    rotate(deployed, name)
    found = deployed.emulator.client("secretsmanager").get_secret_value(SecretId=DOOR_SECRETS + name)
    return str(found["SecretString"])


def usage_key(deployed: Deployment, service: str) -> str:
    """Return a service's key in the usage plans: the emulated gateway's business, and no service's."""
    client = deployed.emulator.client("apigateway")
    keys = client.get_api_keys(includeValues=True, limit=500)["items"]
    (key,) = [each for each in keys if f" {service};" in each["description"]]
    return str(key["value"])


def rotate(deployed: Deployment, name: str) -> None:
    """Rotate one of the doors' secrets as Secrets Manager does: a version of its own, then the four steps."""
    client, token = deployed.emulator.client("secretsmanager"), str(uuid.uuid4())
    arn = client.describe_secret(SecretId=DOOR_SECRETS + name)["ARN"]
    # A version without a value, as Secrets Manager begins; the function is what gives it one.
    client.put_secret_value(SecretId=arn, ClientRequestToken=token, VersionStages=["AWSPENDING"])
    for step in STEPS:
        deployed.invoke("rotate", {"Step": step, "SecretId": arn, "ClientRequestToken": token})


def take_role(deployed: Deployment) -> dict[str, str]:
    """Take the role that erases, as the user who may; return the environment of a process in it."""
    iam, role = deployed.emulator.client("iam"), deployed.outputs["EraseRole"]
    iam.create_user(UserName=ERASER)
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=ERASER, PolicyName="takes", PolicyDocument=policy)
    key = iam.create_access_key(UserName=ERASER)["AccessKey"]
    sts = deployed.emulator.client("sts", key["AccessKeyId"], key["SecretAccessKey"])
    given = sts.assume_role(RoleArn=role, RoleSessionName=ERASER)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def signing(deployed: Deployment, role: Mapping[str, str]) -> list[str]:
    """Try what would sign with the log's key in a role; return what each attempt came to, an error's code."""
    from botocore.exceptions import ClientError

    found = []
    for service, call in (
        ("kms", {"KeyId": deployed.outputs["SENTINEL_LOG_KEY"], "Message": b"x", "MessageType": "RAW"}),
        ("lambda", {"FunctionName": deployed.functions["seal"]}),
    ):
        client = deployed.emulator.client(service, *role.values())
        try:
            if service == "kms":
                client.sign(**call, SigningAlgorithm="ED25519_SHA_512")
            else:
                client.invoke(**call)
            found.append("done")
        except ClientError as error:
            found.append(str(error.response["Error"]["Code"]))
    return found
