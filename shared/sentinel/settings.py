"""Settings: every knob of a deployment, once. CDK writes them, `bootstrap` reads them.

Each field is one environment variable: `SENTINEL_` and the field's name in capitals. Secrets never travel
here; a field that ends in `_secret` holds the name (an ARN in AWS) under which the secret is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sentinel.errors import Malformed

PREFIX = "SENTINEL_"
SIGNED = ("off", "required")
# What the origins of checkpoints begin with: a host, and a path where one is wanted (C2SP tlog-checkpoint).
LOG_NAME = re.compile(r"(?=.{1,100}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_RANGES = {"witness_quorum": (0, 16), "lanes": (1, 64), "door_seconds": (0, 60), "worker_threads": (1, 64)}
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one deployment. An empty `ledger_table` means SQLite below `home`."""

    home: str = _setting(".sentinel", "folder of all local data; unused where tables are set")
    ledger_table: str = _setting("", "DynamoDB table of the ledger; empty: SQLite")
    tasks_table: str = _setting("", "DynamoDB table of tasks, lineage and effects")
    catalog_table: str = _setting(
        "", "DynamoDB table of documents: rules, recipes, sinks, accounts, deliveries"
    )
    counters_table: str = _setting("", "DynamoDB table of the state of correlations, limits and pauses")
    alerts_table: str = _setting("", "DynamoDB table of the alerts that webhooks told")
    redis_url: str = _setting("", "redis:// or rediss:// address of Redis or Valkey; empty: no queue")
    redis_cluster: bool = _setting(False, "whether that address is a cluster (ElastiCache Serverless is)")
    redis_user: str = _setting("", "user of IAM authentication at ElastiCache; empty: none")
    redis_cache: str = _setting("", "name of the ElastiCache cache, for IAM authentication")
    redis_secret: str = _setting("", "name of the secret with the password of an outside Redis")
    secret_prefix: str = _setting("", "prefix of the names under which sinks' secrets are looked up")
    lanes: int = _setting(1, "chains a service is spread over that has no number of its own, 1 to 64")
    http_hosts: str = _setting("", "hosts that steps may call, comma separated; *.example.com for all below")
    http_private: bool = _setting(False, "whether steps may call loopback and private addresses")
    aws_roles: str = _setting("", "roles of actions in AWS as action=role ARN, comma separated; empty: off")
    aws_functions: str = _setting("", "Lambda functions that steps may run, comma separated; x* for all such")
    aws_documents: str = _setting("", "Systems Manager documents that steps may run, comma separated")
    aws_services: str = _setting("", "ECS services that steps may touch, as cluster/service or with =1..6")
    aws_topics: str = _setting("", "ARNs of SNS topics that steps may tell, comma separated")
    aws_buckets: str = _setting("", "S3 buckets that sinks may put objects into, comma separated")
    k8s_clusters: str = _setting("", "Kubernetes clusters as name=https://server, comma separated")
    k8s_deployments: str = _setting(
        "", "cluster/namespace/deployment that steps may restart, comma separated"
    )
    terraform_url: str = _setting("https://app.terraform.io", "server of Terraform workspaces")
    terraform_workspaces: str = _setting("", "ids of workspaces in which steps may plan, comma separated")
    git_folders: str = _setting(
        "", "git repositories of this machine for which patches are made, whole paths, comma separated"
    )
    blobs_bucket: str = _setting("", "S3 bucket of trees, prompts, replies and patches; empty: a folder")
    prove_project: str = _setting("", "CodeBuild project that tries patches; empty: a sandbox here")
    prove_images: str = _setting("", "images in which that project may try patches, comma separated")
    log: str = _setting(
        "sentinel.local", "name of the transparency log: what the origins of checkpoints begin with"
    )
    log_key: str = _setting("", "KMS key that signs checkpoints; empty: a file below `home`")
    record_function: str = _setting(
        "", "Lambda function that signs the records of erasures; empty: the file that signs checkpoints"
    )
    log_bucket: str = _setting("", "S3 bucket of checkpoints, with Object Lock; empty: a folder below `home`")
    archive_bucket: str = _setting(
        "", "S3 bucket of tiles and archived segments; empty: a folder below `home`"
    )
    witnesses: str = _setting("", "witnesses of checkpoints as URL=vkey, comma separated; empty: none")
    witness_quorum: int = _setting(0, "how many witnesses have to cosign, or it is told; 0: all of them")
    timestamp_url: str = _setting("", "RFC 3161 timestamp authority of checkpoints; empty: none")
    keys_table: str = _setting("", "DynamoDB table of wrapped data keys; empty: SQLite")
    data_key: str = _setting(
        "", "KMS key that wraps the data keys of encrypted services; empty: a file below `home`"
    )
    registry_table: str = _setting("", "DynamoDB table of services, keys, certificates and hooks")
    issuer: str = _setting("https://sentinel.local", "issuer of the access tokens: https, no path but `/`")
    audience: str = _setting("sentinel", "audience that access tokens must name")
    trust_domain: str = _setting("sentinel.local", "SPIFFE trust domain of the own CA's certificates")
    signing_secret: str = _setting("signing-keys", "name of the secret with the keys that sign access tokens")
    door_prefix: str = _setting("", "prefix of the names of the doors' own secrets")
    ca_key: str = _setting("", "KMS key of the own CA; empty: a sealed file below `home`")
    ca_secret: str = _setting("ca-passphrase", "name of the secret that unseals the own CA's file")
    key_prefix: str = _setting("services.", "what the names of secrets with API keys begin with")
    hook_prefix: str = _setting("hooks.", "what the names of secrets of webhooks begin with")
    oidc_issuers: str = _setting("", "outside issuers as issuer=audience, comma separated; empty: none")
    client_certificate_header: str = _setting(
        "", "header with the certificate that a proxy in front verified; empty: headers are never believed"
    )
    door_seconds: int = _setting(10, "how long a door uses what it read of the registry, 0 to 60")
    limits: bool = _setting(True, "whether services are held to the limits of their tiers")
    proxy: str = _setting("", "upstreams as name=https://host:port/path, comma separated; empty: none")
    proxy_seconds: int = _setting(25, "how long an upstream may take to answer, in seconds")
    proxy_bytes: int = _setting(4_000_000, "largest body that is passed on, either way, in bytes")
    truststore: str = _setting("", "s3://bucket/key of the trust store; empty: a file below `home`")
    domain: str = _setting("", "custom domain of the service API, whose trust store is kept up to date")
    usage_plans: str = _setting("", "tier=usage plan pairs of API Gateway, comma separated; empty: none")
    approve_url: str = _setting("", "address of the webhook API in links to approve; empty: none are made")
    worker_functions: str = _setting("", "stream=function pairs that dispatch wakes, comma separated")
    catalog_seconds: int = _setting(30, "how long rules and recipes are used before asking for newer ones")
    recipes_signed: str = _setting(
        "off",
        "off or required: whether rules, recipes and all documents beside count only if signed",
    )
    drain_block_ms: int = _setting(0, "how long a worker waits for its first hint, in milliseconds")
    worker_threads: int = _setting(8, "tasks that one worker of `sentinel up` runs at once, 1 to 64")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read settings from environment variables. Raises `Malformed` with the name of a bad one."""
        found: dict[str, object] = {}
        for each in fields(cls):
            text = environ.get(PREFIX + each.name.upper())
            if text is not None:
                found[each.name] = _parse(each.name, text, type(each.default))
        settings = cls(**found)  # type: ignore[arg-type]
        _check(settings)
        return settings

    def to_environ(self) -> dict[str, str]:
        """Return the environment variables that give these settings; defaults are left out."""
        return {
            PREFIX + each.name.upper(): _text(getattr(self, each.name))
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }


def _check(settings: Settings) -> None:
    """Raise `Malformed` with the name of a setting that cannot be used."""
    for name, (least, most) in _RANGES.items():
        if not least <= getattr(settings, name) <= most:
            told = f"{PREFIX}{name.upper()} is {getattr(settings, name)}"
            raise Malformed(f"{told}; it may be {least} to {most}")
    if settings.log_level not in LOG_LEVELS:
        raise Malformed(f"{PREFIX}LOG_LEVEL is one of {', '.join(LOG_LEVELS)}")
    if not LOG_NAME.fullmatch(settings.log):
        raise Malformed(f"{PREFIX}LOG is a name as example.com/log: letters, digits and . _ - /")
    if settings.recipes_signed not in SIGNED:
        raise Malformed(f"{PREFIX}RECIPES_SIGNED is one of {', '.join(SIGNED)}")
    if settings.redis_url and not settings.redis_url.startswith(REDIS_SCHEMES):
        raise Malformed(f"{PREFIX}REDIS_URL begins with {', '.join(REDIS_SCHEMES)}")  # never quoted


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(name: str, text: str, kind: type) -> object:
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False, "": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        raise Malformed(f"{PREFIX}{name.upper()} is not a valid {kind.__name__}") from None
