"""The wiring of the doors: who is known, what proves it, what they may take, and how all of it rotates."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.wiring import Base

if TYPE_CHECKING:
    from sentinel.core.signing import Opener
    from sentinel.ports_doors import Limits, Registry, SecretVersions, Signer, TrustStore, UsagePlans
    from sentinel.usecases.authorize import Authorizer
    from sentinel.usecases.authors import Authors
    from sentinel.usecases.certify import Authority
    from sentinel.usecases.collect import Collector
    from sentinel.usecases.directory import Directory
    from sentinel.usecases.hook_secrets import HookSecrets
    from sentinel.usecases.hook_sources import HookSources
    from sentinel.usecases.hook_tokens import HookTokenIssuer
    from sentinel.usecases.issue_token import TokenIssuer
    from sentinel.usecases.limit import Limiter
    from sentinel.usecases.proxy import Proxy
    from sentinel.usecases.receive import Receiver
    from sentinel.usecases.rotate import Rotation
    from sentinel.usecases.services import Services


class Doors(Base):
    """The adapters and use cases of the doors, each made on first use."""

    @cached_property
    def registry(self) -> Registry:
        """Services, keys, certificates, hooks."""
        if self.local:
            from sentinel.adapters.sqlite_registry import SqliteRegistry

            return SqliteRegistry(self.home / "registry.db")
        from sentinel.adapters.dynamodb_registry import DynamoRegistry

        return DynamoRegistry(self.dynamodb, self.settings.registry_table)

    @cached_property
    def _door_registry(self) -> Registry:
        """The registry for those who wait at a door: one that hangs is given up after seconds, not tens."""
        if self.local:
            return self.registry
        from sentinel.adapters.dynamodb_registry import DynamoRegistry

        client = self._aws("dynamodb", connect_timeout=1, read_timeout=1)
        return DynamoRegistry(client, self.settings.registry_table)

    @cached_property
    def door_secrets(self) -> SecretVersions:
        """The doors' own secrets, apart from those that recipes may name."""
        if self.local:
            from sentinel.adapters.secret_versions_file import FileSecretVersions

            return FileSecretVersions(self.home / "doors")
        from sentinel.adapters.secret_versions_aws import AwsSecretVersions

        return AwsSecretVersions(self._aws("secretsmanager"), self.settings.door_prefix)

    @cached_property
    def directory(self) -> Directory:
        """The registry as the doors read it: kept for some seconds."""
        from sentinel.usecases.directory import Directory

        return Directory(self._door_registry, self.settings.door_seconds, time.monotonic, time.time)

    @cached_property
    def authorizer(self) -> Authorizer:
        """Lets requests in, or not."""
        from sentinel.usecases.authorize import Authorizer

        to = self.settings
        return Authorizer(self.directory, to.issuer, to.audience, to.trust_domain, self._outside, time.time)

    @cached_property
    def _outside(self) -> Any:
        """The outside issuers that the deployment accepts."""
        from sentinel.adapters.hosts import Hosts
        from sentinel.adapters.http import HttpClient
        from sentinel.core.issuers import parse_issuers
        from sentinel.usecases.outside_issuers import OutsideIssuers

        issuers = parse_issuers(self.settings.oidc_issuers)
        # A cluster's own issuer has a private address. Only listed hosts are asked, and TLS is verified.
        client = HttpClient(Hosts(issuers.hosts, private=True))
        return OutsideIssuers(issuers, client, time.monotonic)

    @cached_property
    def token_issuer(self) -> TokenIssuer:
        """Gives access tokens for API keys."""
        from sentinel.usecases.issue_token import TokenIssuer

        to = self.settings
        return TokenIssuer(
            self.directory,
            self.door_secrets,
            to.signing_secret,
            to.issuer,
            to.audience,
            time.time,
            time.monotonic,
        )

    @cached_property
    def authors(self) -> Authors:
        """Whose signatures count."""
        from sentinel.usecases.authors import Authors

        return Authors(self.registry, time.time_ns)

    @cached_property
    def opener(self) -> Opener:
        """Opens the catalog's documents, with their signatures looked at where that is required."""
        if self.settings.recipes_signed == "off":
            from sentinel.core.signing import Unsigned

            return Unsigned()
        from sentinel.usecases.authors import Signed

        return Signed(self.authors, time.time_ns, self.settings.catalog_seconds)

    @cached_property
    def authority(self) -> Authority:
        """The own CA."""
        from sentinel.usecases.certify import Authority

        domain = self.settings.trust_domain
        return Authority(self.registry, self.ca_signer, domain, time.time, secrets.token_bytes)

    def ca_signer(self, key: str, *, create: bool = False) -> Signer:
        """Return the CA's key named `key`: one of KMS, or a sealed file below `home`."""
        if self.settings.ca_key:
            from sentinel.adapters.kms_signer import KmsSigner

            return KmsSigner(self._aws("kms"), key)
        from sentinel.adapters.sealed_key import SealedKey

        passphrase = self.door_secrets.value(self.settings.ca_secret)
        return SealedKey(self.home / "ca" / key, passphrase, create=create)

    @cached_property
    def trust_store(self) -> TrustStore:
        """The roots that TLS accepts."""
        if not self.settings.truststore:
            from sentinel.adapters.trust_store_file import FileTrustStore

            return FileTrustStore(self.home / "ca" / "roots.pem")
        from sentinel.adapters.trust_store_aws import AwsTrustStore

        to = self.settings
        return AwsTrustStore(self._aws("s3"), self._aws("apigateway"), to.truststore, to.domain)

    @cached_property
    def usage_plans(self) -> UsagePlans:
        """API Gateway's usage plans, where there are any."""
        from sentinel.adapters.usage_plans import ApiGatewayPlans, NoPlans, parse_plans

        plans = parse_plans(self.settings.usage_plans)
        return ApiGatewayPlans(self._aws("apigateway"), plans) if plans else NoPlans()

    @cached_property
    def services(self) -> Services:
        """Adds, changes and disables services and hooks."""
        from sentinel.bootstrap import environment
        from sentinel.usecases.services import Services

        to = self.settings
        # What a command in AWS was not told is not the default: the functions may have another.
        told = self.local or "SENTINEL_LANES" in environment()
        return Services(
            self.registry,
            self.door_secrets,
            self.usage_plans,
            to.key_prefix,
            to.hook_prefix,
            time.time,
            lanes=to.lanes if told else 0,
        )

    @cached_property
    def rotation(self) -> Rotation:
        """Rotates secrets in four steps."""
        from sentinel.usecases.rotate import Rotation

        to = self.settings
        return Rotation(
            self.registry, self.door_secrets, to.signing_secret, to.key_prefix, to.hook_prefix, time.time
        )

    @cached_property
    def limit_store(self) -> Limits:
        """The exact counters, for all processes together."""
        from sentinel.adapters.redis_limits import RedisLimits

        return RedisLimits(self._redis(seconds=0.25, retries=0))

    @cached_property
    def limiter(self) -> Limiter:
        """Holds services to their limits: where no Redis is set, those of this process alone."""
        from sentinel.usecases.limit import Limiter

        shared = bool(self.settings.redis_url)
        return Limiter((lambda: self.limit_store) if shared else None, time.monotonic)

    @cached_property
    def _hook_sources(self) -> HookSources:
        """The webhooks, each with its source."""
        from sentinel.adapters.sns_certificates import SnsCertificates
        from sentinel.usecases.hook_sources import HookSources
        from sentinel.webhooks import sources

        return HookSources(sources(SnsCertificates(self._sns, time.monotonic)), self.directory)

    @cached_property
    def _sns(self) -> Any:
        """Asks Amazon SNS, and nobody else."""
        from sentinel.adapters.hosts import Hosts
        from sentinel.adapters.http import HttpClient
        from sentinel.adapters.sns_certificates import HOSTS

        return HttpClient(Hosts(HOSTS))

    @cached_property
    def _hook_secrets(self) -> HookSecrets:
        """The secrets of webhooks."""
        from sentinel.usecases.hook_secrets import HookSecrets

        return HookSecrets(self.door_secrets, time.time, time.monotonic)

    @cached_property
    def hook_token_issuer(self) -> HookTokenIssuer:
        """Gives access tokens for the secrets of webhooks."""
        from sentinel.usecases.hook_tokens import HookTokenIssuer
        from sentinel.usecases.signing_keys import SigningKeys

        to = self.settings
        keys = SigningKeys(self.directory, self.door_secrets, to.signing_secret, time.monotonic)
        return HookTokenIssuer(self._hook_sources, self._hook_secrets, keys, to.issuer, time.time)

    @cached_property
    def receiver(self) -> Receiver:
        """Takes webhooks in."""
        from sentinel.usecases.hook_tokens import HookTokens
        from sentinel.usecases.receive import Receiver

        ingest = self.ingest  # type: ignore[attr-defined] # App has it
        tokens = HookTokens(self.directory, self._outside, self.settings.issuer, time.time)
        return Receiver(self._hook_sources, self._hook_secrets, tokens, ingest, self._sns, time.time)

    @cached_property
    def collector(self) -> Collector:
        """Takes log events in that come by Splunk's HTTP Event Collector."""
        from sentinel.core.hec_tokens import SOURCE
        from sentinel.usecases.collect import Collector, Way
        from sentinel.usecases.hook_sources import HookWays
        from sentinel.usecases.prove import Prover
        from sentinel.webhooks import COLLECTORS

        ingest = self.ingest  # type: ignore[attr-defined] # App has it
        hooks: HookWays[Way] = HookWays({SOURCE: COLLECTORS[SOURCE]}, self.directory)
        return Collector(Prover(hooks, self._hook_secrets, time.time), ingest)

    @cached_property
    def proxy(self) -> Proxy:
        """Passes requests on to upstreams."""
        from sentinel.adapters.hosts import Hosts
        from sentinel.adapters.http import HttpClient
        from sentinel.core.upstreams import parse_upstreams
        from sentinel.usecases.proxy import Proxy

        to = self.settings
        upstreams = parse_upstreams(to.proxy)
        hosts = Hosts([each.host for each in upstreams.values()], private=True)
        client = HttpClient(hosts, max_answer=to.proxy_bytes + 1)
        withheld = [to.client_certificate_header.lower()]
        return Proxy(upstreams, client, to.proxy_seconds, to.proxy_bytes, withheld)
