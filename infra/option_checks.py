"""What options of a deployment go together: every rule once, each with what to say where it is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING

from sentinel.core.grants import parse as parse_grants
from sentinel.core.issuers import parse_issuers
from sentinel.core.upstreams import parse_upstreams
from sentinel.errors import Malformed
from sentinel.settings import LOG_NAME

if TYPE_CHECKING:
    from infra.config import Deployment

RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2557, 3653)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PYTHONS = ("3.12", "3.13", "3.14")
SIGNED = ("off", "required")
TARGETS = ("lambda", "host")
# An image of a private registry, by its tag or its digest: account, region, repository.
IMAGE = re.compile(
    r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9][a-z0-9._/-]{1,254})"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"
)
PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(?:user|role)/[\w+=,.@/-]{1,512}")
ANYBODY = "0.0.0.0/0"
ENHANCED = "SecurityPolicy_"  # what the names of API Gateway's newer TLS policies begin with


def problems(to: Deployment) -> Iterator[str]:
    """Yield what is wrong with the options of a deployment, each as a sentence that says what to change."""
    checks = (*_of_state(to), *_of_doors(to), *_of_patches(to))
    yield from (message for bad, message in checks if bad)
    # The functions read these lists at their first request, when it is too late to say so to who deploys.
    lists: tuple[tuple[str, Callable[[], object]], ...] = (
        ("what steps may touch", lambda: parse_grants(to.action_settings)),
        ("proxy", lambda: parse_upstreams(to.proxy)),
        ("oidc_issuers", lambda: parse_issuers(to.oidc_issuers)),
    )
    for name, parse in lists:
        try:
            parse()
        except Malformed as error:
            yield f"{name}: {error}"


def _of_state(to: Deployment) -> tuple[tuple[bool, str], ...]:
    place = (to.vpc_id, to.subnet_ids, to.security_group_ids)
    return (
        (
            not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", to.environment),
            "environment is up to 16 of a-z, 0-9 and -, beginning with a letter",
        ),
        (
            not all(PRINCIPAL.fullmatch(each) for each in to.erasers),
            "erasers are ARNs of IAM users and roles, each arn:aws:iam::ACCOUNT:user/NAME or :role/NAME",
        ),
        (to.log_retention_days not in RETENTION_DAYS, f"log_retention_days is one of {RETENTION_DAYS}"),
        (to.python not in PYTHONS, f"python is one of {', '.join(PYTHONS)}"),
        (to.archive_cold_days < 0, "archive_cold_days is a number of days, or 0"),
        (to.recipes_signed not in SIGNED, f"recipes_signed is one of {', '.join(SIGNED)}"),
        (
            not LOG_NAME.fullmatch(to.log_name),
            "log_name is up to 100 letters, digits and . _ - between slashes, as example.com/log",
        ),
        (to.seal_concurrency < 0, "seal_concurrency is 0 or more"),
        (not 1 <= to.checkpoint_days <= 36_500, "checkpoint_days is 1 to 36500"),
        (to.log_level not in LEVELS, f"log_level is one of {', '.join(LEVELS)}"),
        (len(to.zones) < 2, "availability_zones has two zones at least"),
        (not 1 <= to.lanes <= 64, "lanes is 1 to 64"),
        (not 1 <= to.detect_parallelism <= 10, "detect_parallelism is 1 to 10"),
        (
            "@" in to.redis_url,
            "redis_url holds no user or password: name a secret in redis_secret instead",
        ),
        (
            bool(to.redis_url) and not to.redis_url.startswith(("redis://", "rediss://")),
            "redis_url begins with redis:// or rediss://",
        ),
        (bool(to.redis_secret) and not to.redis_url, "redis_secret goes with redis_url"),
        (
            any(place) and not to.redis_url,
            "vpc_id, subnet_ids and security_group_ids go with redis_url",
        ),
        (any(place) and not all(place), "vpc_id, subnet_ids and security_group_ids go together"),
        (
            bool(to.subnet_ids) and len(to.subnet_ids) != len(to.zones),
            "subnet_ids has one subnet for each of availability_zones",
        ),
    )


def _of_doors(to: Deployment) -> tuple[tuple[bool, str], ...]:
    behind = (to.client_certificate_header, to.ingress_addresses)
    return (
        (
            bool(to.domain_name) != bool(to.certificate_arn),
            "domain_name and certificate_arn go together",
        ),
        (
            bool(to.hooks_domain_name) != bool(to.hooks_certificate_arn),
            "hooks_domain_name and hooks_certificate_arn go together",
        ),
        (
            not to.domain_name and bool(to.ownership_certificate_arn or to.trust_store_version),
            "ownership_certificate_arn and trust_store_version go with domain_name",
        ),
        (
            bool(to.domain_name) and to.domain_name == to.hooks_domain_name,
            "hooks_domain_name is another than domain_name: webhooks come without certificates",
        ),
        (
            to.default_endpoint and bool(to.domain_name),
            "default_endpoint would be a way around the mutual TLS of domain_name",
        ),
        (
            to.default_endpoint and not to.client_certificate_header,
            "default_endpoint needs client_certificate_header, or no caller has a certificate",
        ),
        (
            any(behind) and not to.default_endpoint,
            "client_certificate_header and ingress_addresses go with default_endpoint",
        ),
        (
            to.default_endpoint and not to.ingress_addresses,
            f"default_endpoint needs ingress_addresses, the proxy's ranges; {ANYBODY} lets anybody in",
        ),
        (
            not all(map(_is_range, to.ingress_addresses)),
            "ingress_addresses are address ranges as 10.0.0.0/8",
        ),
        # What it said has the service's lanes, which are not believed for longer (`core.lanes.LEASE`).
        (not 0 <= to.authorizer_cache_seconds <= 300, "authorizer_cache_seconds is 0 to 300"),
        (
            bool(to.authorizer_cache_seconds) and not to.authorizer_cache_certificate,
            "authorizer_cache_certificate off needs authorizer_cache_seconds 0, or stolen tokens pass",
        ),
        (
            not 0 < to.token_throttle_rate < to.throttle_rate
            or not 0 < to.token_throttle_burst < to.throttle_burst,
            "token_throttle_rate and token_throttle_burst are below throttle_rate and throttle_burst",
        ),
        (not 1 <= to.ca_keys <= 9, "ca_keys is 1 to 9"),
        (
            not re.fullmatch(r"[A-Za-z0-9/_+=.@-]+", to.secrets)
            or to.door_prefix.startswith(to.secrets)
            or to.secrets.startswith(to.door_prefix),
            f"secret_prefix is of A-Z, a-z, 0-9 and /_+=.@-, and apart from {to.door_prefix}",
        ),
        (to.layer_target not in TARGETS, f"layer_target is one of {', '.join(TARGETS)}"),
        (
            not (to.tls_policy == "TLS_1_2" or to.tls_policy.startswith(ENHANCED)),
            f"tls_policy is TLS_1_2 or begins with {ENHANCED}",
        ),
    )


def _of_patches(to: Deployment) -> tuple[tuple[bool, str], ...]:
    images = to.prove_image_list
    return (
        (to.patches and not images, "patches needs prove_images, or no patch can be proven"),
        (bool(images) and not to.patches, "prove_images goes with patches"),
        (
            not all(map(IMAGE.fullmatch, images)),
            "prove_images are of ECR, as 111122223333.dkr.ecr.eu-central-1.amazonaws.com/prove:1",
        ),
    )


def _is_range(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
