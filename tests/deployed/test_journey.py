"""The app's templates, deployed to the emulator for real, and the way through what they made."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.deployed.deployment import DOOR_SECRETS, REDIS_SECRET, SECRETS, deploy
from tests.deployed.emulator import ACCOUNT, REGION, ROOT
from tests.deployed.journey import FAILURES, MESSAGE, Journey
from tests.deployed.refusals import ATTEMPTS, Attempt

# A busy machine takes several times the half minute that an idle one does.
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("deployed"),
]


@pytest.fixture(scope="module")
def gone() -> Iterator[Journey]:
    """Deploy, go the whole way once, and keep what came of it."""
    story: list[str] = []

    def say(what: str, told: str) -> None:
        story.append(f"{what}: {told}")

    with deploy(say) as deployed:
        journey = Journey(deployed, say)
        try:
            journey.all()
        except Exception as failure:
            failure.add_note("\n".join([*story, deployed.emulator.log()[-6000:]]))
            raise
        yield journey


def test_everything_is_deployed(gone: Journey) -> None:
    """Every function is of the deployment but those of patches, which are off by default; nothing else is."""
    patches = {"work_read", "work_ai", "work_git"}
    there = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir()}
    assert set(gone.deployed.functions) == there - patches


def test_from_a_token_to_a_verified_chain(gone: Journey) -> None:
    """What was ingested is sealed once, set one task off, was delivered once, and verifies."""
    assert gone.receipt["count"] == FAILURES
    events = gone.deployed.collector.collector.events
    assert [each["event"]["n"] for each in events] == list(range(FAILURES))
    assert {each["fields"]["sentinel_task"] for each in events} == {gone.task}
    assert gone.lineage == ["queued", "running", "succeeded"]
    (chain,) = gone.verified
    assert chain["verified"] is True
    assert chain["entries"] == FAILURES + 1  # the webhook's


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda each: each.name)
def test_what_is_refused(gone: Journey, attempt: Attempt) -> None:
    """Each attempt is refused with its status, in the shape of our errors, and told no secret."""
    answer = gone.answers[attempt.name]
    assert answer.status == attempt.status
    told = answer.json()
    assert told["error"]
    assert told["message"]
    for secret in secrets_of(gone):
        assert secret not in answer.body.decode()


def test_a_revoked_certificate_counts_no_more(gone: Journey) -> None:
    """A certificate that was good opens nothing after its revocation: no route, and no new token."""
    assert gone.answers["a revoked certificate"].status == 401
    assert gone.answers["a token for a revoked certificate"].status == 401


def test_both_keys_count_while_they_rotate(gone: Journey) -> None:
    """The function that rotates made another API key beside the old one, and a second signing key."""
    assert len(set(gone.keys)) == 2
    published = gone.service.call("GET", "/.well-known/jwks.json").json()["keys"]
    assert len(published) == 2
    assert all(not {"d", "k"} & key.keys() for key in published)


def test_the_trust_store_takes_nothing_without_tls(gone: Journey) -> None:
    """Its bucket refuses the function that publishes, for the emulator has no TLS; the round goes on."""
    assert gone.deployed.invoke("rotate", {}) == {"rotated": [], "failed": ["truststore"]}
    assert (
        "the trust store's object may not be read or changed (AccessDenied)" in gone.deployed.emulator.log()
    )


def test_no_secret_is_in_the_logs(gone: Journey) -> None:
    """Neither keys, tokens and passwords nor what was ingested is in what the functions have logged."""
    log = gone.deployed.emulator.log()
    assert '"service":"detect"' in log  # their output is in it
    for secret in [*secrets_of(gone), MESSAGE]:
        assert secret not in log


def test_who_seals_may_not_change(gone: Journey) -> None:
    """The role of the function that seals entries may neither change nor delete them, nor read a secret."""
    client = gone.deployed.emulator.client("iam")
    about = gone.deployed.emulator.client("lambda").get_function_configuration(
        FunctionName=gone.deployed.functions["ingest"]
    )
    table = gone.deployed.outputs["SENTINEL_LEDGER_TABLE"]
    ledger = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"

    def decided(action: str, resource: str) -> str:
        (found,) = client.simulate_principal_policy(
            PolicySourceArn=about["Role"], ActionNames=[action], ResourceArns=[resource]
        )["EvaluationResults"]
        return str(found["EvalDecision"])

    assert decided("dynamodb:PutItem", ledger) == "allowed"
    for action in ("DeleteItem", "UpdateItem", "BatchWriteItem", "Scan"):
        assert decided(f"dynamodb:{action}", ledger) == "implicitDeny"
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{DOOR_SECRETS}signing-keys-ae9c0e"
    assert decided("secretsmanager:GetSecretValue", secret) == "implicitDeny"


def test_who_erases_has_records_signed_and_signs_nothing(gone: Journey) -> None:
    """In its role the command did all that it does; the key itself, and what seals, are refused to it."""
    assert gone.erased["record"] == FAILURES + 1
    assert gone.erased["unfinished"] == []
    assert gone.erased["segments"] == 1
    assert gone.signing == ["AccessDeniedException"] * 2
    assert "signed the record of entries 0 to 0 of" in gone.deployed.emulator.log()


def secrets_of(journey: Journey) -> list[str]:
    """Return what nobody may read anywhere: keys, tokens, passwords."""
    values = [journey.deployed.collector.collector.token, *journey.keys]
    for caller in (journey.service, journey.other, journey.lost):
        values += [caller.api_key, caller.access_token]
    values.append(base64.b64encode(journey.hook.key).decode())
    store = journey.deployed.emulator.client("secretsmanager")
    for name in (SECRETS + REDIS_SECRET, DOOR_SECRETS + "signing-keys"):
        values.append(store.get_secret_value(SecretId=name)["SecretString"])
    assert all(values)
    return values
