"""What users may do, by their roles."""

from __future__ import annotations

from accounts.cache import Cache, key
from accounts.store import Store

ALLOWS = {
    "reader": frozenset({"read"}),
    "editor": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "delete", "invite"}),
}


class Permissions:
    """Reads permissions through the cache."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store, self._cache = store, cache

    def allowed(self, tenant: str, user: str, action: str) -> bool:
        """Whether one of a user's roles allows an action."""
        actions = self._cache.get(key("permissions", tenant, user), lambda: self._actions(tenant, user))
        return action in actions

    def _actions(self, tenant: str, user: str) -> frozenset[str]:
        roles = self._store.roles.get((tenant, user), [])
        return frozenset().union(*(ALLOWS[role] for role in roles))
