"""The CDK app's own templates, synthesized by `app.py`, created as they are by the emulator's CloudFormation.

What `cdk bootstrap` and `cdk deploy` do is done here without them and without npm: the bucket of assets, the
parameter that names the bootstrap's version, the uploads that the asset manifests list, a stack each in the
order that the app's manifest says. The templates are those that go to AWS, byte for byte.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deployed.emulator import ACCOUNT, BUILD, REGION, ROOT, Emulator, EmulatorFailed

STACK_SECONDS = 60.0
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "30"


class StackFailed(RuntimeError):
    """A stack was not created; the message has what failed in it."""


def synthesize(out: Path, options: Mapping[str, object], environ: Mapping[str, str]) -> Path:
    """Run `app.py` with the app's options; return the folder of templates. Raises `EmulatorFailed`."""
    context = {f"sentinel:{name}": value for name, value in options.items()}
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env={**environ, "CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(out)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise EmulatorFailed(f"app.py failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return out


def publish(emulator: Emulator, out: Path) -> int:
    """Upload what the asset manifests list; return how many bytes."""
    s3 = emulator.client("s3")
    emulator.client("ssm").put_parameter(
        Name=BOOTSTRAP_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String", Overwrite=True
    )
    there: set[str] = set()
    uploaded = 0
    for path, bucket, key in _assets(out):
        if bucket not in there:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            there.add(bucket)
        body = path.read_bytes()
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        uploaded += len(body)
    return uploaded


def _assets(out: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield (file, bucket, key) of every asset; folders are zipped."""
    for manifest in sorted(out.glob("*.assets.json")):
        for each in json.loads(manifest.read_text())["files"].values():
            source = out / each["source"]["path"]
            path = _zipped(source) if each["source"]["packaging"] == "zip" else source
            for place in each["destinations"].values():
                yield path, _here(place["bucketName"]), _here(place["objectKey"])


def _here(text: str) -> str:
    return (
        text.replace("${AWS::AccountId}", ACCOUNT)
        .replace("${AWS::Region}", REGION)
        .replace("${AWS::Partition}", "aws")
    )


def _zipped(folder: Path) -> Path:
    """Return a folder as a zip, made once for each content: CDK names the folder by its hash."""
    final = BUILD / "assets" / f"{folder.name}.zip"
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    work = final.with_suffix(f".{time.time_ns()}")
    with zipfile.ZipFile(work, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder).as_posix())
    work.rename(final)
    return final


def create(emulator: Emulator, out: Path) -> dict[str, dict[str, Any]]:
    """Create the stacks one after another; return each one's outputs by key. Raises `StackFailed`."""
    made: dict[str, dict[str, Any]] = {}
    cloudformation = emulator.client("cloudformation")
    for name, artifact in _in_order(json.loads((out / "manifest.json").read_text())["artifacts"]):
        url = _here(artifact["properties"]["stackTemplateAssetObjectUrl"]).removeprefix("s3://")
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{emulator.endpoint}/{url}",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        made[name] = _created(cloudformation, name)
    _let_sign(emulator, {name: value for outputs in made.values() for name, value in outputs.items()})
    _let_in(emulator, {name for outputs in made.values() for name in outputs.values()})
    return made


def _let_sign(emulator: Emulator, outputs: Mapping[str, str]) -> None:
    """Write the fence of the log's key as the emulator reads it.

    To it a caller in a role is the session, and not the role as AWS has it in `aws:PrincipalArn`.
    """
    kms, key = emulator.client("kms"), outputs["LogKey"]
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    sessions, found = re.subn(
        r"arn:aws:iam::(\d+):role/([^\"]+)", r"arn:aws:sts::\1:assumed-role/\2/*", policy
    )
    if found != 2:
        raise StackFailed(f"the policy of the log's key does not let two roles through:\n{policy}")
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=sessions)


def _let_in(emulator: Emulator, outputs: set[str]) -> None:
    """Let our roles use and list the buckets of the log: there is no TLS, which they want, nor `s3:prefix`.

    The trust store's bucket stays as it is: the operator's command writes that.
    """
    s3, iam = emulator.client("s3"), emulator.client("iam")
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"] in outputs and "doors" not in bucket["Name"]:
            s3.delete_bucket_policy(Bucket=bucket["Name"])
    statement = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if role["RoleName"].lower().startswith("sentinel"):  # some have names of their own
                iam.put_role_policy(RoleName=role["RoleName"], PolicyName="lists", PolicyDocument=policy)


def _in_order(artifacts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the stacks, each after those it depends on."""
    stacks = {name: each for name, each in artifacts.items() if each["type"] == "aws:cloudformation:stack"}
    done: set[str] = set()
    while len(done) < len(stacks):
        for name, each in stacks.items():
            if name not in done and set(each.get("dependencies", ())) & stacks.keys() <= done:
                yield name, each
                done.add(name)


def _created(cloudformation: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + STACK_SECONDS
    while time.monotonic() < deadline:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise StackFailed(f"{name} is {stack['StackStatus']}:\n{_failures(cloudformation, name)}")
        time.sleep(0.05)
    raise StackFailed(f"{name} is not there after {STACK_SECONDS:.0f} s:\n{_failures(cloudformation, name)}")


def _failures(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return "\n".join(
        f"{each['LogicalResourceId']} ({each['ResourceType']}): {each.get('ResourceStatusReason', '')}"
        for each in reversed(events)
        if each["ResourceStatus"].endswith("FAILED")
    )
