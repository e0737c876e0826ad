"""Where functions meet Redis: the cache and VPC of this deployment, or an outside Redis.

What an own cache needs is a stack of its own, since its resource types are the ones that other deployment
targets lack and that cost money when idle. The cache knows one user, which logs in by IAM: no password
exists.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy, aws_ec2, aws_elasticache, aws_logs
from constructs import Construct

from infra.config import Deployment
from infra.nag import acknowledge

CACHE_PORTS = aws_ec2.Port.tcp_range(6379, 6380)  # the second reads from replicas
# What is done on our own keys: streams by the queue, one script and what it calls by the limits; and what a
# cluster client asks to find its way.
ACCESS = (
    "on ~sentinel:* resetchannels -@all +@stream +@connection +eval +evalsha +get +set +time"
    " +cluster|slots +cluster|shards +cluster|nodes +cluster|info +cluster|keyslot +command +info"
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where networked functions run. `workers` also reach out to sinks; the `quiet` ones only to AWS."""

    vpc: aws_ec2.IVpc
    subnets: aws_ec2.SubnetSelection
    quiet: list[aws_ec2.ISecurityGroup]
    workers: list[aws_ec2.ISecurityGroup]


@dataclass(frozen=True, slots=True)
class Redis:
    """How functions reach Redis, as in `Settings`. `connect` are the ARNs to connect to by IAM."""

    url: str
    cluster: bool
    user: str = ""
    cache: str = ""
    secret: str = ""
    connect: tuple[str, ...] = ()


def outside_redis(deployment: Deployment) -> Redis:
    """Return the Redis that the deployment's options name."""
    return Redis(deployment.redis_url, deployment.redis_cluster, secret=deployment.redis_secret)


def outside_placement(scope: Construct, deployment: Deployment) -> Placement | None:
    """Return the VPC through which an outside Redis is reached; None where that is the internet.

    Built from the options alone: a look-up would ask AWS at synthesis.
    """
    if not deployment.vpc_id:
        return None
    vpc = aws_ec2.Vpc.from_vpc_attributes(
        scope,
        "OutsideVpc",
        vpc_id=deployment.vpc_id,
        availability_zones=list(deployment.zones),
        private_subnet_ids=list(deployment.subnet_ids),
    )
    acknowledge(
        vpc,
        "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId",
        "Functions are placed in the subnets; their routes are the business of whoever made them.",
    )
    groups = [
        aws_ec2.SecurityGroup.from_security_group_id(scope, f"OutsideGroup{n}", group, mutable=False)
        for n, group in enumerate(deployment.security_group_ids)
    ]
    subnets = aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS)
    return Placement(vpc, subnets, groups, groups)


class Network(Construct):
    """The VPC: functions and cache in private subnets, a way out, DynamoDB and S3 without a detour."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self._deployment = deployment
        self.vpc = self._make_vpc()
        self.vpc.add_gateway_endpoint("DynamoDb", service=aws_ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        self.vpc.add_gateway_endpoint("S3", service=aws_ec2.GatewayVpcEndpointAwsService.S3)  # the archive
        self.quiet = self._group("Quiet", "Functions that call AWS and the cache", (443,))
        self.workers = self._group("Workers", "Functions that reach sinks", deployment.egress_ports)
        if deployment.interface_endpoints:
            self._add_interface_endpoints()
        self.placement = Placement(
            self.vpc,
            aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS),
            [self.quiet],
            [self.workers],
        )

    def _make_vpc(self) -> aws_ec2.Vpc:
        log = aws_logs.LogGroup(
            self,
            "FlowLog",
            retention=aws_logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        return aws_ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=aws_ec2.IpAddresses.cidr(self._deployment.vpc_cidr),
            availability_zones=list(self._deployment.zones),
            nat_gateways=self._deployment.nat_gateways,
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(
                    name="public",
                    subnet_type=aws_ec2.SubnetType.PUBLIC,
                    cidr_mask=26,
                    map_public_ip_on_launch=False,
                ),
                aws_ec2.SubnetConfiguration(
                    name="private", subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22
                ),
            ],
            flow_logs={
                "Rejected": aws_ec2.FlowLogOptions(
                    destination=aws_ec2.FlowLogDestination.to_cloud_watch_logs(log),
                    # What was refused is what an investigation asks for; the rest is volume.
                    traffic_type=aws_ec2.FlowLogTrafficType.REJECT,
                )
            },
        )

    def _group(self, name: str, description: str, ports: tuple[int, ...]) -> aws_ec2.SecurityGroup:
        group = aws_ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False
        )
        for port in ports:
            group.add_egress_rule(aws_ec2.Peer.any_ipv4(), aws_ec2.Port.tcp(port), "AWS and sinks")
        return group

    def _add_interface_endpoints(self) -> None:
        group = self._group("Endpoints", "Interface endpoints of AWS services", ())
        for each in (self.quiet, self.workers):
            group.add_ingress_rule(each, aws_ec2.Port.tcp(443), "functions of this deployment")
        for name, service in (
            ("Kms", aws_ec2.InterfaceVpcEndpointAwsService.KMS),
            ("Lambda", aws_ec2.InterfaceVpcEndpointAwsService.LAMBDA_),
            ("SecretsManager", aws_ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER),
        ):
            self.vpc.add_interface_endpoint(name, service=service, security_groups=[group], open=False)


class Cache(Construct):
    """ElastiCache Serverless for Valkey. `redis` is how functions reach it."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, network: Network) -> None:
        super().__init__(scope, construct_id)
        name = f"sentinel-{deployment.environment}"
        group = self._group(network)
        user = aws_elasticache.CfnUser(
            self,
            "User",
            engine="valkey",
            # IAM login wants the two names to be the same.
            user_id=name,
            user_name=name,
            access_string=ACCESS,
            authentication_mode={"Type": "iam"},
        )
        users = aws_elasticache.CfnUserGroup(
            self, "Users", engine="valkey", user_group_id=name, user_ids=[user.ref]
        )
        limits = aws_elasticache.CfnServerlessCache
        cache = aws_elasticache.CfnServerlessCache(
            self,
            "Cache",
            engine="valkey",
            major_engine_version="8",
            serverless_cache_name=name,
            description="Hints that tasks wait; nothing is lost with it",
            security_group_ids=[group.security_group_id],
            subnet_ids=[subnet.subnet_id for subnet in network.vpc.private_subnets],
            user_group_id=users.ref,
            # A bound on what a flood of tasks can cost; adds fail at it, and the sweep adds them again.
            cache_usage_limits=limits.CacheUsageLimitsProperty(
                data_storage=limits.DataStorageProperty(unit="GB", maximum=deployment.cache_max_gb),
                ecpu_per_second=limits.ECPUPerSecondProperty(maximum=deployment.cache_max_ecpu),
            ),
        )
        self.redis = Redis(
            url=f"rediss://{cache.attr_endpoint_address}:{cache.attr_endpoint_port}",
            cluster=True,
            user=name,
            cache=name,
            connect=(cache.attr_arn, user.attr_arn),
        )

    def _group(self, network: Network) -> aws_ec2.SecurityGroup:
        group = aws_ec2.SecurityGroup(
            self, "Group", vpc=network.vpc, description="The cache", allow_all_outbound=False
        )
        for each in (network.quiet, network.workers):
            group.add_ingress_rule(each, CACHE_PORTS, "functions of this deployment")
            each.add_egress_rule(group, CACHE_PORTS, "the cache")
        return group
