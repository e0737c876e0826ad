"""What both REST APIs have in common: stage, logs, refusals in our own shape, one domain at most.

Bodies are passed through as they are (every media type is binary, so events carry them in base64). API
Gateway takes up to 10 MB, but a Lambda event at most 6 MB, of which base64 takes a quarter: a body of about
4.4 MB on the wire is the most that arrives, compressed or not. A larger one is answered 413.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import RemovalPolicy, aws_apigateway, aws_iam, aws_logs, aws_wafv2
from constructs import Construct

from infra.function import RETENTION, Function, Platform
from infra.nag import acknowledge
from infra.option_checks import ENHANCED
from infra.refusals import REFUSALS
from sentinel.routes import Route

STAGE = "live"
# Who called what and how it went: no header, no query string, no body, no path parameter.
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "address": "$context.identity.sourceIp",
    "tls": "$context.tlsVersion",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "functionMs": "$context.integrationLatency",
    "error": "$context.error.responseType",
    "trace": "$context.xrayTraceId",
}


@dataclass(frozen=True, slots=True)
class Front:
    """What sets one API apart. Throttles are requests a second, and at once, of the whole API.

    `tls` is the TLS policy, "" for API Gateway's own choice; `closed` turns the default address off;
    `addresses` are the ranges that may call at all, none for everybody; `log` is the access log's format.
    `methods` have throttles of their own: (rate, burst) by path and method, as `/v1/token/POST`.
    """

    name: str
    description: str
    rate: int
    burst: int
    tls: str
    closed: bool
    log: Mapping[str, str]
    addresses: Sequence[str] = ()
    methods: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Rest(Construct):
    """A REST API in front of functions. `api` is it; its one stage is `live`."""

    def __init__(self, scope: Construct, construct_id: str, platform: Platform, front: Front) -> None:
        super().__init__(scope, construct_id)
        self._platform = platform
        self._front = front
        self.api = aws_apigateway.RestApi(
            self,
            "Rest",
            rest_api_name=f"sentinel-{platform.deployment.environment}{front.name}",
            description=f"Sentinel: {front.description}",
            endpoint_types=[aws_apigateway.EndpointType.REGIONAL],
            binary_media_types=["*/*"],
            disable_execute_api_endpoint=front.closed,
            api_key_source_type=aws_apigateway.ApiKeySourceType.AUTHORIZER,
            cloud_watch_role=False,
            deploy=True,
            deploy_options=self._stage(),
            policy=_only_from(front.addresses) if front.addresses else None,
        )
        # The construct's own output names an address that may be off; the APIs say where they answer.
        self.api.node.try_remove_child("Endpoint")
        self._secure()
        self._add_refusals()
        if platform.deployment.web_acl_arn:
            aws_wafv2.CfnWebACLAssociation(
                self,
                "WebAcl",
                resource_arn=self.api.deployment_stage.stage_arn,
                web_acl_arn=platform.deployment.web_acl_arn,
            )
        self._explain()

    def add(self, route: Route, function: Function, **options: object) -> aws_apigateway.Method:
        """Add a route that `function` answers; `options` are those of `Method`."""
        resource = self.api.root.resource_for_path(route.path)
        integration = aws_apigateway.LambdaIntegration(function.function, proxy=True, allow_test_invoke=False)
        return resource.add_method(route.method, integration, **options)  # type: ignore[arg-type] # Method checks

    def _stage(self) -> aws_apigateway.StageOptions:
        return aws_apigateway.StageOptions(
            stage_name=STAGE,
            access_log_destination=aws_apigateway.LogGroupLogDestination(self._log("AccessLog")),
            access_log_format=aws_apigateway.AccessLogFormat.custom(json.dumps(dict(self._front.log))),
            tracing_enabled=True,
            **_watched(self._front.rate, self._front.burst),
            # What is set for a method stands in the place of all that is set for the stage.
            method_options={
                method: aws_apigateway.MethodDeploymentOptions(**_watched(rate, burst))
                for method, (rate, burst) in self._front.methods.items()
            },
        )

    def _log(self, name: str, log_group_name: str | None = None) -> aws_logs.LogGroup:
        return aws_logs.LogGroup(
            self,
            name,
            log_group_name=log_group_name,
            retention=RETENTION[self._platform.deployment.log_retention_days],
            encryption_key=self._platform.key,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _secure(self) -> None:
        """Set what this version's RestApi construct has no property for."""
        rest = self.api.node.default_child
        assert isinstance(rest, aws_apigateway.CfnRestApi)  # noqa: S101 - for the type checker
        if self._front.tls.startswith(ENHANCED):
            rest.security_policy = self._front.tls
            # Refuses requests whose TLS server name is not that of this API (no domain fronting).
            rest.endpoint_access_mode = "STRICT"
        # API Gateway would create this log group by itself and keep it for ever.
        log = self._log("ExecutionLog", f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/{STAGE}")
        self.api.deployment_stage.node.add_dependency(log)

    def _add_refusals(self) -> None:
        for name, refusal in REFUSALS.items():
            self.api.add_gateway_response(
                name,
                type=refusal.kind,
                status_code=str(refusal.status) if refusal.status else None,
                templates={"application/json": refusal.body},
                response_headers=refusal.headers or None,
            )

    def _explain(self) -> None:
        acknowledge(
            self.api,
            "AwsSolutions-APIG2",
            "Bodies are NDJSON, protobuf and what webhooks send, compressed or not, which models of API "
            "Gateway cannot describe; the functions check every body and say what is wrong with it.",
        )
        if not self._platform.deployment.web_acl_arn:
            acknowledge(
                self.api.deployment_stage,
                "AwsSolutions-APIG3",
                "Callers prove who they are before anything is read, and a web ACL inspects 64 KB at most of "
                "bodies that are mostly compressed; sentinel:web_acl_arn puts one in front of both APIs.",
            )


def _watched(rate: int, burst: int) -> dict[str, Any]:
    """Return what a stage and a method have in common: throttles, and how they are watched."""
    return {
        # Failures of the gateway itself; data tracing would log bodies.
        "logging_level": aws_apigateway.MethodLoggingLevel.ERROR,
        "data_trace_enabled": False,
        "metrics_enabled": True,
        "throttling_rate_limit": rate,
        "throttling_burst_limit": burst,
    }


def _only_from(addresses: Sequence[str]) -> aws_iam.PolicyDocument:
    """Let only these address ranges invoke anything."""
    every = f"execute-api:/{STAGE}/*"  # of this API: API Gateway fills in the rest
    allow = aws_iam.PolicyStatement(
        principals=[aws_iam.AnyPrincipal()], actions=["execute-api:Invoke"], resources=[every]
    )
    deny = aws_iam.PolicyStatement(
        sid="OnlyFromTheProxy",
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.AnyPrincipal()],
        actions=["execute-api:Invoke"],
        resources=[every],
        conditions={"NotIpAddress": {"aws:SourceIp": list(addresses)}},
    )
    return aws_iam.PolicyDocument(statements=[allow, deny])


class LogRole(Construct):
    """Lets API Gateway write logs: one setting of the whole account and region."""

    def __init__(self, scope: Construct, construct_id: str, apis: Sequence[Rest]) -> None:
        super().__init__(scope, construct_id)
        role = aws_iam.Role(
            self,
            "AccountRole",
            assumed_by=aws_iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                aws_iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        # Other APIs of the account use it as well, so it stays when this stack goes.
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        account = aws_apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        for each in apis:
            each.api.deployment_stage.node.add_dependency(account)
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway has one such role an account, checks it against this managed policy, and creates "
            "log groups under names it chooses.",
        )
