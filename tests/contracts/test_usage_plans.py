"""The port `UsagePlans` on API Gateway as moto has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sentinel.adapters.usage_plans import ApiGatewayPlans, NoPlans, parse_plans
from sentinel.errors import Malformed, Unavailable
from tests.contracts.lost_requests import BrokenWire, Fault
from tests.contracts.moto_apigateway import api_gateway

USAGE = "u" * 64


@pytest.fixture
def client() -> Iterator[Any]:
    """Give a client of a moto account with three usage plans."""
    with api_gateway() as made:
        for name in ("trial", "standard", "foreign"):
            made.create_usage_plan(name=name)
        yield made


@pytest.fixture
def plans(client: Any) -> ApiGatewayPlans:
    """Give the adapter on the first two of them."""
    return ApiGatewayPlans(client, {tier: _ids(client)[tier] for tier in ("trial", "standard")})


def _ids(client: Any) -> dict[str, str]:
    return {plan["name"]: plan["id"] for plan in client.get_usage_plans()["items"]}


def members(client: Any) -> dict[str, list[str]]:
    """Return the values of the keys in each plan."""
    return {
        name: [key["value"] for key in client.get_usage_plan_keys(usagePlanId=plan)["items"]]
        for name, plan in _ids(client).items()
    }


def test_a_key_is_in_the_plan_of_its_tier(client: Any, plans: ApiGatewayPlans) -> None:
    """A usage key is made once, is in the plan of its tier alone, moves, and leaves."""
    for _ in range(2):
        plans.enrol(USAGE, "決済", "trial")
        assert members(client) == {"trial": [USAGE], "standard": [], "foreign": []}
    plans.enrol("v" * 64, "other", "trial")
    plans.enrol(USAGE, "決済", "standard")
    assert members(client) == {"trial": ["v" * 64], "standard": [USAGE], "foreign": []}
    for _ in range(2):
        plans.withdraw(USAGE)
        assert members(client) == {"trial": ["v" * 64], "standard": [], "foreign": []}
    plans.withdraw("w" * 64)
    assert len(client.get_api_keys()["items"]) == 2


def test_a_list_that_names_too_many_plans_keeps_no_key_out(client: Any, plans: ApiGatewayPlans) -> None:
    """Whether a key is in its plan is asked of the plan: `GetUsagePlans` of one key may answer with all."""
    every = client.get_usage_plans()

    class Talkative:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def get_usage_plans(self, **_: Any) -> Any:
            return every

        def delete_usage_plan_key(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "NotFoundException"}}, "DeleteUsagePlanKey")

    ApiGatewayPlans(Talkative(), plans._plans).enrol(USAGE, "checkout", "standard")
    assert members(client) == {"trial": [], "standard": [USAGE], "foreign": []}


def test_a_key_that_another_plan_holds_on_to_is_not_taken_for_enrolled(
    client: Any, plans: ApiGatewayPlans
) -> None:
    """API Gateway says conflict of a key that is in a plan of this stage, which need not be the right one."""

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def create_usage_plan_key(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "ConflictException"}}, "CreateUsagePlanKey")

    with pytest.raises(Unavailable, match="not in its plan yet"):
        ApiGatewayPlans(Slow(), plans._plans).enrol(USAGE, "checkout", "standard")


def test_plans_of_others_are_left_alone(client: Any, plans: ApiGatewayPlans) -> None:
    """A plan that is not named in the settings is none of ours."""
    plans.enrol(USAGE, "checkout", "trial")
    key = client.get_api_keys()["items"][0]["id"]
    client.create_usage_plan_key(usagePlanId=_ids(client)["foreign"], keyId=key, keyType="API_KEY")
    plans.enrol(USAGE, "checkout", "standard")
    plans.withdraw(USAGE)
    assert members(client) == {"trial": [], "standard": [], "foreign": [USAGE]}


def test_a_tier_without_a_plan(client: Any, plans: ApiGatewayPlans) -> None:
    """A tier that has no plan is refused by name, and makes no key."""
    with pytest.raises(Malformed, match="SENTINEL_USAGE_PLANS"):
        plans.enrol(USAGE, "checkout", "high")
    assert client.get_api_keys()["items"] == []


def test_no_key_is_named_by_its_value(client: Any, plans: ApiGatewayPlans) -> None:
    """Who may list the names of keys does not learn their values."""
    plans.enrol(USAGE, "checkout", "trial")
    assert USAGE not in client.get_api_keys()["items"][0]["name"]


@pytest.mark.parametrize("fault", ["unsent", "lost"])
@pytest.mark.parametrize("skip", range(6))
def test_whichever_request_fails(client: Any, plans: ApiGatewayPlans, fault: Fault, skip: int) -> None:
    """Enrolling again after a failure ends where one call would have."""
    wire = BrokenWire(client)
    plans.enrol("v" * 64, "other", "trial")
    plans.enrol(USAGE, "checkout", "trial")
    wire.fault, wire.skip, wire.left = fault, skip, 1
    for value in (USAGE, "n" * 64):
        for _ in range(2):
            with contextlib.suppress(Unavailable):
                plans.enrol(value, "checkout", "standard")
    assert not wire.left
    assert members(client) == {"trial": ["v" * 64], "standard": [USAGE, "n" * 64], "foreign": []}
    assert len(client.get_api_keys()["items"]) == 3


def test_errors_tell_no_values(client: Any, plans: ApiGatewayPlans) -> None:
    """An error names the call and nothing that was in it."""
    wire = BrokenWire(client)
    wire.left = 1
    with pytest.raises(Unavailable) as told:
        plans.enrol(USAGE, "checkout", "trial")
    assert USAGE not in f"{told.value!r} {told.value.__context__!r}"


def test_no_plans() -> None:
    """Without usage plans nothing is asked of API Gateway."""
    NoPlans().enrol(USAGE, "checkout", "high")
    NoPlans().withdraw(USAGE)


def test_plans_as_text() -> None:
    """The setting is tier=plan pairs; what is not is refused."""
    assert parse_plans("") == {}
    assert parse_plans(" a=1 ,b=2,") == {"a": "1", "b": "2"}
    for text in ("a", "a=", "=1", "a=1,a=2"):
        with pytest.raises(Malformed):
            parse_plans(text)
