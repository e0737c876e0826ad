"""The functions as they are in AWS: API Gateway's events in, tables and secrets of moto behind them.

`Cloud.ask` plays API Gateway: it asks the authorizer for routes behind a token, holds the request's ARN
against the policy, and calls the route's function with what the authorizer said, or with an answer that it
kept from before (`kept`). A refusal that API Gateway would give itself has API Gateway's status.
"""

from __future__ import annotations

import base64
import functools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sentinel.adapters.dynamodb_registry import DynamoRegistry
from sentinel.adapters.dynamodb_tables import TABLES
from sentinel.bootstrap import bootstrap
from sentinel.core import api_keys
from sentinel.core import tokens as our_tokens
from sentinel.core.access import SCOPES, Hook, Root, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.local.policies import decision_of
from sentinel.ports_doors import Record
from sentinel.settings import Settings
from sentinel.usecases.directory import JWKS
from sentinel.usecases.rotated_kinds import private_key
from tests import pki
from tests.attacks.certificates import Ca, Forge, Held, record, stranger
from tests.attacks.record import Answer
from tests.attacks.tokens import ME, VICTIM, Mint
from tests.attacks.walk import Target
from tests.contracts.tables import REGION, client, definition
from tests.functions.test_api_handlers import load

STAGE = "arn:aws:execute-api:eu-central-1:111122223333:a1b2c3d4e5/live"
JSON = (("content-type", "application/json"),)
# What API Gateway answers by itself; `infra/refusals.py` gives these their bodies.
UNAUTHORIZED = Answer(401, JSON, b'{"error": "Unauthenticated", "message": "by API Gateway"}')
DENIED = Answer(403, JSON, b'{"error": "Forbidden", "message": "by API Gateway"}')
BROKEN = Answer(500, JSON, b'{"error": "Internal", "message": "by API Gateway"}')
Headers = Sequence[tuple[str, str]]


