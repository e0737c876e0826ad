"""Both REST APIs as deployed: their routes with the door of each, closed by default, quiet in their logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from infra.api import SERVICE_LOG
from infra.rest_api import ACCESS_LOG
from sentinel.core.access import TIERS
from sentinel.routes import HOOK_ROUTES, ROUTES, Route

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

APIS = {"sentinel-dev": ROUTES, "sentinel-dev-hooks": HOOK_ROUTES}
CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/7a1f0c1e-1111-4222-8333-444455556666"
HOOKS_CERTIFICATE = CERTIFICATE.replace("7a1f", "8b2e")
DOMAINS = {
    "domain_name": "api.example.com",
    "certificate_arn": CERTIFICATE,
    "hooks_domain_name": "hooks.example.com",
    "hooks_certificate_arn": HOOKS_CERTIFICATE,
}
MESH = {
    "default_endpoint": True,
    "client_certificate_header": "Client-Cert",
    "ingress_addresses": "0.0.0.0/0",
    "redis_url": "rediss://cache.example.com:6380",
}


@pytest.fixture(scope="module")
def named(synthesize: Callable[..., Templates]) -> Templates:
    """Return a deployment with both domains."""
    return synthesize(**DOMAINS, trust_store_version="v1")


def api(templates: Templates, name: str = "sentinel-dev") -> tuple[str, dict[str, Any]]:
    """Return the logical id and the properties of an API."""
    (found,) = [
        (logical, each["Properties"])
        for logical, each in templates.of("AWS::ApiGateway::RestApi").items()
        if each["Properties"]["Name"] == name
    ]
    return found


def _path(templates: Templates, resource: dict[str, Any]) -> str:
    """Return the path of what a method's `ResourceId` names."""
    if "Fn::GetAtt" in resource:
        return ""
    found = templates.of("AWS::ApiGateway::Resource")[resource["Ref"]]["Properties"]
    return f"{_path(templates, found['ParentId'])}/{found['PathPart']}"


def methods(templates: Templates, name: str = "sentinel-dev") -> dict[tuple[str, str], dict[str, Any]]:
    """Return the methods of an API by method and path."""
    logical, _ = api(templates, name)
    return {
        (found["HttpMethod"], _path(templates, found["ResourceId"])): found
        for found in (each["Properties"] for each in templates.of("AWS::ApiGateway::Method").values())
        if found["RestApiId"] == {"Ref": logical}
    }


def _function(templates: Templates, method: dict[str, Any]) -> str:
    uri = json.dumps(method["Integration"]["Uri"])
    names = {id(found): name for name, found in templates.of("AWS::Lambda::Function").items()}
    return next(verb for verb, found in templates.functions().items() if names[id(found)] in uri)


def _stages(templates: Templates) -> dict[str, dict[str, Any]]:
    """Return the stages' properties by the name of their API."""
    names = {api(templates, name)[0]: name for name in APIS}
    stages = templates.of("AWS::ApiGateway::Stage").values()
    return {names[each["Properties"]["RestApiId"]["Ref"]]: each["Properties"] for each in stages}


@pytest.mark.parametrize("name", APIS)
def test_an_api_has_its_routes_and_nothing_else(templates: Templates, name: str) -> None:
    """Methods and paths are those of `sentinel.routes`, each answered by its function."""
    found = {key: _function(templates, method) for key, method in methods(templates, name).items()}
    assert found == {(route.method, route.path): route.function for route in APIS[name]}
    total = sum(map(len, APIS.values()))
    assert len(templates.of("AWS::ApiGateway::Method")) == total


@pytest.mark.parametrize("route", ROUTES, ids=lambda each: f"{each.method} {each.path}")
def test_every_route_has_its_door(templates: Templates, route: Route) -> None:
    """A route whose door is `token` has the authorizer and a usage plan; others are behind mutual TLS only.

    Which door a route has is its own line in `sentinel.routes`: a route that is added is closed by default.
    """
    method = methods(templates)[route.method, route.path]
    (authorizer,) = templates.of("AWS::ApiGateway::Authorizer")
    if route.door == "token":
        assert method["AuthorizationType"] == "CUSTOM"
        assert method["AuthorizerId"] == {"Ref": authorizer}
        assert method["ApiKeyRequired"] is True
    else:
        assert route.door in {"key", "certificate"}
        assert (method["AuthorizationType"], method.get("ApiKeyRequired", False)) == ("NONE", False)


