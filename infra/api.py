"""The service API, built from `sentinel.routes.ROUTES` and nothing else: closed unless one has the key.

It is reached at a custom domain with mutual TLS, and its default address, which would be a way around, is
off. Every route whose door is `token` is behind the authorizer, and in a usage plan. Routes of other doors
(`key`, `certificate`) have none: their function checks certificate and key, behind the same mutual TLS.

What the authorizer said is kept for `authorizer_cache_seconds` under token and certificate together, so that
a stolen token that comes with another certificate is looked at anew; the functions compare the two once more.
"""

from __future__ import annotations

from aws_cdk import Annotations, CfnOutput, Duration, Stack, aws_apigateway
from constructs import Construct

from infra.config import Deployment
from infra.domain import Domain, Trust
from infra.function import Function, Platform
from infra.nag import acknowledge
from infra.option_checks import ANYBODY
from infra.rest_api import ACCESS_LOG, Front, Rest
from sentinel.core.access import TIERS
from sentinel.routes import ROUTES, Route

# TLS 1.3, or 1.2 with forward secrecy only, with post-quantum key exchange where the client has it.
SECURITY_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
SERVICE_LOG = {
    **ACCESS_LOG,
    "service": "$context.authorizer.service",
    "certificate": "$context.identity.clientCert.serialNumber",
}


class Api(Construct):
    """`rest` is the API, `plans` the usage plans by tier."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        platform: Platform,
        functions: dict[str, Function],
        trust_store: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment = platform.deployment
        self.rest = Rest(self, "Rest", platform, _front(platform.deployment))
        self._authorizer = self._make_authorizer(functions["authorize"])
        for route in ROUTES:
            self._add(route, functions[route.function])
        self.plans = self._add_plans() if self._deployment.usage_plans else {}
        if self._deployment.domain_name:
            self._add_domain(trust_store)
        self._tell()

    def _make_authorizer(self, function: Function) -> aws_apigateway.RequestAuthorizer:
        seconds = self._deployment.authorizer_cache_seconds
        return aws_apigateway.RequestAuthorizer(
            self,
            "Authorizer",
            handler=function.function,
            identity_sources=_identity(self._deployment),
            results_cache_ttl=Duration.seconds(seconds),
        )

    def _add(self, route: Route, function: Function) -> None:
        if route.door == "token":
            method = self.rest.add(
                route,
                function,
                authorization_type=aws_apigateway.AuthorizationType.CUSTOM,
                authorizer=self._authorizer,
                api_key_required=self._deployment.usage_plans,
            )
        else:
            method = self.rest.add(route, function, authorization_type=aws_apigateway.AuthorizationType.NONE)
            acknowledge(
                method,
                "AwsSolutions-APIG4",
                f"Whoever asks for a token has none yet: the function checks the {route.door} of the caller "
                "itself, behind the same mutual TLS.",
            )
        acknowledge(
            method,
            "AwsSolutions-COG4",
            "Callers are services, not people: they bring certificates and tokens, not Cognito's.",
        )

    def _add_plans(self) -> dict[str, aws_apigateway.UsagePlan]:
        plans = {}
        for name, tier in TIERS.items():
            quota = aws_apigateway.QuotaSettings(limit=tier.quota, period=aws_apigateway.Period.DAY)
            plans[name] = self.rest.api.add_usage_plan(
                name.title(),
                name=f"sentinel-{self._deployment.environment}-{name}",
                description=f"Sentinel: services of the tier {name}",
                throttle=aws_apigateway.ThrottleSettings(
                    rate_limit=tier.requests, burst_limit=int(tier.requests * tier.burst)
                ),
                quota=quota if tier.quota else None,
                api_stages=[aws_apigateway.UsagePlanPerApiStage(stage=self.rest.api.deployment_stage)],
            )
        return plans

    def _add_domain(self, trust_store: str) -> None:
        to = self._deployment
        trust = Trust(trust_store, to.trust_store_version, to.ownership_certificate_arn)
        domain = Domain(self, "Domain", to.domain_name, to.certificate_arn, to.tls_policy, trust)
        domain.serve(self.rest.api)

    def _tell(self) -> None:
        """Say where the API answers, or loudly that it does not, or does without mutual TLS."""
        to = self._deployment
        if to.domain_name:
            _output(self, "Url", f"https://{to.domain_name}/", "Where the service API answers")
        elif to.default_endpoint:
            _output(self, "Url", self.rest.api.url, "Where the service API answers, WITHOUT mutual TLS")
            Annotations.of(self).add_warning_v2(
                "sentinel:noMutualTls",
                f"The service API answers WITHOUT MUTUAL TLS and believes the header "
                f"{to.client_certificate_header}: whoever reaches it can claim any certificate. Only a proxy "
                "that verifies certificates and sets that header itself may reach it: see that no other "
                f"stands at {', '.join(to.ingress_addresses)} (sentinel:ingress_addresses).",
            )
        else:
            Annotations.of(self).add_warning_v2(
                "sentinel:closed",
                "The service API has no address: set sentinel:domain_name and sentinel:certificate_arn once "
                "the trust store is published (docs/deploy.md).",
            )
        _output(self, "ServiceApi", self.rest.api.rest_api_id, "Id of the service API; its stage is live")
        if self.plans:
            pairs = ",".join(f"{tier}={plan.usage_plan_id}" for tier, plan in self.plans.items())
            _output(self, "UsagePlans", pairs, "SENTINEL_USAGE_PLANS")


def _front(deployment: Deployment) -> Front:
    # Behind mutual TLS the domain's policy counts, and a newer one of the API might stand in its way.
    tls = SECURITY_POLICY if deployment.default_endpoint else deployment.tls_policy
    return Front(
        name="",
        description="takes entries in, shows chains and tasks",
        rate=deployment.throttle_rate,
        burst=deployment.throttle_burst,
        tls=tls,
        closed=not deployment.default_endpoint,
        log=SERVICE_LOG,
        methods={
            f"{route.path}/{route.method}": (deployment.token_throttle_rate, deployment.token_throttle_burst)
            for route in ROUTES
            if route.door == "key"  # no authorizer and no usage plan holds these back
        },
        addresses=() if ANYBODY in deployment.ingress_addresses else deployment.ingress_addresses,
    )


def _identity(deployment: Deployment) -> list[str]:
    """Return what the authorizer's answer is kept under; a request without one of them is answered 401."""
    source = aws_apigateway.IdentitySource
    token = source.header("Authorization")
    if not deployment.authorizer_cache_certificate:
        return [token]
    if deployment.client_certificate_header:
        return [token, source.header(deployment.client_certificate_header)]
    return [token, source.context("identity.clientCert.serialNumber")]


def _output(scope: Construct, name: str, value: str, says: str) -> None:
    CfnOutput(Stack.of(scope), name, value=value, description=says)
