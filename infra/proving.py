"""The build project that tries patches: what a model proposed runs here and nowhere else.

The build's program fetches one job, proves it and writes one report; it takes nothing else from a repository,
not even how it is started. What it tries runs in a sandbox inside the build, without network and without the
build's credentials. Making that sandbox needs namespaces, which CodeBuild's containers may make in privileged
mode alone (Docker's seccomp profile refuses them otherwise). Each build is a machine of its own, and its role
may read jobs, write reports and write its log.
"""

from __future__ import annotations

import json

from aws_cdk import Aws, RemovalPolicy, aws_codebuild, aws_iam, aws_kms, aws_logs, aws_s3
from constructs import Construct

from infra import access
from infra.blobs import JOBS, REPORTS, accept_objects
from infra.config import Deployment
from infra.function import RETENTION
from infra.nag import acknowledge
from infra.option_checks import IMAGE

MINUTES = 60
QUEUED = 60
PROGRAM = "python -I -m sentinel.entrypoints.build"
BUILDSPEC = {"version": "0.2", "phases": {"build": {"commands": [PROGRAM]}}}
_PULL = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")


class Proving(Construct):
    """`project` is the build project, `role` that of its builds."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        bucket: aws_s3.IBucket,
        key: aws_kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._log = aws_logs.LogGroup(
            self,
            "Log",
            retention=RETENTION[deployment.log_retention_days],
            encryption_key=key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("codebuild.amazonaws.com"))
        self.project = self._make(deployment, bucket)
        self._allow(deployment, bucket, key)

    def _make(self, deployment: Deployment, bucket: aws_s3.IBucket) -> aws_codebuild.CfnProject:
        of = aws_codebuild.CfnProject
        project = of(
            self,
            "Project",
            description=f"Sentinel {deployment.environment}: tries patches",
            service_role=self.role.role_arn,
            source=of.SourceProperty(type="NO_SOURCE", build_spec=json.dumps(BUILDSPEC)),
            artifacts=of.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=of.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type="BUILD_GENERAL1_MEDIUM",
                image=deployment.prove_image_list[0],
                image_pull_credentials_type="SERVICE_ROLE",
                privileged_mode=True,
                environment_variables=[
                    of.EnvironmentVariableProperty(name="SENTINEL_BLOBS_BUCKET", value=bucket.bucket_name)
                ],
            ),
            logs_config=of.LogsConfigProperty(
                cloud_watch_logs=of.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=self._log.log_group_name
                )
            ),
            timeout_in_minutes=MINUTES,
            queued_timeout_in_minutes=QUEUED,
        )
        acknowledge(
            project,
            "AwsSolutions-CB3",
            "The sandbox in which patches are tried is made of namespaces, and without privileged mode the "
            "container may make none: then nothing could be tried at all. What a model wrote runs inside "
            "that sandbox only, and each build is a machine of its own that is thrown away.",
        )
        acknowledge(
            project,
            "AwsSolutions-CB4",
            "A build has no artifacts and no cache: it writes one report to the bucket, whose encryption is "
            "the bucket's own.",
        )
        acknowledge(
            project,
            "AwsSolutions-CB5",
            "Tests need what the repository depends on, which no image of AWS has; images are named by "
            "whoever deploys (sentinel:prove_images), and others are refused.",
        )
        return project

    def _allow(self, deployment: Deployment, bucket: aws_s3.IBucket, key: aws_kms.IKey | None) -> None:
        images = [IMAGE.fullmatch(each) for each in deployment.prove_image_list]
        places = sorted({found.group(1, 2, 3) for found in images if found})
        arns = [
            f"arn:{Aws.PARTITION}:ecr:{region}:{owner}:repository/{name}" for owner, region, name in places
        ]
        statements = [
            access.allow(["logs:CreateLogStream", "logs:PutLogEvents"], [self._log.log_group_arn]),
            access.allow(["s3:GetObject"], [bucket.arn_for_objects(f"{JOBS}*")]),
            access.allow(["s3:PutObject"], [bucket.arn_for_objects(f"{REPORTS}*")]),
            access.allow([f"ecr:{action}" for action in _PULL], arns),
            access.allow(["ecr:GetAuthorizationToken"], ["*"]),
        ]
        if key:
            statements.append(access.use_key(key, "s3"))
        for statement in statements:
            self.role.add_to_policy(statement)
        policy = self.role.node.find_child("DefaultPolicy")
        for folder in (JOBS, REPORTS):
            accept_objects(policy, bucket, folder)
        acknowledge(
            policy,
            "AwsSolutions-IAM5[Resource::*]",
            "A token for the registry of images has no resource; what may be pulled with it is named above.",
        )
