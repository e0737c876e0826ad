"""One Lambda function from its folder: role, log group, layers, environment, tracing.

The role begins with what every function needs: its own log group and X-Ray. Everything else is a statement
that its user adds by `allow`, so that the policy of a function can be read in one place (`functions.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, aws_ec2, aws_iam, aws_kms, aws_lambda, aws_logs
from constructs import Construct, IConstruct

from infra import access
from infra.bundle import ROOT
from infra.config import Deployment
from infra.layers import Layers
from infra.nag import acknowledge
from infra.network import Placement
from sentinel.settings import Settings

RETENTION = {
    days: aws_logs.RetentionDays[name]
    for days, name in {
        1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH",
        60: "TWO_MONTHS", 90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS", 180: "SIX_MONTHS",
        365: "ONE_YEAR", 400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS", 731: "TWO_YEARS",
        1096: "THREE_YEARS", 1827: "FIVE_YEARS", 2557: "SEVEN_YEARS", 3653: "TEN_YEARS",
    }.items()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Platform:
    """What all functions of a deployment share. `key` encrypts logs and tables; None: AWS's own keys."""

    deployment: Deployment
    layers: Layers
    placement: Placement | None
    key: aws_kms.IKey | None


@dataclass(frozen=True, slots=True)
class Spec:
    """What one function is. `verb` is its folder below `functions/`; memory in MB, timeout in seconds.

    `network` says which security groups it gets, if there is a network. `hinted` is for a function that is
    woken by hints: a ring that cannot be answered at once is dropped, since its schedule rings again anyway.
    `sdks`: it has the layer with the SDKs of models. `named`: its role has a name of its
    own, and where it is `known` the function, too, since what is kept says it, and is made before it.
    """

    verb: str
    settings: Settings
    memory: int
    timeout: int
    network: str = ""
    hinted: bool = False
    reserved: int = 0
    sdks: bool = False
    named: bool = False
    known: bool = False


class Function(Construct):
    """`function` is the Lambda function, `role` its role; `allow` adds to what it may do."""

    def __init__(self, scope: Construct, construct_id: str, platform: Platform, spec: Spec) -> None:
        super().__init__(scope, construct_id)
        self.log_group = aws_logs.LogGroup(
            self,
            "Log",
            retention=RETENTION[platform.deployment.log_retention_days],
            encryption_key=platform.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            role_name=platform.deployment.name_of(spec.verb) if spec.named else None,
        )
        groups = _groups(platform, spec)
        self._base(networked=bool(groups))
        self.function = self._make(platform, spec, groups)
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "The Python is an option (sentinel:python) and by default one for which all wheels of the layer "
            "exist; AWS supports it for years, and a new one is chosen by changing that, not by the rules.",
        )

    @property
    def policy(self) -> IConstruct:
        """The policy that holds the role's statements."""
        return self.role.node.find_child("DefaultPolicy")

    def allow(self, *statements: aws_iam.PolicyStatement) -> None:
        """Add statements to the function's role."""
        for statement in statements:
            self.role.add_to_policy(statement)

    def _base(self, *, networked: bool) -> None:
        """Give the role what any function needs, written out: AWS's managed policies cover all log groups."""
        self.allow(
            access.allow(["logs:CreateLogStream", "logs:PutLogEvents"], [self.log_group.log_group_arn]),
            # X-Ray has no resource-level permissions.
            access.allow(["xray:PutTelemetryRecords", "xray:PutTraceSegments"], ["*"]),
        )
        reason = "X-Ray's two write actions have no resource-level permissions; they only add trace segments."
        if networked:
            self.allow(*access.attach_to_network())
            reason += (
                " Attaching to a VPC needs network interfaces that do not exist yet, so EC2's actions cannot "
                "be limited to single ones; a deny keeps the function's own code from all of them."
            )
        acknowledge(self.policy, "AwsSolutions-IAM5[Resource::*]", reason)

    def _make(
        self, platform: Platform, spec: Spec, groups: list[aws_ec2.ISecurityGroup]
    ) -> aws_lambda.Function:
        placement = platform.placement if groups else None
        return aws_lambda.Function(
            self,
            "Function",
            description=f"Sentinel {platform.deployment.environment}: {spec.verb}",
            function_name=platform.deployment.name_of(spec.verb) if spec.known else None,
            runtime=platform.layers.runtime,
            architecture=aws_lambda.Architecture.ARM_64,
            code=aws_lambda.Code.from_asset(
                str(ROOT / "functions" / spec.verb), exclude=["**/__pycache__", "**/*.pyc"]
            ),
            handler="handler.handler",
            layers=[*platform.layers.all, *([platform.layers.ai] if spec.sdks else [])],
            role=self.role,
            log_group=self.log_group,
            # Not Lambda's JSON format: the functions write JSON themselves, and a level set there would drop
            # their metrics, which are log lines without a level.
            logging_format=aws_lambda.LoggingFormat.TEXT,
            environment={
                **spec.settings.to_environ(),
                "POWERTOOLS_LOG_LEVEL": platform.deployment.log_level,
            },
            environment_encryption=platform.key,
            memory_size=spec.memory,
            timeout=Duration.seconds(spec.timeout),
            tracing=aws_lambda.Tracing.ACTIVE,
            reserved_concurrent_executions=spec.reserved or None,
            retry_attempts=0 if spec.hinted else None,
            max_event_age=Duration.seconds(60) if spec.hinted else None,
            vpc=placement.vpc if placement else None,
            vpc_subnets=placement.subnets if placement else None,
            security_groups=groups if placement else None,
        )


def _groups(platform: Platform, spec: Spec) -> list[aws_ec2.ISecurityGroup]:
    if not platform.placement or not spec.network:
        return []
    return {"quiet": platform.placement.quiet, "workers": platform.placement.workers}[spec.network]
