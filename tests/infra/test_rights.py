"""What the functions' roles may do: computed from every policy, wildcards included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import botocore.session
import pytest

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

PARTIQL = {"PartiQLDelete", "PartiQLInsert", "PartiQLSelect", "PartiQLUpdate"}
CHANGES = {"UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLDelete", "PartiQLInsert", "PartiQLUpdate"}
TABLES = ("ledger", "tasks", "catalog", "counters", "registry", "alerts")
# The whole of it: what each function may do with each table's items.
RIGHTS: dict[str, dict[str, set[str]]] = {
    "ingest": {"ledger": {"PutItem", "Query"}},
    "control": {
        "ledger": {"Query"},
        "tasks": {"GetItem", "PutItem", "Query"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
        "alerts": {"GetItem"},
    },
    "authorize": {"registry": {"GetItem", "Query"}},
    "token": {"tasks": {"GetItem"}, "registry": {"GetItem", "Query"}},
    "approve": {
        "ledger": {"Query"},
        "tasks": {"GetItem", "PutItem", "Query"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
    },
    "certify": {"registry": {"GetItem", "PutItem", "Query"}},
    "proxy": {},
    "receive": {"ledger": {"PutItem", "Query"}, "registry": {"GetItem", "Query"}},
    "rotate": {"registry": {"GetItem", "PutItem", "Query"}},
    "archive": {"ledger": {"Query", "UpdateItem"}, "registry": {"Query"}},
    "detect": {
        "ledger": {"PutItem", "Query"},
        "tasks": {"GetItem", "PutItem"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
        "alerts": {"GetItem", "PutItem"},
    },
    "dispatch": {},
    "seal": {"ledger": {"Query"}},
    "work_siem": {
        "ledger": {"Query"},
        "tasks": {"GetItem", "PutItem", "Query", "UpdateItem"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
    },
    "deliver": {
        "ledger": {"Query"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
    },
    "work_action": {
        "ledger": {"Query"},
        "tasks": {"GetItem", "PutItem", "Query", "UpdateItem"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
    },
    "sweep": {
        "ledger": {"Query"},
        "tasks": {"GetItem", "PutItem", "UpdateItem"},
        "catalog": {"GetItem", "Query"},
        "counters": {"GetItem", "PutItem"},
        "registry": {"GetItem", "Query"},
    },
}


def _all_actions() -> set[str]:
    model = botocore.session.get_session().get_service_model("dynamodb")
    return set(model.operation_names) | PARTIQL | {"PutResourcePolicy", "ConditionCheckItem"}


def test_no_role_changes_the_ledger(templates: Templates) -> None:
    """No role of any kind may delete an item of the ledger or put items in bulk; one may mark items."""
    ledger = templates.table("ledger")
    archive = templates.role_of(templates.functions()["archive"])
    for role in templates.of("AWS::IAM::Role"):
        for action in CHANGES - ({"UpdateItem"} if role == archive else set()):
            for resource in (ledger, f"{ledger}/index/chains"):
                assert not templates.allows(role, f"dynamodb:{action}", resource), (role, action)


def test_the_archive_marks_segments_and_changes_nothing_else_of_them(templates: Templates) -> None:
    """UpdateItem is allowed to requests that name the key and `expires` alone, and get nothing back."""
    role = templates.role_of(templates.functions()["archive"])
    (statement,) = [each for each in templates.statements(role) if "dynamodb:UpdateItem" in each["Action"]]
    assert statement["Action"] == "dynamodb:UpdateItem"
    assert templates.text(statement["Resource"]) == templates.table("ledger")
    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["chain", "expires", "first"]},
        "Null": {"dynamodb:Attributes": "false"},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
    }


def _archive_bucket(templates: Templates) -> str:
    (name,) = [each for each in templates.of("AWS::S3::Bucket") if each.startswith("Archive")]
    return f"arn:aws:{name}:Arn"


def test_who_reads_chains_reads_the_archive_and_one_writes_it(templates: Templates) -> None:
    """Every function that queries the ledger reads archived segments; the archive's alone puts them.

    Nobody deletes one, and nobody but those touches the folder.
    """
    bucket, ledger = _archive_bucket(templates), templates.table("ledger")
    for verb, function in templates.functions().items():
        role = templates.role_of(function)
        reads = templates.allows(role, "dynamodb:Query", ledger)
        for action, expected in (("GetObject", reads), ("PutObject", verb == "archive")):
            found = templates.allows(role, f"s3:{action}", f"{bucket}/archive/a%2F0/9999999999999999")
            assert found == expected, (verb, action)
        assert templates.allows(role, "s3:ListBucket", bucket) == reads, verb
        for action in ("DeleteObject", "PutObjectAcl", "PutObjectRetention"):
            assert not templates.allows(role, f"s3:{action}", f"{bucket}/archive/x"), (verb, action)
        assert not templates.allows(role, "s3:PutObject", f"{bucket}/tile/x") or verb == "seal"


def test_three_functions_write_to_the_ledger(templates: Templates) -> None:
    """Those that producers and webhooks reach put items, and detect those of the tripwire's own chain."""
    ledger = templates.table("ledger")
    writers = {
        role for role in templates.of("AWS::IAM::Role") if templates.allows(role, "dynamodb:PutItem", ledger)
    }
    functions = templates.functions()
    assert writers == {templates.role_of(functions[verb]) for verb in ("ingest", "receive", "detect")}
    detect = templates.role_of(functions["detect"])
    assert templates.partitions(detect, "dynamodb:PutItem", ledger) == {"sentinel.tripwire/*"}


