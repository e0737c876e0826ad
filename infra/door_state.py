"""What the doors keep: the trust store's bucket, the own CA's keys, the secret with the signing keys.

The bucket is empty after the first deployment: the `rotate` function publishes the roots into it once there
are any, and only then can a domain with mutual TLS be made (see docs/deploy.md). The signing keys' secret
begins as a ring without keys, so that the first rotation finds something to add to; nothing secret stands in
the template. Secrets of services and hooks are made at run time below the same prefix.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, RemovalPolicy, Stack, aws_kms, aws_s3, aws_secretsmanager
from constructs import Construct

from infra.config import Deployment
from infra.nag import acknowledge
from sentinel.core.ring import Ring
from sentinel.settings import Settings

TRUST_STORE_KEY = "roots.pem"


class DoorState(Construct):
    """`trust_store` is the bucket, `ca_keys` the CA's keys, the one in use last, `signing` the secret."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self._kept = RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY
        self.trust_store = self._make_trust_store()
        self.ca_keys = [self._make_ca_key(deployment, n) for n in range(1, deployment.ca_keys + 1)]
        self.signing = self._make_signing(deployment)
        self._tell(deployment)

    @property
    def trust_store_uri(self) -> str:
        """Where the trust store is, as `Settings.truststore` has it."""
        return f"s3://{self.trust_store.bucket_name}/{TRUST_STORE_KEY}"

    def _tell(self, deployment: Deployment) -> None:
        """Output what the command line needs: each output's description is the variable that takes it."""
        for name, variable, value in (
            ("TrustStore", "SENTINEL_TRUSTSTORE", self.trust_store_uri),
            ("CaKey", "SENTINEL_CA_KEY", self.ca_keys[-1].key_id),
            ("TrustDomain", "SENTINEL_TRUST_DOMAIN", deployment.trust_domain),
            ("DoorPrefix", "SENTINEL_DOOR_PREFIX", deployment.door_prefix),
            ("Domain", "SENTINEL_DOMAIN", deployment.domain_name),
            ("Lanes", "SENTINEL_LANES", str(deployment.lanes)),
        ):
            if value:
                CfnOutput(Stack.of(self), name, value=value, description=variable)

    def _make_trust_store(self) -> aws_s3.Bucket:
        bucket = aws_s3.Bucket(
            self,
            "TrustStore",
            # A domain uses one version, so that a new bundle counts when the domain is told and not before.
            versioned=True,
            # Certificates are public: what counts is who may write, and the key of S3 is enough for that.
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self._kept,
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "One object that changes when a root does: versions say what it was and when, and CloudTrail's "
            "data events can say who; a bucket of access logs would hold nothing else.",
        )
        return bucket

    def _make_ca_key(self, deployment: Deployment, number: int) -> aws_kms.Key:
        return aws_kms.Key(
            self,
            f"CaKey{number}",
            description=f"Sentinel {deployment.environment}: own CA, key {number}",
            key_spec=aws_kms.KeySpec.ECC_NIST_P256,
            key_usage=aws_kms.KeyUsage.SIGN_VERIFY,
            removal_policy=self._kept,
        )

    def _make_signing(self, deployment: Deployment) -> aws_secretsmanager.CfnSecret:
        secret = aws_secretsmanager.CfnSecret(
            self,
            "SigningKeys",
            name=deployment.door_prefix + Settings().signing_secret,
            description=f"Sentinel {deployment.environment}: the keys that sign access tokens",
            secret_string=Ring().encode(),
        )
        secret.apply_removal_policy(self._kept)
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            "Its rotation schedule is in the service stack, beside the function that rotates it; with "
            "sentinel:rotation off, whoever deploys rotates it by the command line.",
        )
        return secret
