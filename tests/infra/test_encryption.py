"""Data keys and erasure in the templates: who may use which, and that nobody else may."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from infra.config import BadOption, Deployment
from infra.ledger import ATTRIBUTES, CHANGES
from sentinel.settings import Settings
from tests.infra.conftest import ADA, IMAGES
from tests.infra.test_function_settings import environ
from tests.infra.test_rights import RIGHTS

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

WRITERS = {"ingest", "receive"}
READERS = {verb for verb, tables in RIGHTS.items() if "Query" in tables.get("ledger", set())} - WRITERS


@pytest.fixture
def encrypted(erasing: Templates) -> Templates:
    """A deployment with data keys, and somebody who may erase."""
    return erasing


def _key(made: Templates) -> str:
    (name,) = [each for each in made.of("AWS::KMS::Key") if each.startswith("DataKey")]
    return f"arn:aws:{name}:Arn"


def _eraser(made: Templates) -> str:
    (name,) = [each for each in made.of("AWS::IAM::Role") if each.startswith("Erasure")]
    return name


def _who(made: Templates, action: str, resource: str) -> set[str]:
    functions = {made.role_of(function): verb for verb, function in made.functions().items()}
    roles = made.of("AWS::IAM::Role")
    return {functions.get(role, role) for role in roles if made.allows(role, action, resource)}


def test_data_keys_are_made_by_who_appends_and_opened_by_who_reads(encrypted: Templates) -> None:
    """Of all functions; and the role that erases does both. Nobody has any other action with the key."""
    key, keys, eraser = _key(encrypted), encrypted.table("keys"), _eraser(encrypted)
    assert _who(encrypted, "kms:GenerateDataKey", key) == WRITERS | {eraser}
    assert _who(encrypted, "kms:Decrypt", key) == WRITERS | READERS | {eraser}
    for action in ("Encrypt", "ReEncryptFrom", "CreateGrant", "ScheduleKeyDeletion", "PutKeyPolicy"):
        assert _who(encrypted, f"kms:{action}", key) == set(), action
    assert _who(encrypted, "dynamodb:PutItem", keys) == WRITERS | {eraser}
    assert _who(encrypted, "dynamodb:GetItem", keys) == WRITERS | READERS | {eraser}
    assert _who(encrypted, "dynamodb:DeleteItem", keys) == {eraser}
    for action in ("UpdateItem", "BatchWriteItem", "Scan"):
        assert _who(encrypted, f"dynamodb:{action}", keys) == set(), action


def test_the_key_is_used_for_data_keys_of_chains_alone(encrypted: Templates) -> None:
    """Each right is conditioned on the encryption context, by which KMS authenticates chain and id."""
    key, found = _key(encrypted), 0
    for role in encrypted.of("AWS::IAM::Role"):
        for statement in encrypted.statements(role):
            if key in map(encrypted.text, _listed(statement["Resource"])):
                found += 1
                assert statement["Condition"] == {
                    "StringLike": {"kms:EncryptionContext:chain": "?*/?*"},
                    "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["chain", "key"]},
                }
    assert found == len(WRITERS | READERS) + 1


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_functions_are_told_where_their_keys_are(encrypted: Templates) -> None:
    """Those that open or encrypt have both settings, the others none."""
    for verb, function in encrypted.functions().items():
        settings = Settings.from_environ(environ(encrypted, function))
        assert (bool(settings.keys_table), bool(settings.data_key)) == (verb in WRITERS | READERS,) * 2, verb


def test_the_key_rotates_and_is_kept(encrypted: Templates) -> None:
    """KMS rotates it; without it everything that is encrypted is lost."""
    (key,) = [each for name, each in encrypted.of("AWS::KMS::Key").items() if name.startswith("DataKey")]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"


def test_without_the_option_there_is_nothing_of_it(templates: Templates) -> None:
    """No key, no right on the table of keys, no role that erases; and that table is closed all the same."""
    assert not [name for name in templates.of("AWS::KMS::Key") if name.startswith("DataKey")]
    assert not [name for name in templates.of("AWS::IAM::Role") if name.startswith("Erasure")]
    for action in ("PutItem", "GetItem", "Query", "DeleteItem"):
        assert _who(templates, f"dynamodb:{action}", templates.table("keys")) == set()
    fences = _fences(templates, "keys")
    assert {action for each in fences for action in _listed(each["Action"])} == set(CHANGES)
    assert not any("Condition" in each for each in fences)


def _fences(made: Templates, name: str) -> list[dict[str, Any]]:
    table = made.of("AWS::DynamoDB::Table")[made.table(name).rpartition("/")[2]]
    found: list[dict[str, Any]] = table["Properties"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert {(each["Effect"], str(each["Principal"])) for each in found} == {("Deny", "{'AWS': '*'}")}
    return found


def test_one_role_is_let_through_to_replace_payloads(encrypted: Templates) -> None:
    """The ledger's fence stays closed but for UpdateItem by that role, of those attributes."""
    everything, others, attributes = _fences(encrypted, "ledger")
    update = "dynamodb:UpdateItem"
    assert "Condition" not in everything
    assert set(everything["Action"]) == set(CHANGES) - {update}
    assert {others["Action"], attributes["Action"]} == {update}
    assert list(others["Condition"]) == ["ArnNotEquals"]
    arn = others["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
    marking = "arn:aws:iam::111122223333:role/"  # of the function that marks what is archived
    assert [encrypted.text(each).startswith(marking) for each in arn] == [True, False]
    assert arn[1] == {"Fn::GetAtt": [_eraser(encrypted), "Arn"]}
    assert attributes["Condition"]["ArnEquals"]["aws:PrincipalArn"] == arn[1]
    allowed = attributes["Condition"]["ForAnyValue:StringNotEquals"]["dynamodb:Attributes"]
    assert set(allowed) == set(ATTRIBUTES)
    assert not {"prev", "t", "count", "recent", "tree", "expires", "genesis"} & set(allowed)


def test_data_keys_are_destroyed_by_that_role_alone(encrypted: Templates) -> None:
    """The table's own policy denies it to everybody else."""
    everything, others = _fences(encrypted, "keys")
    assert "Condition" not in everything
    assert others["Action"] == "dynamodb:DeleteItem"
    assert others["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]["Fn::GetAtt"][0] == _eraser(encrypted)


def test_who_erases_can_do_that_and_no_more(encrypted: Templates) -> None:
    """The role's rights on each table, and who may take it."""
    role = _eraser(encrypted)
    rights = {
        "ledger": {"PutItem", "Query", "UpdateItem"},
        "keys": {"DeleteItem", "GetItem", "PutItem", "Query"},
        "tasks": {"GetItem", "Query", "Scan", "UpdateItem"},
        "alerts": {"DeleteItem", "GetItem", "PutItem", "Scan"},
        "counters": {"DeleteItem", "PutItem", "Scan"},
        "catalog": {"GetItem", "Query"},
        "registry": {"GetItem", "Query"},
    }
    actions = {"BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"}
    for table, expected in rights.items():
        arn = encrypted.table(table)
        assert {a for a in actions if encrypted.allows(role, f"dynamodb:{a}", arn)} == expected, table
    assert encrypted.partitions(role, "dynamodb:DeleteItem", encrypted.table("counters")) == {
        "correlation/*",
        "delivery/*",
    }
    records = encrypted.partitions(role, "dynamodb:GetItem", encrypted.table("registry"))
    assert records == {"author", "service"}
    trust = encrypted.of("AWS::IAM::Role")[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [each["Principal"] for each in trust] == [{"AWS": ADA}]
    assert "EraseRole" in encrypted.stack("SentinelState")["Outputs"]


def test_no_function_has_the_rights_of_who_erases(encrypted: Templates) -> None:
    """Each function's rights on the ledger are those that it has without; what signs records has none."""
    for verb, function in encrypted.functions().items():
        role, arn = encrypted.role_of(function), encrypted.table("ledger")
        may = {a for a in ("PutItem", "Query", "UpdateItem") if encrypted.allows(role, f"dynamodb:{a}", arn)}
        assert may == RIGHTS.get(verb, {}).get("ledger", set()), verb


@pytest.mark.nightly
def test_with_patches_blobs_can_be_erased(synthesize: Callable[..., Templates]) -> None:
    """Those that quote an entry go; folders of proofs run out by themselves."""
    made = synthesize(patches=True, prove_images=IMAGES, erasers=ADA)
    (bucket,) = [name for name in made.of("AWS::S3::Bucket") if name.startswith("Blobs")]
    for folder, expected in (("blobs/x", True), ("asked/x", True), ("jobs/x", False)):
        arn = f"arn:aws:{bucket}:Arn/{folder}"
        assert made.allows(_eraser(made), "s3:DeleteObject", arn) is expected, folder


@pytest.mark.parametrize(
    "text", ["ada", "arn:aws:iam::111122223333:root", "*", "arn:aws:sts::111122223333:assumed-role/a/b"]
)
def test_who_erases_is_named_by_an_arn(text: str) -> None:
    """Neither everybody of an account nor a session may be named."""
    with pytest.raises(BadOption, match="erasers"):
        Deployment.from_context({"sentinel:erasers": text})
