"""Who may use the keys and secrets of the doors: computed from every policy, wildcards included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from sentinel.core.ring import Ring
from sentinel.settings import Settings
from sentinel.usecases.directory import JWKS

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

DOOR = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:sentinel-doors/dev/"
SIGNING, API_KEY, HOOK = (
    f"{DOOR}{name}-AbCdEf" for name in ("signing-keys", "services.shop", "hooks.sentry")
)
# Who may read the value of which secret of the doors. Services' keys are hashes to everybody but rotation.
READERS = {SIGNING: {"token", "rotate"}, API_KEY: {"rotate"}, HOOK: {"receive", "token", "rotate"}}
CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/7a1f0c1e-1111-4222-8333-444455556666"
DOMAIN = {"domain_name": "api.example.com", "certificate_arn": CERTIFICATE}


@pytest.fixture(scope="module")
def named(synthesize: Callable[..., Templates]) -> Templates:
    """Return a deployment with a domain, and two keys of the CA."""
    return synthesize(**DOMAIN, ca_keys=2)


def verbs(templates: Templates, action: str, resource: str) -> set[str]:
    """Return the functions that may do an action on a resource."""
    return {
        verb
        for verb, function in templates.functions().items()
        if templates.allows(templates.role_of(function), action, resource)
    }


def operations(service: str) -> set[str]:
    """Return every operation of a service's API."""
    return set(botocore.session.get_session().get_service_model(service).operation_names)


def _ca_keys(templates: Templates) -> list[str]:
    return [f"arn:aws:{name}:Arn" for name in templates.of("AWS::KMS::Key") if name.startswith("DoorsCaKey")]


@pytest.mark.parametrize("secret", READERS, ids=["signing keys", "API key", "webhook"])
def test_secrets_of_the_doors_are_read_by_their_door(templates: Templates, secret: str) -> None:
    """The signing keys are read by `token`, webhooks' secrets by it and `receive`, all by `rotate`.

    A token that anybody else could sign would be let in by every door; `token` gives some for such secrets.
    """
    assert verbs(templates, "secretsmanager:GetSecretValue", secret) == READERS[secret]


def test_secrets_of_the_doors_are_changed_by_rotation_alone(templates: Templates) -> None:
    """Of all that Secrets Manager can do, `rotate` may do its four steps, and others read at most."""
    steps = {"DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"}
    for operation in operations("secretsmanager"):
        for secret in READERS:
            may = verbs(templates, f"secretsmanager:{operation}", secret) - {"rotate"}
            assert not may or operation == "GetSecretValue", (operation, may)
        assert bool(verbs(templates, f"secretsmanager:{operation}", SIGNING)) == (operation in steps)


# Which kinds of the registry's records a function may read, and which write: what the use cases behind it do.
CALLERS = {"root", "revoked", "certificate", "identity", "service", JWKS[0]}
KINDS: dict[str, tuple[set[str], set[str]]] = {
    "control": ({"service", "key", "author"}, set()),
    "authorize": (CALLERS, set()),
    "token": (CALLERS | {"key", "author", "hook"}, set()),
    "approve": ({"author", JWKS[0]}, set()),
    "certify": ({"certificate", "revoked", "root", "service"}, {"certificate", "revoked"}),
    "receive": ({"hook", "service", JWKS[0]}, set()),
    "rotate": ({"key", "hook", JWKS[0], "root", "service"}, {"key", JWKS[0]}),
    "archive": ({"service"}, set()),
    # Whose signatures count: read by all that read the catalog, and written by none of them.
    **{verb: ({"author"}, set()) for verb in ("detect", "work_siem", "work_action", "sweep", "deliver")},
}


def test_a_function_sees_and_writes_its_own_kinds_of_records(templates: Templates) -> None:
    """Who may write services, roots or public keys decides who comes in: no function may, but for rotation's.

    A function that was taken over, `certify` say, must not be able to let somebody in by a record of another
    kind; nor need one that takes webhooks read the hashes of API keys.
    """
    registry = templates.table("registry")
    for verb, function in templates.functions().items():
        role = templates.role_of(function)
        read, write = KINDS.get(verb, (set(), set()))
        for action in ("GetItem", "Query"):
            # Limits of services are listed, none is looked up.
            expected = set() if (verb, action) == ("archive", "GetItem") else read
            assert templates.partitions(role, f"dynamodb:{action}", registry) == expected, (verb, action)
        assert templates.partitions(role, "dynamodb:PutItem", registry) == write, verb