@pytest.mark.parametrize("verb", sorted(RIGHTS))
def test_each_role_may_do_what_is_listed_and_no_more(templates: Templates, verb: str) -> None:
    """Of all actions on all tables, a function may do exactly those of its line in `RIGHTS`."""
    role = templates.role_of(templates.functions()[verb])
    for table in TABLES:
        arn = templates.table(table)
        may = {name for name in _all_actions() if templates.allows(role, f"dynamodb:{name}", arn)}
        assert may == RIGHTS[verb].get(table, set()), table


def test_what_answers_requests_changes_counters_of_its_own_business(templates: Templates) -> None:
    """Where people end tasks, places are given back; pauses are an admin's, and correlations nobody's there.

    Strangers reach the function behind links: the record of pauses would stop everything.
    """
    counters, functions = templates.table("counters"), templates.functions()
    for verb, keys in (
        ("approve", {"place/*"}),
        ("control", {"pauses", "place/*", "rate/*"}),
        ("deliver", {"breaker/*", "delivery/*"}),
    ):
        for action in ("GetItem", "PutItem"):
            found = templates.partitions(templates.role_of(functions[verb]), f"dynamodb:{action}", counters)
            assert found == keys, (verb, action)


def test_every_function_is_listed(templates: Templates) -> None:
    """A function without a line in `RIGHTS` does not exist."""
    assert set(templates.functions()) == set(RIGHTS)


def test_indexes_are_queried_by_those_who_list(templates: Templates) -> None:
    """The indexes are open to the functions that list, and to nobody else."""
    tasks, ledger, alerts = (templates.table(name) for name in ("tasks", "ledger", "alerts"))
    for index, expected in (
        (f"{tasks}/index/by_state", {"sweep"}),
        (f"{tasks}/index/by_change", {"control"}),
        (f"{ledger}/index/chains", {"archive", "control", "deliver", "seal"}),
        (f"{alerts}/index/newest", {"control"}),
    ):
        may = {
            verb
            for verb, function in templates.functions().items()
            if templates.allows(templates.role_of(function), "dynamodb:Query", index)
        }
        assert may == expected, index


def test_workers_are_rung_by_dispatch_and_sweep(templates: Templates) -> None:
    """Only dispatch and sweep may invoke functions, and only the workers."""
    functions = templates.functions()
    arns = {verb: f"arn:aws:{_logical(templates, verb)}:Arn" for verb in functions}
    for caller, function in functions.items():
        role = templates.role_of(function)
        may = {verb for verb, arn in arns.items() if templates.allows(role, "lambda:InvokeFunction", arn)}
        assert may == ({"work_siem", "work_action"} if caller in {"dispatch", "sweep"} else set()), caller


def _logical(templates: Templates, verb: str) -> str:
    wanted = templates.functions()[verb]
    return next(name for name, found in templates.of("AWS::Lambda::Function").items() if found is wanted)


def test_secrets_are_read_by_workers_below_the_prefix(templates: Templates) -> None:
    """Workers read secrets of their deployment, nobody reads another's."""
    mine = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:sentinel/dev/splunk-AbCdEf"
    other = mine.replace("/dev/", "/prod/")
    readers = {"deliver", "work_action", "work_siem"}
    for verb, function in templates.functions().items():
        role = templates.role_of(function)
        assert templates.allows(role, "secretsmanager:GetSecretValue", mine) == (verb in readers), verb
        assert not templates.allows(role, "secretsmanager:GetSecretValue", other)
        assert not templates.allows(role, "secretsmanager:PutSecretValue", mine)


