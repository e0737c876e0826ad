"""Proofs in builds: on moto's CodeBuild and S3 from job to report, and by answers of the real model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from unittest import mock

import boto3
import orjson
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from sentinel.adapters.codebuild import JOB, CodeBuildProver, Place, report_key
from sentinel.core.edits import Patch
from sentinel.core.failures import Failure
from sentinel.core.proving import Evidence, HowToTest, Job
from sentinel.core.trees import Tree
from sentinel.entrypoints.build import BUCKET, BUILD, carry_out
from sentinel.errors import Forbidden, Malformed, Missing, Tampered, Unavailable
from sentinel.ports_patches import Pending

REGION = "eu-central-1"
IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/prove:1"
ID = "prove:3f2b0a3e-0c1d-4c57-9d7c-2a1f6f1d2c11"
PLACE = Place("prove", "blobs", (IMAGE, f"{IMAGE}2"))


def job(image: str = "") -> Job:
    """Return a job with an empty patch."""
    return Job(Tree("a" * 40, {}), Patch({}, {}, ""), Failure(), HowToTest(image=image))


def packed(job: Job) -> bytes:
    """Write what tells jobs apart here."""
    return orjson.dumps({"image": job.test.image, "mutants": job.mutants})


def unpacked(report: bytes) -> Evidence:
    """Read a report."""
    return Evidence(orjson.loads(report))


def never() -> bool:
    """Nobody stops it."""
    return False


def client(service: str) -> Any:
    """Return a client with credentials of nobody."""
    return boto3.client(service, REGION, aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def aws() -> Iterator[tuple[Any, Any]]:
    """Give moto's CodeBuild with the project, and its S3 with the bucket."""
    with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}), mock_aws():
        codebuild, s3 = client("codebuild"), client("s3")
        s3.create_bucket(Bucket="blobs", CreateBucketConfiguration={"LocationConstraint": REGION})
        codebuild.create_project(
            name="prove",
            source={"type": "S3", "location": "moto/wants-one", "buildspec": "{}"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": IMAGE,
                "computeType": "BUILD_GENERAL1_MEDIUM",
            },
            serviceRole="arn:aws:iam::123456789012:role/prove",
        )
        yield codebuild, s3


def test_a_job_becomes_evidence(aws: tuple[Any, Any]) -> None:
    """A job is put, a build begun, and what the build's program wrote is what the proof says."""
    codebuild, s3 = aws
    prover = CodeBuildProver(codebuild, s3, PLACE, packed, unpacked)
    begun = prover.prove(job(), "a task/patch/0", "", never)
    assert isinstance(begun, Pending)
    with pytest.raises(Missing, match="left no report"):
        prover.prove(job(), "a task/patch/0", begun.handle, never)
    environ = {JOB: sha256(packed(job())).hexdigest(), BUILD: begun.handle, BUCKET: "blobs"}
    seen: list[bytes] = []

    def prove(data: bytes) -> bytes:
        seen.append(data)
        return b'{"tests": 3}'

    assert carry_out(s3, environ, prove) == report_key(begun.handle)
    assert seen == [packed(job())]
    assert prover.prove(job(), "a task/patch/0", begun.handle, never) == Evidence({"tests": 3})


def test_a_build_proves_its_own_job_alone(aws: tuple[Any, Any]) -> None:
    """A job that is not of its name is not proven, and a program that is not in a build says so."""
    s3 = aws[1]
    name = sha256(b"a job").hexdigest()
    s3.put_object(Bucket="blobs", Key=f"jobs/{name}", Body=b"another")
    environ = {JOB: name, BUILD: ID, BUCKET: "blobs"}
    with pytest.raises(Tampered):
        carry_out(s3, environ, lambda data: data)
    with pytest.raises(Malformed, match=BUILD):
        carry_out(s3, {**environ, BUILD: ""}, lambda data: data)
    assert "Contents" not in s3.list_objects_v2(Bucket="blobs", Prefix="reports/")


