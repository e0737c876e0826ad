"""Profiles of users."""

from __future__ import annotations

from accounts.cache import Cache, key
from accounts.store import Profile, Store


class WrongUser(AssertionError):
    """A profile is not that of the user who was asked for."""


class Profiles:
    """Reads profiles through the cache."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store, self._cache = store, cache

    def profile(self, tenant: str, user: str) -> Profile:
        """Return a user's profile. Raises `NoSuchUser`."""
        name = key("profile", tenant, user)
        found = self._cache.get(name, lambda: self._store.profile(tenant, user))
        if (found["tenant"], found["user"]) != (tenant, user):
            raise WrongUser(f"the profile of {found['user']!r} was found for {user!r}")
        return found

    def rename(self, tenant: str, user: str, name: str) -> None:
        """Change the name that a profile shows."""
        self._store.profiles[tenant, user] = {**self.profile(tenant, user), "name": name}
        self._cache.forget(key("profile", tenant, user))