TELL = "arn:aws:iam::111122223333:role/tell"
RUN = "arn:aws:iam::444455556666:role/sentinel/ssm"
PUT = "arn:aws:iam::111122223333:role/findings"


def test_a_worker_assumes_the_roles_of_its_actions_and_no_others(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """`action_roles` lets one function assume those very roles, and two others the one of `siem.send`.

    By default no function assumes any.
    """
    granted = synthesize(action_roles=f"notify={TELL},aws.ssm_run={RUN},siem.send={PUT}")
    for made, action, told in ((templates, set[str](), set[str]()), (granted, {TELL, RUN}, {PUT})):
        for verb, function in made.functions().items():
            role = made.role_of(function)
            others = {f"{TELL}2", "arn:aws:iam::111122223333:role/admin"}
            may = {each for each in {TELL, RUN, PUT} | others if made.allows(role, "sts:AssumeRole", each)}
            assert may == {"work_action": action, "work_siem": told, "deliver": told}.get(verb, set()), verb
            assert not made.allows(role, "sts:AssumeRoleWithWebIdentity", TELL)
    assert "DeliverRole" in granted.stack("SentinelService")["Outputs"]
    assert "SiemWorkerRole" in granted.stack("SentinelService")["Outputs"]
    assert "ActionWorkerRole" in granted.stack("SentinelService")["Outputs"]
    assert "ActionWorkerRole" not in templates.stack("SentinelService")["Outputs"]


def test_function_roles_have_no_managed_policies(templates: Templates) -> None:
    """What a function may do stands in these templates: managed policies change without us."""
    for function in templates.functions().values():
        role = templates.of("AWS::IAM::Role")[templates.role_of(function)]
        assert "ManagedPolicyArns" not in role["Properties"]


def test_everything_means_what_has_no_resources(templates: Templates) -> None:
    """`*` as a resource is allowed for X-Ray and network interfaces only, which know no single resources."""
    for role in templates.of("AWS::IAM::Role"):
        for statement in templates.statements(role):
            if statement["Effect"] == "Allow" and "*" in statement["Resource"]:
                actions = statement["Action"]
                services = {action.split(":")[0] for action in actions}
                assert isinstance(actions, list), actions
                assert services <= {"xray", "ec2"}, actions


def test_code_cannot_touch_network_interfaces(templates: Templates) -> None:
    """The network rights that Lambda needs for a function are denied to the function's own code."""
    for verb, function in templates.functions().items():
        statements = list(templates.statements(templates.role_of(function)))
        allowed = {a for s in statements if s["Effect"] == "Allow" for a in s["Action"] if a[:4] == "ec2:"}
        denied = {a for s in statements if s["Effect"] == "Deny" for a in s["Action"]}
        assert bool(allowed) == ("VpcConfig" in function["Properties"]), verb
        assert allowed == denied, verb


def test_the_ledger_itself_refuses_changes(templates: Templates) -> None:
    """The ledger's own policy denies every change of an item to everybody, whatever a role allows.

    One role may update items, by its name: it is what marks those that are archived.
    """
    (ledger,) = [
        table for name, table in templates.of("AWS::DynamoDB::Table").items() if name.startswith("Ledger")
    ]
    fence, update = ledger["Properties"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    for each in (fence, update):
        assert (each["Effect"], each["Principal"], each["Resource"]) == ("Deny", {"AWS": "*"}, "*")
    assert {*fence["Action"], update["Action"]} == {f"dynamodb:{action}" for action in CHANGES}
    assert "Condition" not in fence
    assert update["Action"] == "dynamodb:UpdateItem"
    ((name, role),) = update["Condition"]["ArnNotEquals"].items()
    functions, roles = templates.functions(), templates.of("AWS::IAM::Role")
    named = roles[templates.role_of(functions["archive"])]["Properties"]["RoleName"]
    expected = f"arn:aws:iam::111122223333:role/{named}"
    assert (name, templates.text(role[0] if isinstance(role, list) else role)) == (
        "aws:PrincipalArn",
        expected,
    )
    # Two have names: this one, and the one that the policy of the log's key lets through.
    seals = roles[templates.role_of(functions["seal"])]["Properties"]["RoleName"]
    assert {each["Properties"].get("RoleName") for each in roles.values()} == {None, named, seals}
    assert named != seals
