"""The functions that are doors, and the one that rotates their keys: their settings and their rights.

Functions that count what services take need Redis, and with an own cache are in its network; the others
stay out of it, where the internet, KMS and Secrets Manager are reached without a NAT gateway.
"""

from __future__ import annotations

from aws_cdk import Aws, Stack, aws_iam

from infra import access
from infra.config import Deployment
from infra.factory import Factory, Stores
from infra.function import Function, Spec
from sentinel.adapters.dynamodb_tables import BY_CHANGE, CHAINS, NEWEST
from sentinel.core.access import Alias, ApiKey, Author, Hook, Issued, Revoked, Root, Service
from sentinel.core.flow import PLACE, RATE
from sentinel.core.pauses import KEY as PAUSES
from sentinel.settings import Settings

# Those that count what services take by the one counter in Redis.
LIMITED = ("ingest", "control", "token", "receive", "proxy")
READ = ("GetItem", "Query")
PUBLIC_KEYS = "jwks"  # the kind of the record with the public keys of tokens
# The kinds of records by which a door tells who comes in. Whoever may write one of them lets in whom he
# likes, so a function may write those kinds alone that it is there for.
CALLERS = (Root.KIND, Revoked.KIND, Issued.KIND, Alias.KIND, Service.KIND, PUBLIC_KEYS)
# The keys of counters: pauses, places at gates, and rates.
PLACES, RATES = f"{PLACE}*", f"{RATE}/*"
# The four steps of a rotation: read, stage, look, promote.
ROTATE = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")


