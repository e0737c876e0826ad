import pytest

from accounts.cache import Cache, key
from accounts.permissions import Permissions
from accounts.profiles import Profiles
from accounts.store import NoSuchUser, Store

FIRST, SECOND = ("acme", "eu:7"), ("acme:eu", "7")


@pytest.fixture
def store() -> Store:
    return Store(
        profiles={
            FIRST: {"tenant": "acme", "user": "eu:7", "name": "Ada"},
            SECOND: {"tenant": "acme:eu", "user": "7", "name": "Bob"},
        },
        roles={FIRST: ["admin"], SECOND: ["reader"]},
    )


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_each_user_gets_the_own_profile(store: Store, order: list[tuple[str, str]]) -> None:
    profiles = Profiles(store, Cache())
    names = {who: profiles.profile(*who)["name"] for who in order}
    assert names == {FIRST: "Ada", SECOND: "Bob"}


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_each_user_has_the_own_permissions(store: Store, order: list[tuple[str, str]]) -> None:
    permissions = Permissions(store, Cache())
    assert {who: permissions.allowed(*who, "delete") for who in order} == {FIRST: True, SECOND: False}


def test_a_profile_stays_cached_when_the_other_is_asked_for(store: Store) -> None:
    profiles = Profiles(store, Cache())
    kept = profiles.profile(*FIRST)
    profiles.profile(*SECOND)
    store.profiles.clear()
    assert profiles.profile(*FIRST) == kept


def test_a_new_name_is_that_of_one_user(store: Store) -> None:
    profiles = Profiles(store, Cache())
    profiles.rename(*SECOND, "Bob B.")
    assert profiles.profile(*FIRST)["name"] == "Ada"
    assert profiles.profile(*SECOND)["name"] == "Bob B."


def test_no_parts_run_together() -> None:
    parts = [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a\\", ":b:c"), ("a\\:", "b:c"), ("", "a:b:c")]
    assert len({key("kind", *each) for each in parts}) == len(parts)


def test_an_unknown_user_stays_unknown(store: Store) -> None:
    with pytest.raises(NoSuchUser):
        Profiles(store, Cache()).profile("acme", "7")
