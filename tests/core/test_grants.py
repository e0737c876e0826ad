"""Grants: nothing is allowed unless it is listed, and what is written wrongly is refused by its variable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import grants
from sentinel.core.grants import Grants, allowed
from sentinel.errors import Forbidden, Malformed
from sentinel.settings import Settings
from sentinel.wiring import grants_of

NAMES = st.text("abc*/-", max_size=6)


@given(NAMES, st.lists(NAMES, max_size=4))
def test_a_name_is_allowed_as_it_is_listed(name: str, listed: list[str]) -> None:
    """A name is allowed where it stands in the list or begins as an entry with a star at its end does."""
    expected = any(name == each or (each[-1:] == "*" and name.startswith(each[:-1])) for each in listed)
    try:
        allowed(name, listed, "X")
        found = True
    except Forbidden:
        found = False
    assert found == (expected and (name in listed or any(each.endswith("*") for each in listed)))
    assert found <= expected


def test_an_empty_deployment_grants_nothing() -> None:
    """Default settings let no step touch anything."""
    found = grants_of(Settings())
    assert found == Grants()
    for action in ("aws.ssm_run", "notify"):
        with pytest.raises(Forbidden, match="grant a role"):
            found.role(action)
    with pytest.raises(Forbidden, match="SENTINEL_AWS_SERVICES"):
        found.bounds("shop/cart")


def test_the_most_exact_service_counts() -> None:
    """A service that is listed by itself has its own bounds, whatever a wider entry says."""
    may = Grants(services=grants.parse_services("shop/*=0..9, shop/cart=2..4, shop/web", "X"))
    assert [may.bounds(f"shop/{name}") for name in ("cart", "web", "other")] == [(2, 4), None, (0, 9)]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (grants.parse_names, "a*b"),
        (grants.parse_names, "**"),
        (grants.parse_pairs, "a"),
        (grants.parse_pairs, "a=1,a=2"),
        (grants.parse_pairs, "=1"),
        (grants.parse_roles, "notify=arn:aws:iam::1:role/x"),
        (grants.parse_roles, "notify=arn:aws:iam::111122223333:role/x*"),
        (grants.parse_roles, "notify=arn:aws:iam::111122223333:user/x"),
        (grants.parse_services, "cart"),
        (grants.parse_services, "a/b/c"),
        (grants.parse_services, "a/b="),
        (grants.parse_services, "a/b=1"),
        (grants.parse_services, "a/*b"),
        (grants.parse_clusters, "prod=http://10.0.0.1"),
        (grants.parse_clusters, "prod=https://me:canary@h"),
        (grants.parse_clusters, "prod=https://h/?canary"),
    ],
)
def test_what_is_written_wrongly_is_refused(parse: Callable[[str, str], object], text: str) -> None:
    """The message names the variable, and no value that may be a secret."""
    with pytest.raises(Malformed, match="SENTINEL_X: ") as told:
        parse(text, "SENTINEL_X")
    assert "canary" not in str(told.value)


def test_settings_become_grants() -> None:
    """Every setting of what steps may touch arrives."""
    found = grants_of(
        Settings(
            aws_roles="notify=arn:aws-us-gov:iam::111122223333:role/path/tell",
            aws_functions="restart-*",
            aws_documents="Shop-Restart",
            aws_services="shop/cart=1..6",
            aws_topics="arn:aws:sns:eu-central-1:111122223333:alerts",
            aws_buckets="findings",
            k8s_clusters="prod=https://k8s.example.com:6443/",
            k8s_deployments="prod/shop/*",
            terraform_url="https://tfe.example.com/",
            terraform_workspaces="ws-1",
        )
    )
    assert found.role("notify").partition == "aws-us-gov"
    assert found.clusters == {"prod": "https://k8s.example.com:6443"}
    assert found.terraform == "https://tfe.example.com"
    lists = (found.functions, found.documents, found.topics, found.deployments, found.workspaces)
    assert all(len(each) == 1 for each in (*lists, found.buckets))
