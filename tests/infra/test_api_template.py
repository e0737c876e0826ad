"""The REST API as deployed: the routes, closed by default, quiet in its logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from infra.api import ACCESS_LOG
from sentinel.routes import ROUTES

if TYPE_CHECKING:
    from tests.infra.conftest import Templates


def _path(templates: Templates, resource: dict[str, Any]) -> str:
    """Return the path of what a method's `ResourceId` names."""
    if "Fn::GetAtt" in resource:
        return ""
    found = templates.of("AWS::ApiGateway::Resource")[resource["Ref"]]["Properties"]
    return f"{_path(templates, found['ParentId'])}/{found['PathPart']}"


def _methods(templates: Templates) -> list[dict[str, Any]]:
    return [method["Properties"] for method in templates.of("AWS::ApiGateway::Method").values()]


def test_the_api_has_the_routes_and_nothing_else(templates: Templates) -> None:
    """Methods and paths are those of `sentinel.routes`, each answered by its function."""
    functions = {
        name: found["Properties"]["Description"].split(": ")[1]
        for name, found in templates.of("AWS::Lambda::Function").items()
    }
    found = {
        (
            method["HttpMethod"],
            _path(templates, method["ResourceId"]),
            next(
                verb for name, verb in functions.items() if name in json.dumps(method["Integration"]["Uri"])
            ),
        )
        for method in _methods(templates)
    }
    assert found == {(route.method, route.path, route.function) for route in ROUTES}
    assert len(_methods(templates)) == len(ROUTES)


def test_every_method_wants_a_signature(templates: Templates) -> None:
    """No method of the API can be called without a signed request."""
    assert {method["AuthorizationType"] for method in _methods(templates)} == {"AWS_IAM"}
    assert not templates.of("AWS::ApiGatewayV2::Api")
    assert not templates.of("AWS::Lambda::Url")


def test_methods_pass_requests_through(templates: Templates) -> None:
    """Every method is a proxy and every body binary, so that functions see the bytes as they were sent."""
    assert {method["Integration"]["Type"] for method in _methods(templates)} == {"AWS_PROXY"}
    (api,) = templates.of("AWS::ApiGateway::RestApi").values()
    assert api["Properties"]["BinaryMediaTypes"] == ["*/*"]
    assert api["Properties"]["EndpointConfiguration"]["Types"] == ["REGIONAL"]


def test_the_api_speaks_modern_tls_only(templates: Templates) -> None:
    """TLS 1.2 with forward secrecy is the least, and the server name in TLS must be the API's."""
    (api,) = templates.of("AWS::ApiGateway::RestApi").values()
    assert api["Properties"]["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_PFS")
    assert api["Properties"]["EndpointAccessMode"] == "STRICT"


def test_only_the_api_calls_its_functions(templates: Templates) -> None:
    """Permissions to invoke name one method of the API or one rule each, never a whole service."""
    permissions = templates.of("AWS::Lambda::Permission").values()
    for permission in permissions:
        found = permission["Properties"]
        source = json.dumps(found["SourceArn"])
        assert found["Principal"] in {"apigateway.amazonaws.com", "events.amazonaws.com"}
        if found["Principal"].startswith("apigateway"):
            assert "live" in source or "Stage" in source
            assert not source.endswith('/*/*/*"]]}')
    assert permissions


def test_the_stage_throttles_traces_and_logs(templates: Templates) -> None:
    """The stage has throttles, tracing and error logs, and never logs data."""
    (stage,) = templates.of("AWS::ApiGateway::Stage").values()
    (settings,) = stage["Properties"]["MethodSettings"]
    assert stage["Properties"]["TracingEnabled"] is True
    assert (settings["HttpMethod"], settings["ResourcePath"]) == ("*", "/*")
    assert settings["ThrottlingRateLimit"] == 200
    assert settings["ThrottlingBurstLimit"] == 400
    assert settings["DataTraceEnabled"] is False
    assert settings["LoggingLevel"] == "ERROR"


def test_access_logs_hold_no_body_query_or_parameter(templates: Templates) -> None:
    """The access log has fields from a list, none of which can hold what a caller wrote or asked for."""
    (stage,) = templates.of("AWS::ApiGateway::Stage").values()
    written = json.loads(stage["Properties"]["AccessLogSetting"]["Format"])
    assert written == ACCESS_LOG
    for value in written.values():
        assert not any(word in value.lower() for word in ("querystring", "body", "header", "$context.path"))


def test_refusals_of_the_gateway_read_like_ours(templates: Templates) -> None:
    """API Gateway's own errors are JSON with `error` and `message`; those that pass say when to come back."""
    found = {
        response["Properties"]["ResponseType"]: response["Properties"]
        for response in templates.of("AWS::ApiGateway::GatewayResponse").values()
    }
    for response in found.values():
        body = response["ResponseTemplates"]["application/json"]
        told = json.loads(body.replace("$context.error.messageString", '"x"'))
        assert told.keys() == {"error", "message"}
    header = "gatewayresponse.header.Retry-After"
    for kind in ("THROTTLED", "QUOTA_EXCEEDED", "DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT"):
        assert int(found[kind]["ResponseParameters"][header].strip("'")) >= 1
    assert "ResponseParameters" not in found["DEFAULT_4XX"]


def test_the_account_setting_is_kept_or_left_alone(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """The account's CloudWatch role outlives this stack, since others use it; an option leaves it alone."""
    (account,) = templates.of("AWS::ApiGateway::Account").values()
    assert account["DeletionPolicy"] == "Retain"
    assert not synthesize(api_account_role=False).of("AWS::ApiGateway::Account")