@dataclass
class Cloud:
    """One deployment. `held` are the certificates of its services, `keys` their API keys."""

    forge: Forge
    ring: Ring
    registry: DynamoRegistry
    held: dict[str, Held] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Any] = field(default_factory=dict)

    def put(self, *entities: Any) -> None:
        """Register something new."""
        for each in entities:
            assert self.registry.put(Record(each.KIND, each.id, encode(each)))

    def mint(self, held: Held | None = None) -> Mint:
        """Return a forger of tokens for a certificate, mallory's where none is given."""
        settings = Settings()
        key = self.ring.keys[-1]
        return Mint(
            pem=key.value,
            kid=key.id,
            issuer=settings.issuer,
            audience=settings.audience,
            thumbprint=(held or self.held[ME]).thumbprint,
            victims_thumbprint=self.held[VICTIM].thumbprint,
            other_thumbprint="o" * 43,
            now=int(time.time()),
        )

    def token(self, service: str, **claims: Any) -> str:
        """Return a good token."""
        told = {"sub": service, "client_id": service, "scope": " ".join(SCOPES)} | claims
        return self.mint(self.held[service]).good(**told)

    def bearer(self, service: str, **claims: Any) -> Headers:
        """Return the header of a good token."""
        return (("Authorization", f"Bearer {self.token(service, **claims)}"),)

    def call(self, name: str, event: dict[str, Any]) -> Any:
        """Call a function."""
        if name not in self.functions:
            self.functions[name] = load(name)
        return self.functions[name](event, None)

    def event(self, target: Target, pem: str, headers: Headers = (), **changes: Any) -> dict[str, Any]:
        """Return the proxy event of a request; the body travels in base64."""
        sent = [*target.headers.items(), *headers]
        many: dict[str, list[str]] = {}
        for name, value in sent:
            many.setdefault(name, []).append(value)
        identity: dict[str, Any] = {"sourceIp": "192.0.2.7"}
        if pem:
            identity["clientCert"] = {"clientCertPem": pem, "subjectDN": "CN=victim", "serialNumber": "1"}
        return {
            "resource": target.route.path,
            "path": target.path,
            "httpMethod": target.method,
            "headers": {name: values[-1] for name, values in many.items()},
            "multiValueHeaders": many,
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": dict(target.params) or None,
            "requestContext": {"requestId": str(uuid.uuid4()), "identity": identity},
            "body": base64.b64encode(target.body).decode(),
            "isBase64Encoded": True,
            **changes,
        }

    def ask(
        self,
        target: Target,
        pem: str,
        headers: Headers = (),
        kept: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Answer:
        """Send a request through authorizer, policy and function."""
        event = self.event(target, pem, headers, **changes)
        if target.route.door == "token":
            context = kept if kept is not None else self.decided(target, event)
            if isinstance(context, Answer):
                return context
            event["requestContext"]["authorizer"] = dict(context)
        return answer_of(self.call(target.route.function, event))

    def decided(self, target: Target, event: dict[str, Any]) -> Mapping[str, Any] | Answer:
        """Return the authorizer's context, or API Gateway's refusal."""
        arn = f"{STAGE}/{target.method}{target.path}"
        try:
            answer = self.call("authorize", {**event, "type": "REQUEST", "methodArn": arn})
        except Exception as error:  # noqa: BLE001 - API Gateway goes by its word
            return UNAUTHORIZED if str(error) == "Unauthorized" else BROKEN
        found = decision_of(answer)
        return found.context if found.allows(arn) else DENIED


def answer_of(reply: Mapping[str, Any]) -> Answer:
    """Return a proxy reply as an answer."""
    body = reply["body"]
    raw = base64.b64decode(body) if reply["isBase64Encoded"] else body.encode()
    headers = tuple((name.lower(), value) for name, value in reply["headers"].items())
    return Answer(reply["statusCode"], headers, raw)


@contextmanager
def setting(name: str, value: str) -> Iterator[None]:
    """Change one setting of the deployment that runs, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        _end()
        patch.setenv(f"SENTINEL_{name.upper()}", value)
        yield
        _end()


def _end() -> None:
    """End the process's application, as the end of a process would."""
    made = vars(bootstrap())
    if "proxy" in made:
        made["proxy"]._http.close()
    bootstrap.cache_clear()


@contextmanager
def deployed(upstream: int) -> Iterator[Cloud]:
    """Run a deployment on moto."""
    settings = {
        "ledger_table": "ledger",
        "tasks_table": "tasks",
        "catalog_table": "catalog",
        "registry_table": "registry",
        "counters_table": "counters",
        "alerts_table": "alerts",
        "door_prefix": "sentinel/",
        "door_seconds": "0",
        "limits": "false",
        "proxy": f"echo=http://127.0.0.1:{upstream}/base",
    }
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        for name, value in settings.items():
            patch.setenv(f"SENTINEL_{name.upper()}", value)
        bootstrap.cache_clear()
        dynamodb = client()
        for name in TABLES:
            dynamodb.create_table(**definition(name, TABLES[name]))
        try:
            yield _moved_in(DynamoRegistry(dynamodb, "registry"))
        finally:
            _end()


def _moved_in(registry: DynamoRegistry) -> Cloud:
    now = int(time.time())
    root = stranger("root", now, 0)
    own = Ca(root.name, root.key, root.certificate, own=True)
    ended = stranger("ended", now, 0)
    forge = Forge(now, Settings().trust_domain, own, stranger("mesh", now), ended, stranger("foreign", now))
    forge.record = functools.partial(record, registry)
    ring = Ring((Key("k1", private_key()),))
    made = Cloud(forge, ring, registry)
    made.put(
        Root("root", forge.domain, pki.pem(own.certificate), key="kms"),
        Root("mesh", "mesh.example", pki.pem(forge.mesh.certificate)),
        Root("ended", forge.domain, pki.pem(ended.certificate), until=now - 60),
        Service(ME, tier="high", scopes=SCOPES),
        Service(VICTIM, tier="high", scopes=SCOPES),
        Service("off", tier="high", scopes=SCOPES, disabled=True),
        Hook("bills", VICTIM, "standard-webhooks", "hooks.bills"),
    )
    import orjson

    assert registry.put(Record(*JWKS, orjson.dumps(our_tokens.jwks(ring, now))))
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="sentinel/signing-keys", SecretString=ring.encode())
    for number, name in enumerate((ME, VICTIM, "off")):
        made.held[name] = forge.of(name)
        made.keys[name] = api_keys.make(f"{number:016x}", bytes([number]) * 32)
        made.put(api_keys.of(made.keys[name], name, 0))
    return made
