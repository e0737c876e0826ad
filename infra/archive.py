"""The bucket of what grows for good: archived segments, and the tiles of the chains' trees.

Each has a folder of its own, so that roles can be told apart by it. Not under Object Lock, and without
versions: an erasure has to reach what was archived, and an old version would be what was erased. Whatever is
read from here is checked against the chain, and the chain against checkpoints, which are locked elsewhere.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack, aws_iam, aws_kms, aws_s3
from constructs import Construct

from infra.config import Deployment
from infra.nag import acknowledge

ARCHIVE = "archive/"  # tiles are below `log.LOG`


class Archive(Construct):
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
            lifecycle_rules=[_cleared(), *_cooled(deployment.archive_cold_days)],
            removal_policy=RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY,
        )
        if deployment.keep:
            self._fence()
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            "What is archived is checked against the chain whenever it is read, and tiles against signed "
            "roots; who else reads them CloudTrail's data events can say.",
        )
        CfnOutput(
            Stack.of(self),
            "ArchiveName",
            value=self.bucket.bucket_name,
            description="SENTINEL_ARCHIVE_BUCKET",
        )

    def _fence(self) -> None:
        """Deny deleting what was archived: the table dropped it, so there is no other. Erasing replaces."""
        self.bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="NobodyDeletesWhatWasArchived",
                effect=aws_iam.Effect.DENY,
                principals=[aws_iam.AnyPrincipal()],
                actions=["s3:DeleteObject", "s3:DeleteObjectVersion"],
                resources=[self.bucket.arn_for_objects(f"{ARCHIVE}*")],
            )
        )


def _cleared() -> aws_s3.LifecycleRule:
    return aws_s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1))


def _cooled(days: int) -> list[aws_s3.LifecycleRule]:
    """Return the rule by which old segments cost less to keep and more to read, without a wait."""
    if not days:
        return []
    cold = aws_s3.Transition(
        storage_class=aws_s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=Duration.days(days)
    )
    return [aws_s3.LifecycleRule(prefix=ARCHIVE, transitions=[cold])]