def ask(
    calls: list[tuple[str, dict[str, Any], dict[str, Any] | str]],
    handle: str = ID,
    *,
    stopped: bool = False,
    image: str = "",
) -> Evidence | Pending:
    """Ask once, of a CodeBuild that answers these calls, each checked against its model; an S3 takes all."""
    codebuild, s3 = client("codebuild"), client("s3")
    with Stubber(codebuild) as stub, Stubber(s3) as store:
        for name, expected, answer in calls:
            if isinstance(answer, str):
                stub.add_client_error(name, answer, expected_params=expected)
            elif name == "put_object":
                store.add_response(name, answer, expected)
            else:
                stub.add_response(name, answer, expected)
        prover = CodeBuildProver(codebuild, s3, PLACE, packed, unpacked)
        found = prover.prove(job(image), "key", handle, lambda: stopped)
        stub.assert_no_pending_responses()
        return found


def status(of: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the question how the build is, and an answer."""
    return "batch_get_builds", {"ids": [ID]}, {"builds": [{"id": ID, "buildStatus": of}]}


def begin(
    key: str, image: str = IMAGE, told: str = ""
) -> list[tuple[str, dict[str, Any], dict[str, Any] | str]]:
    """Return what begins a build: the job is put, and nothing of it but its name is handed over."""
    data = packed(job(told))
    name = sha256(data).hexdigest()
    start = {
        "projectName": "prove",
        "idempotencyToken": sha256(key.encode()).hexdigest(),
        "imageOverride": image,
        "environmentVariablesOverride": [{"name": JOB, "value": name, "type": "PLAINTEXT"}],
    }
    put = {"Bucket": "blobs", "Key": f"jobs/{name}", "Body": data}
    return [("put_object", put, {}), ("start_build", start, {"build": {"id": ID}})]


def test_a_proof_is_begun_once_for_its_key() -> None:
    """The same key is the same token, so CodeBuild begins one build; the image is the named one."""
    assert ask(begin("key"), "") == Pending(ID, "a build was begun that tries the patch")
    assert isinstance(ask(begin("key", f"{IMAGE}2", f"{IMAGE}2"), "", image=f"{IMAGE}2"), Pending)


def test_an_image_that_the_deployment_does_not_name_is_refused() -> None:
    """Nothing is begun in another image, nor anywhere where none is named."""
    with pytest.raises(Forbidden, match="SENTINEL_PROVE_IMAGES"):
        ask([], "", image="docker.io/anybody/anything")
    with pytest.raises(Forbidden, match="SENTINEL_PROVE_IMAGES"):
        Place("prove", "blobs", ()).image("")


def test_a_build_that_goes_on_is_waited_for() -> None:
    """One that runs, or is not seen yet, is looked at again, under the same handle."""
    for calls in ([status("IN_PROGRESS")], [("batch_get_builds", {"ids": [ID]}, {"builds": []})]):
        found = ask(list(calls))
        assert isinstance(found, Pending)
        assert found.handle == ID


def test_a_stopped_proof_stops_its_build() -> None:
    """Whoever stops waiting for a proof has its build stopped."""
    with pytest.raises(Unavailable, match="stopped"):
        ask([status("IN_PROGRESS"), ("stop_build", {"id": ID}, {})], stopped=True)


@pytest.mark.parametrize(
    ("of", "said"),
    [("FAILED", "its log says why"), ("TIMED_OUT", "too long"), ("STOPPED", "stopped by somebody")],
)
def test_a_build_that_ends_badly_says_what_to_change(of: str, said: str) -> None:
    """No try of the same build would end otherwise."""
    with pytest.raises(Malformed, match=said):
        ask([status(of)])


def test_a_fault_of_the_service_begins_another_build() -> None:
    """CodeBuild's own fault is nobody's: the same job is begun under a key that follows from the first."""
    assert isinstance(ask([status("FAULT"), *begin(f"key after {ID}")]), Pending)


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("ThrottlingException", Unavailable, "Throttling"),
        ("AccountLimitExceededException", Unavailable, "begins no build now"),
        ("ResourceNotFoundException", Missing, "SENTINEL_PROVE_PROJECT"),
        ("AccessDeniedException", Forbidden, "may not be tried"),
    ],
)
def test_errors_say_who_has_to_do_what(code: str, error: type[Exception], said: str) -> None:
    """What passes is tried again; what the deployment has to change is named."""
    with pytest.raises(error, match=said):
        ask([("batch_get_builds", {"ids": [ID]}, code)])


def test_a_handle_is_the_id_of_a_build() -> None:
    """What is handed on from a step's record is not asked for unless it looks like one."""
    with pytest.raises(Malformed, match="id of a build"):
        ask([], "../x")