class DoorFunctions:
    """`by_verb` has each under the name of its folder; `rotate` is also called by Secrets Manager."""

    def __init__(self, factory: Factory, stores: Stores) -> None:
        self._make = factory
        self._to: Deployment = factory.deployment
        self._ledger = stores.ledger.table
        self._tables = stores.tables
        self._doors = stores.doors
        self._log = stores.log
        self.by_verb = {
            "ingest": self._add_ingest(),
            "control": self._add_control(),
            "authorize": self._add_authorize(),
            "token": self._add_token(),
            "certify": self._add_certify(),
            "proxy": self._add_proxy(),
            "receive": self._add_receive(),
            "approve": self._add_approve(),
            "rotate": self._add_rotate(),
        }

    @property
    def rotate(self) -> Function:
        """The function that rotates."""
        return self.by_verb["rotate"]

    def _door(self) -> dict[str, object]:
        """Return the settings of whatever is behind mutual TLS, or behind the proxy that stands in for it."""
        return {"client_certificate_header": self._to.client_certificate_header}

    def _tokens(self) -> dict[str, object]:
        """Return the settings of those who make or check access tokens."""
        return {
            **self._registry(),
            "issuer": self._issuer,
            "audience": self._to.audience,
            "trust_domain": self._to.trust_domain,
        }

    @property
    def _issuer(self) -> str:
        """The issuer of tokens and links."""
        domain = f"https://{self._to.domain_name}" if self._to.domain_name else Settings().issuer
        return self._to.issuer or domain

    def _registry(self) -> dict[str, object]:
        return {"registry_table": self._tables.registry.table_name}

    def _read(self, *kinds: str) -> aws_iam.PolicyStatement:
        return access.on_records(self._tables.registry, kinds, *READ)

    def _write(self, *kinds: str) -> aws_iam.PolicyStatement:
        return access.on_records(self._tables.registry, kinds, "PutItem")

    def _limited(self) -> dict[str, object]:
        """Return the settings of those who count what services take, and use Redis for nothing else."""
        return {"limits": True, **self._make.redis()} if self._to.limits else {"limits": False}

    def _add_ingest(self) -> Function:
        settings = self._make.settings(lanes=self._to.lanes, **self._door(), **self._limited())
        # Memory buys CPU: below one full core, parsing and hashing a large batch would be what takes time.
        spec = Spec("ingest", settings, memory=1769, timeout=20, network=self._network())
        ingest = self._make.make("Ingest", spec)
        self._make.allow_appending(ingest)
        self._make.allow_archive(ingest)
        return ingest

    def _network(self) -> str:
        return "quiet" if self._to.limits else ""

    def _add_control(self) -> Function:
        settings = self._make.settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,  # forks are held against their recipe
            counters_table=self._tables.counters.table_name,
            alerts_table=self._tables.alerts.table_name,
            recipes_signed=self._to.recipes_signed,
            **self._to.action_settings,  # of what approvers are shown
            **self._registry(),
            **self._door(),
            **self._limited(),
        )
        spec = Spec("control", settings, memory=512, timeout=20, network=self._network())
        control = self._make.make("Control", spec)
        self._make.allow_reading(control)
        control.allow(
            access.on_index(self._ledger, CHAINS),
            access.on_table(self._tables.tasks, "GetItem", "PutItem", "Query"),
            access.on_index(self._tables.tasks, BY_CHANGE),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            # Pauses, and what a task gives back which a person ends: its place, its time to start.
            access.on_keys(self._tables.counters, (PAUSES, PLACES, RATES), "GetItem", "PutItem"),
            access.on_table(self._tables.alerts, "GetItem"),
            access.on_index(self._tables.alerts, NEWEST),
            self._read(Service.KIND, ApiKey.KIND, Author.KIND),
        )
        self._log.reads(control)  # checkpoints and tiles, of which proofs are made
        self._make.allow_archive(control)
        self._make.show_blobs(control)
        return control

    def _add_authorize(self) -> Function:
        settings = self._make.settings(oidc_issuers=self._to.oidc_issuers, **self._tokens(), **self._door())
        # On the way of every request: a full core, and an answer before the gateway gives up.
        authorize = self._make.make("Authorize", Spec("authorize", settings, memory=1769, timeout=10))
        authorize.allow(self._read(*CALLERS))
        return authorize

    def _add_token(self) -> Function:
        settings = self._make.settings(
            door_prefix=self._to.door_prefix,
            tasks_table=self._tables.tasks.table_name,
            **self._tokens(),
            **self._door(),
            **self._limited(),
        )
        spec = Spec("token", settings, memory=1024, timeout=20, network=self._network())
        token = self._make.make("Token", spec)
        token.allow(
            self._read(*CALLERS, ApiKey.KIND, Author.KIND, Hook.KIND),
            access.secret(self._tables, self._to.door_prefix + settings.signing_secret),
            # What a link to approve is made for.
            access.on_table(self._tables.tasks, "GetItem"),
        )
        self._make.allow_secrets(
            token,
            self._to.door_prefix + settings.hook_prefix,
            "GetSecretValue",
            reason="The secrets of webhooks, for which it gives tokens, below their own prefix: hooks are "
            "added without a deployment, so their names are not known here.",
        )
        return token

    def _add_certify(self) -> Function:
        settings = self._make.settings(
            ca_key=self._doors.ca_keys[-1].key_id,
            trust_domain=self._to.trust_domain,
            limits=self._to.limits,  # of each process alone: renewals are rare, and need no Redis
            **self._registry(),
            **self._door(),
        )
        certify = self._make.make("Certify", Spec("certify", settings, memory=512, timeout=20))
        certify.allow(
            self._read(Issued.KIND, Revoked.KIND, Root.KIND, Service.KIND),
            self._write(Issued.KIND, Revoked.KIND),
            access.allow(["kms:GetPublicKey", "kms:Sign"], [key.key_arn for key in self._doors.ca_keys]),
        )
        return certify

    def _add_proxy(self) -> Function:
        settings = self._make.settings(proxy=self._to.proxy, **self._door(), **self._limited())
        # The upstream has 25 seconds (`proxy_seconds`), the gateway 29.
        return self._make.make("Proxy", Spec("proxy", settings, memory=1024, timeout=28, network="workers"))

    def _add_receive(self) -> Function:
        settings = self._make.settings(
            lanes=self._to.lanes,
            door_prefix=self._to.door_prefix,
            issuer=self._issuer,
            oidc_issuers=self._to.oidc_issuers,
            **self._registry(),
            **self._limited(),
        )
        spec = Spec("receive", settings, memory=1024, timeout=20, network=self._network())
        receive = self._make.make("Receive", spec)
        self._make.allow_appending(receive)
        receive.allow(
            self._read(Hook.KIND, Service.KIND, PUBLIC_KEYS),
        )
        self._make.allow_archive(receive)
        self._make.allow_secrets(
            receive,
            self._to.door_prefix + settings.hook_prefix,
            "GetSecretValue",
            reason="The secrets of webhooks, below their own prefix: hooks are added without a deployment, "
            "so their names are not known here.",
        )
        return receive

    def _add_approve(self) -> Function:
        settings = self._make.settings(
            tasks_table=self._tables.tasks.table_name,
            catalog_table=self._tables.catalog.table_name,
            counters_table=self._tables.counters.table_name,
            recipes_signed=self._to.recipes_signed,
            issuer=self._issuer,
            **self._registry(),
            **self._to.action_settings,
        )
        # Links are rare, and strangers may call: a few at once are all that ever run.
        spec = Spec("approve", settings, memory=512, timeout=20, reserved=self._to.approve_concurrency)
        approve = self._make.make("Approve", spec)
        self._make.allow_reading(approve)
        approve.allow(
            access.on_table(self._tables.tasks, "GetItem", "PutItem", "Query"),
            access.on_table(self._tables.catalog, "GetItem", "Query"),
            # The places that a task gives back which is refused; it has started, so its rate is used up.
            access.on_keys(self._tables.counters, (PLACES,), "GetItem", "PutItem"),
            self._read(Author.KIND, PUBLIC_KEYS),
        )
        self._make.allow_archive(approve)
        self._make.show_blobs(approve)
        return approve

    def _add_rotate(self) -> Function:
        settings = self._make.settings(
            door_prefix=self._to.door_prefix,
            truststore=self._doors.trust_store_uri,
            domain=self._to.domain_name,
            trust_domain=self._to.trust_domain,
            **self._registry(),
        )
        rotate = self._make.make("Rotate", Spec("rotate", settings, memory=512, timeout=60))
        rotate.allow(
            self._read(ApiKey.KIND, Hook.KIND, PUBLIC_KEYS, Root.KIND, Service.KIND),
            self._write(ApiKey.KIND, PUBLIC_KEYS),
            *self._publish(),
        )
        self._make.allow_secrets(
            rotate,
            self._to.door_prefix,
            *ROTATE,
            reason="The doors' own secrets, below their prefix: services and hooks are added without a "
            "deployment, so the names of their secrets are not known here.",
        )
        rotate.function.add_permission(
            "SecretsManager",
            principal=aws_iam.ServicePrincipal("secretsmanager.amazonaws.com"),
            source_account=Aws.ACCOUNT_ID,
        )
        return rotate

    def _publish(self) -> list[aws_iam.PolicyStatement]:
        """Return what publishing the trust store takes: its one object, and the one domain that uses it."""
        bucket = self._doors.trust_store
        key = self._doors.trust_store_uri.rpartition("/")[2]
        statements = [
            # API Gateway reads the object with the caller's rights; without listing, a missing object
            # would look like one that may not be read.
            access.allow(
                ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], [bucket.arn_for_objects(key)]
            ),
            access.allow(["s3:ListBucket"], [bucket.bucket_arn], StringEquals={"s3:prefix": key}),
        ]
        if self._to.domain_name:
            domain = Stack.of(self._tables).format_arn(
                service="apigateway", account="", resource="/domainnames", resource_name=self._to.domain_name
            )
            actions = ("AddCertificateToDomain", "GET", "PATCH", "RemoveCertificateFromDomain")
            statements.append(access.allow([f"apigateway:{action}" for action in actions], [domain]))
        return statements
