"""The cache and its network, and the deployments that have neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sentinel.settings import Settings

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

LIMITED = {"ingest", "control", "token", "receive", "proxy"}
CACHED = {"dispatch", "sweep", "work_siem", "work_action"} | LIMITED  # they use Redis
NETWORKED = {"deliver"} | CACHED
PLACE = {
    "vpc_id": "vpc-0123456789abcdef0",
    "subnet_ids": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "security_group_ids": "sg-0123456789abcdef0",
}


def _settings(templates: Templates, verb: str) -> Settings:
    variables = templates.functions()[verb]["Properties"]["Environment"]["Variables"]
    return Settings.from_environ({name: templates.text(value) for name, value in variables.items()})


def _networked(templates: Templates) -> set[str]:
    return {verb for verb, function in templates.functions().items() if "VpcConfig" in function["Properties"]}


def test_only_what_needs_redis_is_in_the_network(templates: Templates) -> None:
    """What uses Redis or reaches sinks is in the VPC; detect, authorizer, CA and rotation stay out of it."""
    assert _networked(templates) == NETWORKED


@pytest.mark.nightly
def test_without_limits_the_doors_leave_the_network(synthesize: Callable[..., Templates]) -> None:
    """What needs Redis for limits only is out of the VPC without them; the proxy reaches upstreams."""
    made = synthesize(limits=False)
    assert _networked(made) == NETWORKED - LIMITED | {"proxy"}
    for verb in LIMITED:
        assert not _settings(made, verb).limits
        assert not _settings(made, verb).redis_url


def test_the_cache_is_reached_by_iam_and_tls(templates: Templates) -> None:
    """The cache's one user logs in by IAM, on the queue's own keys; functions connect by TLS as that user."""
    (user,) = templates.of("AWS::ElastiCache::User").values()
    found = user["Properties"]
    assert found["AuthenticationMode"] == {"Type": "iam"}
    assert found["UserId"] == found["UserName"] == "sentinel-dev"
    words = found["AccessString"].split()
    assert words[:4] == ["on", "~sentinel:*", "resetchannels", "-@all"]
    assert not {"+@all", "allcommands", "~*", "allkeys", "+@admin", "+@dangerous", "nopass"} & set(words)
    assert not {"+@write", "+@read", "+@scripting", "+flushdb", "+flushall", "+keys", "+scan"} & set(words)
    for verb in CACHED:
        settings = _settings(templates, verb)
        assert settings.redis_url.startswith("rediss://")
        assert settings.redis_cluster
        assert settings.redis_user == settings.redis_cache == "sentinel-dev"
        assert not settings.redis_secret


def test_only_networked_roles_may_connect(templates: Templates) -> None:
    """The right to connect to the cache goes to the functions that use it."""
    (cache,) = templates.of("AWS::ElastiCache::ServerlessCache")
    for verb, function in templates.functions().items():
        may = templates.allows(templates.role_of(function), "elasticache:Connect", f"arn:aws:{cache}:ARN")
        assert may == (verb in CACHED), verb


def test_nobody_reaches_the_cache_from_outside(templates: Templates) -> None:
    """No security group lets anything in but functions of this deployment, at the cache's ports."""
    groups = templates.of("AWS::EC2::SecurityGroup").values()
    assert not [group for group in groups if "SecurityGroupIngress" in group["Properties"]]
    ingress = [rule["Properties"] for rule in templates.of("AWS::EC2::SecurityGroupIngress").values()]
    assert ingress
    for rule in ingress:
        assert "SourceSecurityGroupId" in rule
        assert (rule["FromPort"], rule["ToPort"]) == (6379, 6380)


def _ways_out(templates: Templates) -> dict[str, set[int]]:
    return {
        group["Properties"]["GroupDescription"]: {
            rule["FromPort"]
            for rule in group["Properties"].get("SecurityGroupEgress", [])
            if rule.get("CidrIp") == "0.0.0.0/0"
        }
        for group in templates.of("AWS::EC2::SecurityGroup").values()
    }


@pytest.mark.nightly
def test_ways_out_are_listed(templates: Templates, synthesize: Callable[..., Templates]) -> None:
    """Workers reach the listed ports, the other functions HTTPS, the cache nothing."""
    out = _ways_out(templates)
    assert out["Functions that reach sinks"] == {443, 8088}
    assert out["Functions that call AWS and the cache"] == {443}
    assert not out["The cache"] - {0, 252, 255}  # a rule that matches nothing stands for none
    wider = _ways_out(synthesize(egress_ports="443,9200"))
    assert wider["Functions that reach sinks"] == {443, 9200}


def test_the_cache_stands_in_a_stack_of_its_own(templates: Templates) -> None:
    """What other deployment targets lack is in the network stack alone."""
    for name in ("SentinelState", "SentinelService"):
        kinds = {resource["Type"] for resource in templates.stack(name)["Resources"].values()}
        assert not {kind for kind in kinds if kind.startswith(("AWS::EC2", "AWS::ElastiCache"))}, name


def test_an_outside_redis_needs_no_network(outside: Templates) -> None:
    """With an outside Redis there is no network stack and no function in a VPC."""
    kinds = {
        resource["Type"] for stack in outside.stacks.values() for resource in stack["Resources"].values()
    }
    assert not {kind for kind in kinds if kind.startswith(("AWS::EC2", "AWS::ElastiCache"))}
    assert not _networked(outside)
    assert len(outside.stacks) == 2


def test_an_outside_redis_is_told_by_name(outside: Templates) -> None:
    """What uses Redis learns address and secret's name, and may read it; of the others `deliver` alone may.

    It reads the secrets of sinks, and Redis's has its name among theirs.
    """
    arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:sentinel/dev/outside-redis-AbCdEf"
    for verb, function in outside.functions().items():
        may = outside.allows(outside.role_of(function), "secretsmanager:GetSecretValue", arn)
        assert may == (verb in NETWORKED), verb
        settings = _settings(outside, verb)
        if verb in CACHED:
            assert settings.redis_url == "rediss://cache.example.com:6380"
            assert settings.secret_prefix + settings.redis_secret == "sentinel/dev/outside-redis"
            assert not settings.redis_user
        else:
            assert not settings.redis_url


@pytest.mark.nightly
def test_an_outside_redis_can_be_private(synthesize: Callable[..., Templates]) -> None:
    """Given a VPC, the functions that use Redis are placed in its subnets, and nothing is made there."""
    made = synthesize(redis_url="rediss://10.0.0.5:6379", **PLACE)
    assert _networked(made) == NETWORKED
    placed: dict[str, Any] = made.functions()["dispatch"]["Properties"]["VpcConfig"]
    assert placed["SubnetIds"] == PLACE["subnet_ids"].split(",")
    assert placed["SecurityGroupIds"] == [PLACE["security_group_ids"]]
    assert len(made.stacks) == 2


@pytest.mark.nightly
def test_aws_services_can_be_kept_off_the_nat(synthesize: Callable[..., Templates]) -> None:
    """The option adds interface endpoints that only functions of the deployment reach."""
    made = synthesize(interface_endpoints=True)
    endpoints = made.of("AWS::EC2::VPCEndpoint").values()
    kinds = [endpoint["Properties"]["VpcEndpointType"] for endpoint in endpoints]
    assert sorted(kinds) == ["Gateway"] * 2 + ["Interface"] * 3
