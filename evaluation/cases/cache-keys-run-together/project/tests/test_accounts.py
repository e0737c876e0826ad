import pytest

from accounts.cache import Cache
from accounts.permissions import Permissions
from accounts.profiles import Profiles
from accounts.store import NoSuchUser, Store


@pytest.fixture
def store() -> Store:
    return Store(
        profiles={
            ("acme", "ada"): {"tenant": "acme", "user": "ada", "name": "Ada"},
            ("globex", "ada"): {"tenant": "globex", "user": "ada", "name": "Ada G."},
        },
        roles={("acme", "ada"): ["editor"], ("globex", "ada"): ["reader", "admin"]},
    )


def test_a_profile_is_that_of_its_tenant(store: Store) -> None:
    profiles = Profiles(store, Cache())
    assert profiles.profile("acme", "ada")["name"] == "Ada"
    assert profiles.profile("globex", "ada")["name"] == "Ada G."


def test_a_profile_is_loaded_once(store: Store) -> None:
    profiles = Profiles(store, Cache())
    first = profiles.profile("acme", "ada")
    store.profiles.clear()
    assert profiles.profile("acme", "ada") is first


def test_a_new_name_is_seen(store: Store) -> None:
    profiles = Profiles(store, Cache())
    profiles.rename("acme", "ada", "Ada L.")
    assert profiles.profile("acme", "ada")["name"] == "Ada L."


def test_an_unknown_user_is_told(store: Store) -> None:
    with pytest.raises(NoSuchUser, match="no user bob"):
        Profiles(store, Cache()).profile("acme", "bob")


def test_roles_allow_actions(store: Store) -> None:
    permissions = Permissions(store, Cache())
    assert permissions.allowed("acme", "ada", "write")
    assert not permissions.allowed("acme", "ada", "delete")
    assert permissions.allowed("globex", "ada", "invite")


def test_who_has_no_role_may_do_nothing(store: Store) -> None:
    assert not Permissions(store, Cache()).allowed("acme", "bob", "read")
