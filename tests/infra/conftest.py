"""Synthesizes the app for the tests of this folder: each variant once, without building its layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = "111122223333"
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": "eu-central-1", "AWS::Partition": "aws"}
Resource = dict[str, Any]


@dataclass(frozen=True)
class Templates:
    """The synthesized templates by stack name, with what refers to other resources made readable."""

    stacks: Mapping[str, dict[str, Any]]

    def of(self, kind: str) -> dict[str, Resource]:
        """Return all resources of a type, in all stacks, by logical id."""
        return {
            name: resource
            for stack in self.stacks.values()
            for name, resource in stack["Resources"].items()
            if resource["Type"] == kind
        }

    def stack(self, prefix: str) -> dict[str, Any]:
        """Return the one template whose stack name begins so."""
        (found,) = [template for name, template in self.stacks.items() if name.startswith(prefix)]
        return found

    def functions(self) -> dict[str, Resource]:
        """Return the functions by the name of their folder."""
        found = self.of("AWS::Lambda::Function").values()
        return {resource["Properties"]["Description"].split(": ")[1]: resource for resource in found}

    def table(self, name: str) -> str:
        """Return the ARN that stands for a table, as `text` gives it."""
        (found,) = [
            logical
            for logical in self.of("AWS::DynamoDB::Table")
            if logical.startswith(
                {"ledger": "LedgerTable", "tasks": "Tasks8"}.get(name, f"Tasks{name.title()}")
            )
        ]
        return f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/{found}"

    def text(self, value: Any) -> str:
        """Write a value with intrinsics as the text it would be once deployed, near enough to compare."""
        if isinstance(value, Mapping):
            ((function, argument),) = value.items()
            return self._intrinsic(function, argument)
        return str(value)

    def _intrinsic(self, function: str, argument: Any) -> str:
        if function == "Ref":
            return PSEUDO.get(argument, str(argument))
        if function == "Fn::Join":
            return str(argument[0]).join(map(self.text, argument[1]))
        if function == "Fn::ImportValue":
            return self.text(self._exports()[self.text(argument)])
        if function == "Fn::GetAtt":
            return self._attribute(*argument)
        raise AssertionError(f"the tests do not know {function}")

    def _attribute(self, logical: str, attribute: str) -> str:
        if logical in self.of("AWS::DynamoDB::Table"):
            arn = f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/{logical}"
            return arn if attribute == "Arn" else f"{arn}/stream/now"
        return "6379" if attribute == "Endpoint.Port" else f"arn:aws:{logical}:{attribute}"

    def _exports(self) -> dict[str, Any]:
        return {
            output["Export"]["Name"]: output["Value"]
            for stack in self.stacks.values()
            for output in stack.get("Outputs", {}).values()
            if "Export" in output
        }

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """Yield every statement of a role, given by logical id: of its policies beside it and inside it."""
        inside = self.of("AWS::IAM::Role")[role]["Properties"].get("Policies", [])
        beside = [
            policy["Properties"]
            for policy in self.of("AWS::IAM::Policy").values()
            if role in map(self.text, policy["Properties"]["Roles"])  # of its own stack, or of another
        ]
        for policy in [*inside, *beside]:
            yield from policy["PolicyDocument"]["Statement"]

    def allows(self, role: str, action: str, resource: str) -> bool:
        """Say whether a role may do an action on a resource, by any statement and any wildcard."""
        for statement in self.statements(role):
            assert not {"NotAction", "NotResource"} & statement.keys(), "an allow by exclusion"
            if statement["Effect"] != "Allow":
                continue
            actions = map(str.lower, _listed(statement["Action"]))
            resources = map(self.text, _listed(statement["Resource"]))
            if any(fnmatchcase(action.lower(), pattern) for pattern in actions) and any(
                fnmatchcase(resource, pattern) for pattern in resources
            ):
                return True
        return False

    def partitions(self, role: str, action: str, table: str) -> set[str]:
        """Return the partition keys of a table to which a role's right is limited; {"*"}: not limited."""
        found: set[str] = set()
        for statement in self.statements(role):
            actions, resources = _listed(statement["Action"]), map(self.text, _listed(statement["Resource"]))
            if statement["Effect"] == "Allow" and action in actions and table in resources:
                told = statement.get("Condition", {})
                keys = told.get("ForAllValues:StringEquals") or told.get("ForAllValues:StringLike") or {}
                found |= set(_listed(keys.get("dynamodb:LeadingKeys", "*")))
        return found

    def role_of(self, function: Resource) -> str:
        """Return the logical id of a function's role."""
        logical: str = function["Properties"]["Role"]["Fn::GetAtt"][0]
        return logical


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Templates]:
    """Return what synthesizes the app with options given as keywords; the same options only once."""

    @cache
    def made(**options: object) -> Templates:
        from app import make_app

        out: Path = tmp_path_factory.mktemp("cdk.out")
        context = {"aws:cdk:bundling-stacks": [], **{f"sentinel:{name}": x for name, x in options.items()}}
        make_app(context, str(out)).synth()
        return Templates(
            {
                path.name.removesuffix(".template.json"): json.loads(path.read_text())
                for path in sorted(out.glob("*.template.json"))
            }
        )

    return made


@pytest.fixture(scope="session")
def templates(synthesize: Callable[..., Templates]) -> Templates:
    """Return the templates of a deployment with every option at its default."""
    return synthesize()


IMAGES = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/prove:1"


@pytest.fixture(scope="session")
def patches(synthesize: Callable[..., Templates]) -> Templates:
    """Return the templates of a deployment that makes patches."""
    return synthesize(patches=True, prove_images=IMAGES)


ADA = "arn:aws:iam::111122223333:user/ada"


@pytest.fixture(scope="session")
def erasing(synthesize: Callable[..., Templates]) -> Templates:
    """Return the templates of a deployment with data keys, and somebody who may erase."""
    return synthesize(own_encryption=True, erasers=ADA)


OUTSIDE = {"redis_url": "rediss://cache.example.com:6380", "redis_secret": "outside-redis"}


@pytest.fixture(scope="session")
def outside(synthesize: Callable[..., Templates]) -> Templates:
    """Return the templates of a deployment with an outside Redis."""
    return synthesize(**OUTSIDE)
