"""What a deployment may choose, typed and documented; `-c sentinel:<name>=...` or `cdk.json` sets it.

Everything has a default, so that synthesis needs no file, no account and no question to AWS. An option
that does not exist is refused by name: a misspelt one would otherwise deploy its default in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra import option_checks
from sentinel.settings import Settings

PREFIX = "sentinel:"


class BadOption(ValueError):
    """An option of the deployment is unknown or has a value that cannot be deployed."""


def _option(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Deployment:
    """The options of one deployment. Lists are comma separated where they are written as text."""

    environment: str = _option("dev", "name of the deployment; part of stack names and of the secret prefix")
    account: str = _option("", "AWS account; empty: that of whoever deploys")
    region: str = _option("eu-central-1", "AWS region")
    availability_zones: tuple[str, ...] = _option((), "zones of the network; empty: a and b of the region")
    keep: bool = _option(True, "whether the tables survive `cdk destroy` and refuse deletion")
    customer_key: bool = _option(False, "whether tables and logs use a KMS key of this deployment")
    own_encryption: bool = _option(
        False, "whether services may have data keys of their own: one more KMS key (docs/encryption.md)"
    )
    erasers: tuple[str, ...] = _option(
        (), "ARNs of who may take the role that erases entries, comma separated; empty: there is none"
    )
    log_retention_days: int = _option(30, "how long logs are kept, in days")
    log_level: str = _option("INFO", "DEBUG, INFO, WARNING or ERROR")
    python: str = _option("3.13", "Python of the functions: 3.12, 3.13 or 3.14")
    lanes: int = _option(1, "chains a service is spread over that has no number of its own, 1 to 64")
    log_name: str = _option(
        Settings().log, "name of the transparency log: what the origins of checkpoints begin with; for good"
    )
    checkpoint_days: int = _option(
        400, "how long nobody can delete a checkpoint, 1 to 36500 days: what is locked stays so"
    )
    seal_concurrency: int = _option(
        0, "reserved concurrency of the function that signs checkpoints; 0: none reserved"
    )
    witnesses: str = _option("", "witnesses of checkpoints as URL=vkey, comma separated; empty: none")
    witness_quorum: int = _option(0, "how many witnesses have to cosign, or it is told; 0: all of them")
    timestamp_url: str = _option("", "RFC 3161 timestamp authority of checkpoints; empty: none")
    http_hosts: str = _option("", "hosts that steps may call, comma separated; *.example.com for all below")
    http_private: bool = _option(False, "whether steps may call private addresses, as those in a VPC are")
    action_roles: str = _option("", "roles of actions in AWS as action=role ARN, comma separated; empty: off")
    action_functions: str = _option(
        "", "Lambda functions that steps may run, comma separated; x* for all such"
    )
    action_documents: str = _option("", "Systems Manager documents that steps may run, comma separated")
    action_services: str = _option("", "ECS services that steps may touch, as cluster/service or with =1..6")
    action_topics: str = _option("", "ARNs of SNS topics that steps may tell, comma separated")
    action_buckets: str = _option("", "S3 buckets that sinks may put objects into, comma separated")
    k8s_clusters: str = _option("", "Kubernetes clusters as name=https://server, comma separated")
    k8s_deployments: str = _option("", "cluster/namespace/deployment that steps may restart, comma separated")
    terraform_url: str = _option("https://app.terraform.io", "server of Terraform workspaces")
    terraform_workspaces: str = _option("", "ids of workspaces in which steps may plan, comma separated")
    patches: bool = _option(
        False, "whether patches are made: three more workers, a bucket and a build project"
    )
    prove_images: str = _option(
        "", "images in ECR in which patches are tried, comma separated; the first where none is named"
    )
    egress_ports: tuple[int, ...] = _option((443, 8088), "TCP ports that workers may reach outside the VPC")
    archive_cold_days: int = _option(
        0, "days after which archived segments move to S3 Glacier Instant Retrieval; 0: they stay"
    )
    recipes_signed: str = _option(
        "off",
        "off or required: whether rules, recipes and all documents beside count only if signed",
    )
    secret_prefix: str = _option("", "prefix of the sinks' secrets; empty: sentinel/<environment>/")
    worker_concurrency: int = _option(0, "reserved concurrency of each worker function; 0: none reserved")
    approve_concurrency: int = _option(
        0, "reserved concurrency of the function behind links to approve; 0: none"
    )
    detect_parallelism: int = _option(1, "concurrent batches a shard that detect takes, 1 to 10")
    alarm_topic: str = _option("", "ARN of the SNS topic that alarms go to; empty: they only show")
    throttle_rate: int = _option(200, "requests a second of the whole service API")
    throttle_burst: int = _option(400, "requests at once of the whole service API")
    token_throttle_rate: int = _option(50, "requests a second for access tokens, of those of the service API")
    token_throttle_burst: int = _option(
        100, "requests at once for access tokens, of those of the service API"
    )
    hooks_throttle_rate: int = _option(50, "requests a second of the whole webhook API")
    hooks_throttle_burst: int = _option(100, "requests at once of the whole webhook API")
    usage_plans: bool = _option(True, "whether the service API has a usage plan a tier and asks for its keys")
    web_acl_arn: str = _option("", "ARN of a WAF web ACL that stands before both APIs; empty: none")
    api_account_role: bool = _option(True, "whether to set the account's CloudWatch role of API Gateway")
    domain_name: str = _option("", "custom domain of the service API; empty: nobody can reach it")
    certificate_arn: str = _option("", "ARN of that domain's server certificate")
    ownership_certificate_arn: str = _option(
        "", "ARN of a public certificate that proves the domain's ownership, where the other is imported"
    )
    trust_store_version: str = _option("", "version of the trust store to begin with; empty: the newest")
    tls_policy: str = _option(
        "TLS_1_2", "TLS policy of the domain with mutual TLS, where AWS takes TLS_1_2 only"
    )
    default_endpoint: bool = _option(
        False, "whether the service API has an address without mutual TLS, for what stands behind a proxy"
    )
    client_certificate_header: str = _option(
        "", "header in which that proxy hands on the certificate that it verified"
    )
    ingress_addresses: tuple[str, ...] = _option(
        (), "address ranges of that proxy, the only ones that are let in; 0.0.0.0/0: anybody"
    )
    hooks_domain_name: str = _option("", "custom domain of the webhook API; empty: its default address")
    hooks_certificate_arn: str = _option("", "ARN of that domain's server certificate")
    authorizer_cache_seconds: int = _option(
        60, "how long API Gateway uses what the authorizer said, 0 to 300 seconds; 0: for one request"
    )
    authorizer_cache_certificate: bool = _option(
        True, "whether that is kept for each pair of token and certificate; needed for keeping it"
    )
    issuer: str = _option("", "issuer of the access tokens; empty: https:// and the service API's domain")
    audience: str = _option("sentinel", "audience that access tokens must name")
    trust_domain: str = _option("sentinel.local", "SPIFFE trust domain of the own CA's certificates")
    ca_keys: int = _option(1, "keys of the own CA, 1 to 9; one more for each rollover, the last is in use")
    oidc_issuers: str = _option("", "outside issuers as issuer=audience, comma separated; empty: none")
    proxy: str = _option("", "upstreams as name=https://host:port/path, comma separated; empty: none")
    limits: bool = _option(True, "whether services are held to the limits of their tiers")
    rotation: bool = _option(True, "whether Secrets Manager rotates the signing keys by itself")
    layer_target: str = _option(
        "lambda", "what layers are built for: lambda, or host, the machine that builds"
    )
    redis_url: str = _option("", "rediss:// address of an outside Redis; empty: a cache is created")
    redis_cluster: bool = _option(False, "whether the outside Redis is a cluster")
    redis_secret: str = _option("", "name below the secret prefix of the outside Redis' password")
    vpc_id: str = _option("", "VPC through which the outside Redis is reached; empty: over the internet")
    subnet_ids: tuple[str, ...] = _option((), "private subnets with egress in that VPC, one a zone")
    security_group_ids: tuple[str, ...] = _option((), "security groups for the functions in that VPC")
    vpc_cidr: str = _option("10.42.0.0/16", "address range of the VPC that is created with the cache")
    nat_gateways: int = _option(1, "NAT gateways of that VPC; one a zone survives the loss of a zone")
    interface_endpoints: bool = _option(
        False, "whether KMS, Lambda and Secrets Manager calls stay off the NAT"
    )
    cache_max_gb: int = _option(1, "upper limit of the cache's data in GB, 1 to 5000")
    cache_max_ecpu: int = _option(5000, "upper limit of the cache's ECPU a second, 1000 to 15000000")

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Deployment:
        """Read the options from CDK context. Raises `BadOption` naming what is unknown or impossible."""
        known = {each.name: each for each in fields(cls)}
        found: dict[str, Any] = {}
        for key, value in context.items():
            if not key.startswith(PREFIX):
                continue
            name = key.removeprefix(PREFIX)
            if name not in known:
                raise BadOption(f"there is no option {key}; there are {', '.join(sorted(known))}")
            found[name] = _parse(key, value, known[name].default)
        deployment = cls(**found)
        deployment.check()
        return deployment

    def check(self) -> None:
        """Raise `BadOption` for a combination that cannot be deployed."""
        for message in option_checks.problems(self):
            raise BadOption(message)

    @property
    def zones(self) -> tuple[str, ...]:
        """The availability zones, explicit so that synthesis never asks AWS for them."""
        return self.availability_zones or (f"{self.region}a", f"{self.region}b")

    @property
    def secrets(self) -> str:
        """The prefix below which the workers may read secrets."""
        return self.secret_prefix or f"sentinel/{self.environment}/"

    @property
    def action_settings(self) -> dict[str, str]:
        """The settings of the function that carries out actions which say what steps may touch."""
        return {
            "aws_roles": self.action_roles,
            "aws_functions": self.action_functions,
            "aws_documents": self.action_documents,
            "aws_services": self.action_services,
            "aws_topics": self.action_topics,
            "aws_buckets": self.action_buckets,
            "k8s_clusters": self.k8s_clusters,
            "k8s_deployments": self.k8s_deployments,
            "terraform_url": self.terraform_url,
            "terraform_workspaces": self.terraform_workspaces,
            "git_folders": "",  # a function has no repositories of its own
        }

    @property
    def prove_image_list(self) -> tuple[str, ...]:
        """The images in which patches are tried."""
        return tuple(filter(None, map(str.strip, self.prove_images.split(","))))

    def name_of(self, verb: str) -> str:
        """Return the name of a function and of its role, where it has to be known before there is one."""
        return f"sentinel-{self.environment}-{self.region}-{verb}"

    @property
    def door_prefix(self) -> str:
        """The prefix of the doors' own secrets, which no worker may read."""
        return f"sentinel-doors/{self.environment}/"

    @property
    def own_cache(self) -> bool:
        """Whether this deployment creates its cache, and with it its network."""
        return not self.redis_url


def _parse(key: str, value: Any, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(default, int):
            return int(value)
        if isinstance(default, tuple):
            return _parse_list(value, int if default and isinstance(default[0], int) else str)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", tuple: "a list of whole numbers"}[type(default)]
        raise BadOption(f"{key} is {value!r}, which is not {kind}") from None
    return str(value)


def _parse_list(value: Any, kind: type) -> tuple[Any, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(kind(part.strip() if isinstance(part, str) else part) for part in parts if part != "")
