"""Users as they are kept. Tenants choose their users' names, in which any character may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Profile = Mapping[str, str]


class NoSuchUser(LookupError):
    """A tenant has no user of this name."""


@dataclass
class Store:
    """Profiles and roles by tenant and user."""

    profiles: dict[tuple[str, str], Profile]
    roles: dict[tuple[str, str], list[str]]

    def profile(self, tenant: str, user: str) -> Profile:
        """Return a profile. Raises `NoSuchUser`."""
        if (tenant, user) not in self.profiles:
            raise NoSuchUser(f"{tenant} has no user {user}")
        return self.profiles[tenant, user]
