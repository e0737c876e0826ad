"""The REST API, built from `sentinel.routes.ROUTES` and nothing else.

Every method takes AWS_IAM: without a signed request by a principal that may `execute-api:Invoke`, API
Gateway refuses before any function runs, so the default is closed. The service id of a request is then the
name of the caller's IAM role or user, which the entrypoint takes from the request context, never from the
request itself. The doors with client certificates and tokens replace this.

Bodies are passed through as they are (every media type is binary, so events carry them in base64). API
Gateway takes up to 10 MB, but a Lambda event at most 6 MB, of which base64 takes a quarter: a body of
about 4.4 MB on the wire is the most that arrives, compressed or not. A larger one is answered 413.
"""

from __future__ import annotations

import json

from aws_cdk import RemovalPolicy, aws_apigateway, aws_iam, aws_logs
from constructs import Construct

from infra.function import RETENTION, Function, Platform
from infra.nag import acknowledge
from sentinel.routes import ROUTES

# TLS 1.3, or 1.2 with forward secrecy only, with post-quantum key exchange where the client has it.
SECURITY_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
# Who called what and how it went: no query string, no body, no path parameter.
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "caller": "$context.identity.userArn",
    "address": "$context.identity.sourceIp",
    "tls": "$context.tlsVersion",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "functionMs": "$context.integrationLatency",
    "error": "$context.error.responseType",
    "trace": "$context.xrayTraceId",
}
# API Gateway's own refusals, in the shape of ours: {"error", "message"}, and when to come back.
_GATEWAY = aws_apigateway.ResponseType
REFUSALS: dict[str, tuple[aws_apigateway.ResponseType, str, int]] = {
    "Default4xx": (_GATEWAY.DEFAULT_4_XX, "Rejected", 0),
    "Default5xx": (_GATEWAY.DEFAULT_5_XX, "Unavailable", 1),
    "AccessDenied": (_GATEWAY.ACCESS_DENIED, "Forbidden", 0),
    "TooLarge": (_GATEWAY.REQUEST_TOO_LARGE, "TooLarge", 0),
    "Throttled": (_GATEWAY.THROTTLED, "Unavailable", 1),
    "Quota": (_GATEWAY.QUOTA_EXCEEDED, "Unavailable", 60),
    "IntegrationFailure": (_GATEWAY.INTEGRATION_FAILURE, "Unavailable", 1),
    "IntegrationTimeout": (_GATEWAY.INTEGRATION_TIMEOUT, "Unavailable", 5),
}


class Api(Construct):
    """`api` is the REST API; its one stage is `live`."""

    def __init__(
        self, scope: Construct, construct_id: str, platform: Platform, functions: dict[str, Function]
    ) -> None:
        super().__init__(scope, construct_id)
        self._platform = platform
        self.api = aws_apigateway.RestApi(
            self,
            "Rest",
            rest_api_name=f"sentinel-{platform.deployment.environment}",
            description="Sentinel: takes entries in, shows chains and tasks",
            endpoint_types=[aws_apigateway.EndpointType.REGIONAL],
            binary_media_types=["*/*"],
            cloud_watch_role=False,
            deploy=True,
            deploy_options=self._stage(),
            default_method_options=aws_apigateway.MethodOptions(
                authorization_type=aws_apigateway.AuthorizationType.IAM
            ),
        )
        self._secure()
        self._add_routes(functions)
        self._add_refusals()
        if platform.deployment.api_account_role:
            self._add_account_role()
        self._explain()

    def _stage(self) -> aws_apigateway.StageOptions:
        deployment = self._platform.deployment
        log = self._log("AccessLog")
        return aws_apigateway.StageOptions(
            stage_name="live",
            access_log_destination=aws_apigateway.LogGroupLogDestination(log),
            access_log_format=aws_apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
            # Failures of the gateway itself; data tracing would log bodies.
            logging_level=aws_apigateway.MethodLoggingLevel.ERROR,
            data_trace_enabled=False,
            metrics_enabled=True,
            tracing_enabled=True,
            throttling_rate_limit=deployment.throttle_rate,
            throttling_burst_limit=deployment.throttle_burst,
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
        rest.security_policy = SECURITY_POLICY
        # Refuses requests whose TLS server name is not that of this API (no domain fronting).
        rest.endpoint_access_mode = "STRICT"
        # API Gateway would create this log group by itself and keep it for ever.
        log = self._log("ExecutionLog", f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/live")
        self.api.deployment_stage.node.add_dependency(log)

    def _add_routes(self, functions: dict[str, Function]) -> None:
        integrations = {
            verb: aws_apigateway.LambdaIntegration(function.function, proxy=True, allow_test_invoke=False)
            for verb, function in functions.items()
        }
        for route in ROUTES:
            resource = self.api.root.resource_for_path(route.path)
            method = resource.add_method(route.method, integrations[route.function])
            acknowledge(
                method,
                "AwsSolutions-COG4",
                "Callers are services, not people: they sign with IAM, for which Cognito has no use.",
            )

    def _add_refusals(self) -> None:
        for name, (kind, error, retry_after) in REFUSALS.items():
            self.api.add_gateway_response(
                name,
                type=kind,
                # messageString is quoted already.
                templates={
                    "application/json": f'{{"error": "{error}", "message": $context.error.messageString}}'
                },
                response_headers={"Retry-After": f"'{retry_after}'"} if retry_after else None,
            )

    def _add_account_role(self) -> None:
        """Let API Gateway write logs. This is one setting of the whole account and region."""
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
        self.api.deployment_stage.node.add_dependency(account)
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway has one such role an account, checks it against this managed policy, and creates "
            "log groups under names it chooses.",
        )

    def _explain(self) -> None:
        acknowledge(
            self.api,
            "AwsSolutions-APIG2",
            "Bodies are NDJSON and protobuf, compressed or not, which models of API Gateway cannot describe; "
            "the functions check every line and say what is wrong with it.",
        )
        acknowledge(
            self.api.deployment_stage,
            "AwsSolutions-APIG3",
            "Every method takes signed requests of IAM principals only, so there is no anonymous traffic to "
            "filter; a web ACL can be associated with the stage from outside.",
        )
