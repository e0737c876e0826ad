"""A custom domain of one API: with mutual TLS for services, without it for webhooks.

Mutual TLS goes with the policy `TLS_1_2`, which takes TLS 1.2 and 1.3: AWS refuses its newer policies there
(as its documentation has it in 2026), so `sentinel:tls_policy` is an option for the day it does not. A
domain without a version of the trust store in the template takes the newest at first; from then on `rotate`
moves the domain from version to version, which CloudFormation neither sees nor undoes.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import CfnOutput, Stack, aws_apigateway
from constructs import Construct

from infra.option_checks import ENHANCED


@dataclass(frozen=True, slots=True)
class Trust:
    """The roots that a domain asks of its clients: where they are, and from which version on ("": newest)."""

    uri: str
    version: str = ""
    ownership_certificate_arn: str = ""


class Domain(Construct):
    """A Regional custom domain; its outputs are what a DNS alias record needs."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        name: str,
        certificate_arn: str,
        policy: str,
        trust: Trust | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        property_of = aws_apigateway.CfnDomainName
        self._domain = aws_apigateway.CfnDomainName(
            self,
            "Name",
            domain_name=name,
            regional_certificate_arn=certificate_arn,
            endpoint_configuration=property_of.EndpointConfigurationProperty(types=["REGIONAL"]),
            security_policy=policy,
            endpoint_access_mode="STRICT" if policy.startswith(ENHANCED) else None,
            mutual_tls_authentication=property_of.MutualTlsAuthenticationProperty(
                truststore_uri=trust.uri, truststore_version=trust.version or None
            )
            if trust
            else None,
            ownership_verification_certificate_arn=(trust.ownership_certificate_arn or None)
            if trust
            else None,
        )
        for output, value, says in (
            ("Target", self._domain.attr_regional_domain_name, "what the domain's DNS record points to"),
            (
                "Zone",
                self._domain.attr_regional_hosted_zone_id,
                "the hosted zone of that, for an alias record",
            ),
        ):
            CfnOutput(Stack.of(self), f"{construct_id}{output}", value=value, description=f"{name}: {says}")

    def serve(self, api: aws_apigateway.RestApi) -> None:
        """Map the root of the domain to an API's stage."""
        aws_apigateway.CfnBasePathMapping(
            self,
            "Mapping",
            domain_name=self._domain.ref,
            rest_api_id=api.rest_api_id,
            stage=api.deployment_stage.stage_name,
        )
