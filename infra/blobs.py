"""What patches are made of while they are made: trees, prompts, replies, patches, jobs and reports of proofs.

All of it may be source code. Each kind has a folder of its own, so that roles can be told apart by it: what
workers hand on is below `blobs/`, named by its SHA-256, and masked prompts and answers are below `asked/`:
who asks models sees nothing else; what is to be proven below `jobs/`, and what came of
it below `reports/`, which the build alone writes. Nothing is ever changed, so there are no versions.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack, aws_kms, aws_s3
from constructs import Construct, IConstruct

from infra.config import Deployment
from infra.nag import acknowledge

BLOBS, ASKED, JOBS, REPORTS = "blobs/", "asked/", "jobs/", "reports/"
KEPT = Duration.days(90)  # as long as a person may take to look at a proposal, and some
PROVEN = Duration.days(7)  # a job and its report are of use while the proof goes on


def accept_objects(policy: IConstruct, bucket: aws_s3.IBucket, folder: str) -> None:
    """Accept that a policy names all objects of a folder."""
    name = Stack.of(policy).resolve(Stack.of(bucket).export_value(bucket.bucket_arn))["Fn::ImportValue"]
    acknowledge(
        policy,
        f"AwsSolutions-IAM5[Resource::{name}/{folder}*]",
        "Objects are named by what is in them, or by the build that wrote them, so their names are not known "
        "here; the folder says whose they are.",
    )


class Blobs(Construct):
    """`bucket` has them."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, key: aws_kms.IKey | None
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            encryption=aws_s3.BucketEncryption.KMS if key else aws_s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    prefix=folder, expiration=days, abort_incomplete_multipart_upload_after=Duration.days(1)
                )
                for folder, days in ((BLOBS, KEPT), (ASKED, KEPT), (JOBS, PROVEN), (REPORTS, PROVEN))
            ],
            removal_policy=RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            "Objects are named by their own digest and never changed, and each use of one is in the lineage "
            "of its task; who else reads them CloudTrail's data events can say.",
        )
        CfnOutput(
            Stack.of(self), "BlobsName", value=self.bucket.bucket_name, description="SENTINEL_BLOBS_BUCKET"
        )