@pytest.mark.parametrize("route", HOOK_ROUTES, ids=lambda each: f"{each.method} {each.path}")
def test_webhooks_prove_themselves(templates: Templates, route: Route) -> None:
    """The webhook API has no authorizer, so nothing there may have a door that an authorizer would be."""
    method = methods(templates, "sentinel-dev-hooks")[route.method, route.path]
    assert route.door in {"signature", "secret", "link", "open"}
    assert method["AuthorizationType"] == "NONE"


def test_there_are_no_other_ways_in(templates: Templates) -> None:
    """No function has an address of its own, and there is no API of another kind."""
    assert not templates.of("AWS::ApiGatewayV2::Api")
    assert not templates.of("AWS::Lambda::Url")
    assert len(templates.of("AWS::ApiGateway::RestApi")) == 2


def test_without_a_domain_nobody_reaches_the_service_api(templates: Templates) -> None:
    """By default the default address is off and there is no domain: closed, not open."""
    _, service = api(templates)
    assert service["DisableExecuteApiEndpoint"] is True
    assert not templates.of("AWS::ApiGateway::DomainName")
    assert "Url" not in templates.stack("SentinelService")["Outputs"]


def test_the_service_api_is_behind_mutual_tls(named: Templates) -> None:
    """The one way to the service API is a domain that asks for a client certificate."""
    logical, service = api(named)
    assert service["DisableExecuteApiEndpoint"] is True
    domains = named.of("AWS::ApiGateway::DomainName")
    (name,) = [x for x, each in domains.items() if each["Properties"]["DomainName"] == "api.example.com"]
    found = domains[name]["Properties"]
    trust = found["MutualTlsAuthentication"]
    (bucket,) = [each for each in named.of("AWS::S3::Bucket") if each.startswith("Doors")]
    assert named.text(trust["TruststoreUri"]) == f"s3://{bucket}/roots.pem"
    assert trust["TruststoreVersion"] == "v1"
    assert found["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    # AWS refuses its newer policies on a domain with mutual TLS.
    assert found["SecurityPolicy"] == "TLS_1_2"
    assert "SecurityPolicy" not in service
    mapped = {
        (each["Properties"]["DomainName"]["Ref"], each["Properties"]["RestApiId"]["Ref"])
        for each in named.of("AWS::ApiGateway::BasePathMapping").values()
    }
    assert {api for domain, api in mapped if domain == name} == {logical}
    assert {domain for domain, api in mapped if api == logical} == {name}


def test_the_webhook_api_is_apart(named: Templates, templates: Templates) -> None:
    """Its domain asks for no certificate and speaks the newest TLS; the default address is off then."""
    _, hooks = api(named, "sentinel-dev-hooks")
    assert hooks["DisableExecuteApiEndpoint"] is True
    (domain,) = [
        each["Properties"]
        for each in named.of("AWS::ApiGateway::DomainName").values()
        if each["Properties"]["DomainName"] == "hooks.example.com"
    ]
    assert "MutualTlsAuthentication" not in domain
    for each in (domain, hooks, api(templates, "sentinel-dev-hooks")[1]):
        assert each["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_PFS")
        assert each["EndpointAccessMode"] == "STRICT"
    assert api(templates, "sentinel-dev-hooks")[1]["DisableExecuteApiEndpoint"] is False


def test_a_version_of_the_trust_store_is_not_needed(synthesize: Callable[..., Templates]) -> None:
    """Without `trust_store_version` the domain begins with the newest, and the template never goes back."""
    domains = synthesize(**DOMAINS).of("AWS::ApiGateway::DomainName").values()
    (trust,) = [
        each["Properties"]["MutualTlsAuthentication"]
        for each in domains
        if each["Properties"]["DomainName"] == "api.example.com"
    ]
    assert trust.keys() == {"TruststoreUri"}


def test_domains_say_where_their_records_point(named: Templates) -> None:
    """The outputs have what a DNS alias record needs, and the addresses."""
    outputs = named.stack("SentinelService")["Outputs"]
    assert outputs["Url"]["Value"] == "https://api.example.com/"
    assert outputs["HooksUrl"]["Value"] == "https://hooks.example.com/"
    for name in ("DomainTarget", "DomainZone", "HooksDomainTarget", "HooksDomainZone"):
        assert outputs[name]["Value"]["Fn::GetAtt"][1].startswith("Regional")


def _authorizer(templates: Templates) -> dict[str, Any]:
    (found,) = templates.of("AWS::ApiGateway::Authorizer").values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def test_a_decision_is_kept_for_token_and_certificate_together(templates: Templates) -> None:
    """A stolen token with another valid certificate does not find the decision that its owner was given."""
    found = _authorizer(templates)
    assert found["Type"] == "REQUEST"
    assert found["AuthorizerResultTtlInSeconds"] == 60
    assert found["IdentitySource"].split(",") == [
        "method.request.header.Authorization",
        "context.identity.clientCert.serialNumber",
    ]


def test_behind_a_proxy_the_header_stands_for_the_certificate(synthesize: Callable[..., Templates]) -> None:
    """Where a proxy hands the certificate on, the decision is kept under the whole of it."""
    found = _authorizer(synthesize(**MESH))
    assert found["IdentitySource"].split(",") == [
        "method.request.header.Authorization",
        "method.request.header.Client-Cert",
    ]
    off = _authorizer(synthesize(authorizer_cache_seconds=0, authorizer_cache_certificate=False))
    assert off["AuthorizerResultTtlInSeconds"] == 0
    assert off["IdentitySource"] == "method.request.header.Authorization"


def test_a_proxy_is_believed_from_its_addresses_only(synthesize: Callable[..., Templates]) -> None:
    """With `ingress_addresses` the open address refuses everybody else, whatever header they bring."""
    _, service = api(synthesize(**{**MESH, "ingress_addresses": "10.1.0.0/16,10.2.0.0/16"}))
    assert service["DisableExecuteApiEndpoint"] is False
    (deny,) = [each for each in service["Policy"]["Statement"] if each["Effect"] == "Deny"]
    assert deny["Condition"] == {"NotIpAddress": {"aws:SourceIp": ["10.1.0.0/16", "10.2.0.0/16"]}}
    assert (deny["Action"], deny["Resource"]) == ("execute-api:Invoke", "execute-api:/live/*")
    assert "Policy" not in api(synthesize(**MESH))[1]


def test_usage_plans_are_the_tiers(templates: Templates, synthesize: Callable[..., Templates]) -> None:
    """There is a plan with the figures of each tier, on the service API's stage; keys come by authorizer."""
    found = {}
    for each in templates.of("AWS::ApiGateway::UsagePlan").values():
        plan = each["Properties"]
        (stage,) = plan["ApiStages"]
        assert stage["ApiId"] == {"Ref": api(templates)[0]}
        quota = plan.get("Quota", {"Limit": 0, "Period": "DAY"})
        assert quota["Period"] == "DAY"
        throttle = plan["Throttle"]
        found[plan["UsagePlanName"]] = (throttle["RateLimit"], throttle["BurstLimit"], quota["Limit"])
    assert found == {
        f"sentinel-dev-{name}": (tier.requests, tier.requests * tier.burst, tier.quota)
        for name, tier in TIERS.items()
    }
    assert api(templates)[1]["ApiKeySourceType"] == "AUTHORIZER"
    assert not templates.of("AWS::ApiGateway::ApiKey")
    told = templates.text(templates.stack("SentinelService")["Outputs"]["UsagePlans"]["Value"])
    assert {pair.partition("=")[0] for pair in told.split(",")} == TIERS.keys()
    without = synthesize(usage_plans=False)
    assert not without.of("AWS::ApiGateway::UsagePlan")
    assert not [method for method in methods(without).values() if method.get("ApiKeyRequired")]


def test_methods_pass_requests_through(templates: Templates) -> None:
    """Every method is a proxy and every body binary, so that functions see the bytes as they were sent."""
    for name in APIS:
        assert {each["Integration"]["Type"] for each in methods(templates, name).values()} == {"AWS_PROXY"}
        _, found = api(templates, name)
        assert found["BinaryMediaTypes"] == ["*/*"]
        assert found["EndpointConfiguration"]["Types"] == ["REGIONAL"]


def test_only_its_callers_call_a_function(templates: Templates) -> None:
    """Permissions to invoke name one method, one authorizer or one rule each, never a whole service.

    Secrets Manager calls `rotate` for secrets that are not known here: for those of this account.
    """
    permissions = [each["Properties"] for each in templates.of("AWS::Lambda::Permission").values()]
    for found in permissions:
        if found["Principal"] == "secretsmanager.amazonaws.com":
            assert found["SourceAccount"] == {"Ref": "AWS::AccountId"}
            assert "Rotate" in json.dumps(found["FunctionName"])
            continue
        source = json.dumps(found["SourceArn"])
        assert found["Principal"] in {"apigateway.amazonaws.com", "events.amazonaws.com"}
        if found["Principal"].startswith("apigateway"):
            assert "live" in source or "Stage" in source or "/authorizers/" in source
            assert not source.endswith('/*/*/*"]]}')
    assert permissions


@pytest.mark.nightly
def test_requests_for_tokens_leave_room_for_others(synthesize: Callable[..., Templates]) -> None:
    """No authorizer and no usage plan holds them back, so they have their own throttle, watched alike."""
    made = synthesize(token_throttle_rate=7, token_throttle_burst=9)
    (stage,) = [
        each["Properties"]
        for each in made.of("AWS::ApiGateway::Stage").values()
        if each["Properties"]["RestApiId"] == {"Ref": api(made)[0]}
    ]
    every, token = sorted(stage["MethodSettings"], key=lambda each: str(each["HttpMethod"]))
    assert (token.pop("HttpMethod"), token.pop("ResourcePath")) == ("POST", "/~1v1~1token")
    assert (token.pop("ThrottlingRateLimit"), token.pop("ThrottlingBurstLimit")) == (7, 9)
    assert token
    assert token.items() <= every.items()


def test_the_stages_throttle_trace_and_log(templates: Templates) -> None:
    """Both stages have throttles, tracing and error logs, and never log data."""
    stages = _stages(templates)
    for name, limits in (("sentinel-dev", (200, 400)), ("sentinel-dev-hooks", (50, 100))):
        settings = next(each for each in stages[name]["MethodSettings"] if each["HttpMethod"] == "*")
        assert stages[name]["TracingEnabled"] is True
        assert (settings["HttpMethod"], settings["ResourcePath"]) == ("*", "/*")
        assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == limits
        assert settings["DataTraceEnabled"] is False
        assert settings["LoggingLevel"] == "ERROR"


def test_access_logs_hold_no_body_query_header_or_parameter(templates: Templates) -> None:
    """Access logs have fields of a list, none of which can hold what a caller wrote, asked for or proved."""
    for name, expected in (("sentinel-dev", SERVICE_LOG), ("sentinel-dev-hooks", ACCESS_LOG)):
        written = json.loads(_stages(templates)[name]["AccessLogSetting"]["Format"])
        assert written == expected
        for value in written.values():
            banned = ("querystring", "body", "header", "$context.path", "token", "pem", "apikey", "claims")
            assert not any(word in value.lower() for word in banned), value
    assert SERVICE_LOG["service"] == "$context.authorizer.service"
    assert SERVICE_LOG["certificate"] == "$context.identity.clientCert.serialNumber"


@pytest.mark.parametrize("name", APIS)
def test_refusals_of_the_gateway_read_like_ours(templates: Templates, name: str) -> None:
    """API Gateway's own errors are JSON with `error` and `message`; those that pass say when to come back."""
    logical, _ = api(templates, name)
    found = {
        response["Properties"]["ResponseType"]: response["Properties"]
        for response in templates.of("AWS::ApiGateway::GatewayResponse").values()
        if response["Properties"]["RestApiId"] == {"Ref": logical}
    }
    for response in found.values():
        body = response["ResponseTemplates"]["application/json"]
        told = json.loads(body.replace("$context.error.messageString", '"x"'))
        assert told.keys() == {"error", "message"}
    header = "gatewayresponse.header.Retry-After"
    for kind in (
        *("THROTTLED", "QUOTA_EXCEEDED", "DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT"),
        *("AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"),
    ):
        assert int(found[kind]["ResponseParameters"][header].strip("'")) >= 1
    statuses = {kind: response.get("StatusCode") for kind, response in found.items()}
    assert statuses["AUTHORIZER_FAILURE"] == "503"
    assert statuses["THROTTLED"] == statuses["QUOTA_EXCEEDED"] == "429"
    assert {"UNAUTHORIZED", "ACCESS_DENIED", "INVALID_API_KEY"} <= found.keys()
    assert "ResponseParameters" not in found["DEFAULT_4XX"]


@pytest.mark.nightly
def test_a_web_acl_stands_before_both_where_there_is_one(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """A web ACL of the account is put before both stages when it is named, and none is made."""
    acl = "arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/ours/7a1f0c1e-1111-4222-8333-444455556666"
    made = synthesize(web_acl_arn=acl).of("AWS::WAFv2::WebACLAssociation").values()
    assert {each["Properties"]["WebACLArn"] for each in made} == {acl}
    assert len(made) == 2
    assert not templates.of("AWS::WAFv2::WebACLAssociation")


@pytest.mark.nightly
def test_the_account_setting_is_kept_or_left_alone(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """The account's CloudWatch role outlives this stack, since others use it; an option leaves it alone."""
    (account,) = templates.of("AWS::ApiGateway::Account").values()
    assert account["DeletionPolicy"] == "Retain"
    assert not synthesize(api_account_role=False).of("AWS::ApiGateway::Account")
