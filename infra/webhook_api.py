"""The webhook API, built from `sentinel.routes.HOOK_ROUTES`: apart, since its senders have no certificates.

Each source proves itself with its own signature or secret over the body, which an authorizer never sees, so
the function checks it. Without a domain of its own it answers at its default address; with one that is off.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnOutput, Stack, aws_apigateway
from constructs import Construct

from infra.api import SECURITY_POLICY
from infra.domain import Domain
from infra.function import Function, Platform
from infra.nag import acknowledge
from infra.rest_api import ACCESS_LOG, STAGE, Front, Rest
from sentinel.routes import HOOK_ROUTES, Route


class WebhookApi(Construct):
    """`rest` is the API, `address` where it answers, for functions to tell."""

    def __init__(
        self, scope: Construct, construct_id: str, platform: Platform, functions: dict[str, Function]
    ) -> None:
        super().__init__(scope, construct_id)
        to = platform.deployment
        front = Front(
            name="-hooks",
            description="takes webhooks in",
            rate=to.hooks_throttle_rate,
            burst=to.hooks_throttle_burst,
            tls=SECURITY_POLICY,
            closed=bool(to.hooks_domain_name),
            log=ACCESS_LOG,
        )
        self.rest = Rest(self, "Rest", platform, front)
        for route in HOOK_ROUTES:
            self._add(route, functions[route.function])
        url = self.rest.api.url
        # Of the API alone: its own address hangs on its stage, and so on all the functions behind it.
        api = f"{self.rest.api.rest_api_id}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}/{STAGE}"
        self.address = f"https://{to.hooks_domain_name or api}"
        if to.hooks_domain_name:
            domain = Domain(
                self, "HooksDomain", to.hooks_domain_name, to.hooks_certificate_arn, SECURITY_POLICY
            )
            domain.serve(self.rest.api)
            url = f"https://{to.hooks_domain_name}/"
        for name, value, says in (
            ("HooksUrl", url, "Where the webhook API answers"),
            ("WebhookApi", self.rest.api.rest_api_id, "Id of the webhook API; its stage is live"),
        ):
            CfnOutput(Stack.of(self), name, value=value, description=says)

    def _add(self, route: Route, function: Function) -> None:
        method = self.rest.add(route, function, authorization_type=aws_apigateway.AuthorizationType.NONE)
        reason = {
            "signature": "A source signs its body, which no authorizer sees, or shows its secret: the "
            "function checks it against the hook's secret before anything else is done with the request.",
            "link": "A link's token is in the body, which no authorizer sees: the function checks it before "
            "anything else is done with the request.",
            "secret": "A webhook's secret is in the form, which no authorizer sees: the function checks it "
            "before anything else is done with the request.",
            "open": "Public keys, the page of links, whether a sender is wanted and whether events are taken "
            "are for everybody: there is nothing to protect.",
        }[route.door]
        acknowledge(method, "AwsSolutions-APIG4", reason)
        acknowledge(
            method,
            "AwsSolutions-COG4",
            "Callers are other companies' systems, which have no accounts here: Cognito has no use for them.",
        )