def test_workers_cannot_read_the_doors_secrets(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """What carries out recipes reads no secret of the doors, also where the sinks' prefix is another."""
    for made in (templates, synthesize(secret_prefix="sentinel/"), synthesize(secret_prefix="x/")):
        for secret in READERS:
            for operation in operations("secretsmanager"):
                may = verbs(made, f"secretsmanager:{operation}", secret)
                assert not {verb for verb in may if verb.startswith("work_")}, operation


def test_doors_of_another_environment_are_closed(templates: Templates) -> None:
    """No function may touch the secrets of another deployment in the same account."""
    for secret in READERS:
        other = secret.replace("/dev/", "/prod/")
        for operation in operations("secretsmanager"):
            assert not verbs(templates, f"secretsmanager:{operation}", other)


def test_only_certify_signs_with_the_ca(templates: Templates, named: Templates) -> None:
    """No function but `certify` may use a key of the own CA, and it may sign and show it, nothing else."""
    for made, count in ((templates, 1), (named, 2)):
        keys = _ca_keys(made)
        assert len(keys) == count
        for key in keys:
            for operation in operations("kms"):
                expected = {"certify"} if operation in {"Sign", "GetPublicKey"} else set()
                assert verbs(made, f"kms:{operation}", key) == expected, operation


def test_keys_of_the_ca_are_kept_and_cannot_leave(named: Templates) -> None:
    """The CA's keys are P-256 keys of KMS for signatures, kept when the stack goes; the last is in use."""
    keys = {name: key for name, key in named.of("AWS::KMS::Key").items() if name.startswith("DoorsCaKey")}
    for key in keys.values():
        assert key["Properties"]["KeySpec"] == "ECC_NIST_P256"
        assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
        assert key["Properties"].get("Origin", "AWS_KMS") == "AWS_KMS"
    variables = named.functions()["certify"]["Properties"]["Environment"]["Variables"]
    used = named.text(variables["SENTINEL_CA_KEY"])
    assert used.startswith("DoorsCaKey2")
    assert used in keys


def test_a_rollover_keeps_the_key_before(templates: Templates, named: Templates) -> None:
    """A second key is beside the first: the template does not replace what is in force."""
    first = set(_ca_keys(templates))
    assert first < set(_ca_keys(named))


def test_no_function_manages_the_gateway(named: Templates, templates: Templates) -> None:
    """No function may make API keys, change plans or open an API: one may move its domain's trust store."""
    gateway = "arn:aws:apigateway:eu-central-1::"
    mine = gateway + "/domainnames/api.example.com"
    paths = ("/apikeys", "/apikeys/1", "/usageplans/1/keys", "/usageplans/1", "/restapis/1", "/account")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in (
            *paths,
            "/domainnames",
            "/domainnames/other.example.com",
            "/domainnames/x/basepathmappings",
        ):
            assert not verbs(named, f"apigateway:{method}", gateway + path), (method, path)
        assert verbs(named, f"apigateway:{method}", mine) == (
            {"rotate"} if method in {"GET", "PATCH"} else set()
        )
        assert not verbs(templates, f"apigateway:{method}", mine)
    # Beside PATCH, changing what a domain trusts asks for rights of its own.
    for action in ("AddCertificateToDomain", "RemoveCertificateFromDomain"):
        assert verbs(named, f"apigateway:{action}", mine) == {"rotate"}


def _bucket(templates: Templates) -> tuple[str, dict[str, Any]]:
    buckets = templates.of("AWS::S3::Bucket")
    ((name, bucket),) = [each for each in buckets.items() if each[0].startswith("DoorsTrustStore")]
    return name, bucket


def test_the_trust_store_is_versioned_kept_and_private(templates: Templates) -> None:
    """The bucket keeps every version, is encrypted, TLS only, closed to the public, and stays."""
    name, bucket = _bucket(templates)
    found = bucket["Properties"]
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    assert found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(found["PublicAccessBlockConfiguration"]) == 4
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    (policy,) = [
        each
        for each in templates.of("AWS::S3::BucketPolicy").values()
        if each["Properties"]["Bucket"] == {"Ref": name}
    ]
    denied = [
        each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denied]
    assert not [
        each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"
    ]


def test_rotate_alone_publishes_the_trust_store(templates: Templates) -> None:
    """One object may be written by one function; versions of it can be deleted by none."""
    name, _ = _bucket(templates)
    arn = f"arn:aws:{name}:Arn"
    writes = {"PutObject", "GetObject", "GetObjectVersion"}
    for action in (*writes, "DeleteObject", "DeleteObjectVersion", "PutBucketPolicy", "PutBucketVersioning"):
        expected = {"rotate"} if action in writes else set()
        assert verbs(templates, f"s3:{action}", f"{arn}/roots.pem") == expected
        assert not verbs(templates, f"s3:{action}", f"{arn}/other.pem")
    variables = templates.functions()["rotate"]["Properties"]["Environment"]["Variables"]
    assert templates.text(variables["SENTINEL_TRUSTSTORE"]) == f"s3://{name}/roots.pem"


def test_the_signing_keys_begin_empty_and_rotate_by_themselves(templates: Templates) -> None:
    """The secret is kept, begins as a ring without keys, and is rotated at once and every 30 days."""
    ((name, secret),) = templates.of("AWS::SecretsManager::Secret").items()
    found = secret["Properties"]
    assert found["Name"] == "sentinel-doors/dev/" + Settings().signing_secret
    assert Ring.decode(found["SecretString"]) == Ring()
    assert secret["DeletionPolicy"] == "Retain"
    (schedule,) = templates.of("AWS::SecretsManager::RotationSchedule").values()
    assert templates.text(schedule["Properties"]["SecretId"]) == name
    assert schedule["Properties"]["RotationRules"] == {"AutomaticallyAfterDays": 30}
    assert schedule["Properties"]["RotateImmediatelyOnUpdate"] is True
    rotate = templates.text(schedule["Properties"]["RotationLambdaARN"])
    assert "RotateFunction" in rotate
    outputs = templates.stack("SentinelService")["Outputs"]
    assert templates.text(outputs["RotateFunction"]["Value"]) == rotate


def test_a_header_is_believed_where_a_proxy_stands_in_front_only(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """No function believes a certificate in a header unless the deployment says that a proxy sets it."""
    made = synthesize(
        default_endpoint=True,
        client_certificate_header="Client-Cert",
        ingress_addresses="10.0.0.0/8",
        redis_url="redis://127.0.0.1:6379",
    )
    variable = "SENTINEL_CLIENT_CERTIFICATE_HEADER"
    for verb, function in made.functions().items():
        behind = verb in {"authorize", "token", "certify", "ingest", "control", "proxy"}
        assert (variable in function["Properties"]["Environment"]["Variables"]) == behind, verb
    for function in templates.functions().values():
        assert variable not in function["Properties"]["Environment"]["Variables"]


def test_the_issuer_follows_the_domain(named: Templates, synthesize: Callable[..., Templates]) -> None:
    """Tokens name the service API's domain as their issuer, or what the option says."""

    def issuer(templates: Templates, verb: str) -> str:
        variables = templates.functions()[verb]["Properties"]["Environment"]["Variables"]
        return Settings.from_environ(
            {name: templates.text(value) for name, value in variables.items()}
        ).issuer

    for verb in ("token", "authorize"):
        assert issuer(named, verb) == "https://api.example.com"
        assert issuer(synthesize(**DOMAIN, issuer="https://id.example.com"), verb) == "https://id.example.com"


def test_the_command_line_learns_what_it_needs(named: Templates) -> None:
    """Outputs that are described by a setting's variable have its value: commands need no more."""
    outputs = {
        each["Description"]: each["Value"]
        for stack in named.stacks.values()
        for each in stack["Outputs"].values()
        if each.get("Description", "").startswith("SENTINEL_")
    }
    settings = Settings.from_environ({name: named.text(value) for name, value in outputs.items()})
    defaults = {"SENTINEL_TRUST_DOMAIN", "SENTINEL_LOG", "SENTINEL_LANES"}
    assert settings.to_environ().keys() == outputs.keys() - defaults
    assert (settings.domain, settings.door_prefix) == ("api.example.com", "sentinel-doors/dev/")
    for name in ("ledger", "tasks", "catalog", "counters", "registry", "alerts"):
        assert getattr(settings, f"{name}_table")


# What the emulator that deployments are tried on fails a whole stack for.
LACKING = (
    *("AWS::EC2::", "AWS::ElastiCache::", "AWS::WAFv2::", "AWS::ApplicationAutoScaling::", "Custom::"),
    *(
        "AWS::SecretsManager::RotationSchedule",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::Logs::QueryDefinition",
    ),
)


def test_an_emulator_can_deploy_it(synthesize: Callable[..., Templates]) -> None:
    """With the options for an emulator no template has a type that it lacks, and no key is asked for."""
    made = synthesize(
        redis_url="redis://127.0.0.1:6379",
        rotation=False,
        usage_plans=False,
        default_endpoint=True,
        client_certificate_header="Client-Cert",
        ingress_addresses="0.0.0.0/0",
        authorizer_cache_seconds=0,
        layer_target="host",
    )
    assert len(made.stacks) == 2
    kinds = {each["Type"] for stack in made.stacks.values() for each in stack["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith(LACKING)}
    for alarm in made.of("AWS::CloudWatch::Alarm").values():
        assert "Metrics" not in alarm["Properties"]
    for method in made.of("AWS::ApiGateway::Method").values():
        assert not method["Properties"].get("ApiKeyRequired")
