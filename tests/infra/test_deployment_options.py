"""The options of a deployment: read as typed, refused with a reason, each documented."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from infra.config import PREFIX, BadOption, Deployment

IMAGES = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/prove:1"
ROOT = Path(__file__).resolve().parents[2]


DOMAIN = {"domain_name": "a.example.com", "certificate_arn": "arn:x"}


def read(**options: object) -> Deployment:
    """Return a deployment with options as the command line or `cdk.json` gives them."""
    return Deployment.from_context({f"{PREFIX}{name}": value for name, value in options.items()})


def test_options_are_text_or_typed() -> None:
    """The command line gives text, `cdk.json` gives JSON: both mean the same."""
    text = read(keep="false", lanes="4", availability_zones="eu-west-1b, eu-west-1c", egress_ports="443,9200")
    typed = read(
        keep=False, lanes=4, availability_zones=["eu-west-1b", "eu-west-1c"], egress_ports=[443, 9200]
    )
    assert text == typed
    assert text.zones == ("eu-west-1b", "eu-west-1c")
    assert text.egress_ports == (443, 9200)


def test_defaults_follow_from_each_other() -> None:
    """Zones follow the region and the secret prefix the environment, until they are given."""
    made = read(region="eu-north-1", environment="prod")
    assert made.zones == ("eu-north-1a", "eu-north-1b")
    assert made.secrets == "sentinel/prod/"
    assert made.own_cache
    assert read(secret_prefix="mine/").secrets == "mine/"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"patches": True}, "needs prove_images"),
        ({"prove_images": IMAGES}, "goes with patches"),
        ({"patches": True, "prove_images": "docker.io/library/python:3"}, "are of ECR"),
        ({"lane": 1}, "there is no option sentinel:lane"),
        ({"lanes": "many"}, "a whole number"),
        ({"keep": "perhaps"}, "true or false"),
        ({"egress_ports": "https"}, "whole numbers"),
        ({"lanes": 0}, "lanes is 1 to 64"),
        ({"lanes": 65}, "lanes is 1 to 64"),
        ({"detect_parallelism": 11}, "1 to 10"),
        ({"environment": "Prod"}, "environment"),
        ({"environment": "a-name-that-is-long"}, "environment"),
        ({"python": "3.11"}, "python is one of"),
        ({"log_retention_days": 31}, "log_retention_days"),
        ({"redis_url": "http://x"}, "redis://"),
        ({"redis_url": "rediss://user:word@x"}, "redis_secret"),
        ({"redis_secret": "x"}, "redis_secret goes with redis_url"),
        ({"vpc_id": "vpc-1"}, "go with redis_url"),
        ({"redis_url": "redis://x", "vpc_id": "vpc-1"}, "go together"),
        (
            {"redis_url": "redis://x", "vpc_id": "v", "subnet_ids": "a,b,c", "security_group_ids": "s"},
            "one subnet for each",
        ),
        ({"log_level": "LOUD"}, "log_level"),
        ({"availability_zones": "eu-west-1a"}, "availability_zones"),
        ({"domain_name": "api.example.com"}, "certificate_arn go together"),
        ({"certificate_arn": "arn:x"}, "certificate_arn go together"),
        ({"hooks_domain_name": "hooks.example.com"}, "hooks_certificate_arn go together"),
        ({"trust_store_version": "v1"}, "go with domain_name"),
        ({"ownership_certificate_arn": "arn:x"}, "go with domain_name"),
        ({**DOMAIN, "hooks_domain_name": "a.example.com", "hooks_certificate_arn": "arn:x"}, "is another"),
        ({"default_endpoint": True}, "needs client_certificate_header"),
        ({**DOMAIN, "default_endpoint": True, "client_certificate_header": "x"}, "a way around"),
        ({"default_endpoint": True, "client_certificate_header": "x"}, "needs ingress_addresses"),
        (
            {"default_endpoint": True, "client_certificate_header": "x", "ingress_addresses": "10.0.0.1/8"},
            "address ranges as",
        ),
        ({"client_certificate_header": "x"}, "go with default_endpoint"),
        ({**DOMAIN, "client_certificate_header": "x"}, "go with default_endpoint"),
        ({"ingress_addresses": "10.0.0.0/8"}, "go with default_endpoint"),
        ({"authorizer_cache_seconds": 301}, "0 to 300"),
        ({"authorizer_cache_certificate": False}, "stolen tokens pass"),
        ({"tls_policy": "TLS_1_0"}, "tls_policy is"),
        ({"token_throttle_rate": 200}, "are below throttle_rate"),
        ({"throttle_burst": 100}, "are below throttle_rate"),
        ({"ca_keys": 0}, "ca_keys is 1 to 9"),
        ({"layer_target": "arm64"}, "layer_target is one of"),
        ({"secret_prefix": "sentinel-"}, "apart from sentinel-doors/dev/"),
        ({"secret_prefix": "sentinel-doors/dev/hooks."}, "apart from sentinel-doors/dev/"),
        ({"secret_prefix": "*"}, "secret_prefix is of"),
        ({"action_roles": "notify=*"}, "a role is written arn:aws:iam::ACCOUNT:role/NAME"),
        ({"action_roles": "notify=arn:aws:iam::111122223333:role/*"}, "a role is written"),
        ({"action_roles": "notify=arn:aws:iam::111122223333:root"}, "a role is written"),
        ({"action_functions": "*restart"}, "at the end of a name"),
        ({"action_services": "cart"}, "cluster/service"),
        ({"k8s_clusters": "prod=http://10.0.0.1"}, "begins with https://"),
        ({"terraform_url": "http://tfe.internal"}, "begins with https://"),
        ({"proxy": "reports"}, "^proxy: "),
        ({"proxy": "reports=ftp://reports.example.com"}, "^proxy: "),
        ({"oidc_issuers": "https://issuer.example.com"}, "^oidc_issuers: "),
    ],
)
def test_what_cannot_be_deployed_is_refused(options: dict[str, object], said: str) -> None:
    """A wrong option stops synthesis with a message that names it."""
    with pytest.raises(BadOption, match=said.replace("[", r"\[")):
        read(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"lanes": 1},
        {"lanes": 64},
        {"environment": "a"},
        {"python": "3.14"},
        {"default_endpoint": True, "client_certificate_header": "x", "ingress_addresses": "0.0.0.0/0"},
        {"default_endpoint": True, "client_certificate_header": "x", "ingress_addresses": "10.0.0.1"},
    ],
)
def test_the_limits_themselves_are_allowed(options: dict[str, object]) -> None:
    """What stands just inside a limit is taken."""
    assert read(**options)


def test_every_option_is_documented() -> None:
    """`docs/deploy.md` has every option with its description."""
    text = " ".join((ROOT / "docs" / "deploy.md").read_text().split())
    for option in fields(Deployment):
        assert f"`{option.name}`" in text, option.name
        assert option.metadata["doc"] in text, option.name
