"""Sessions in memory. Moments and lifetimes are in whole seconds; the caller tells the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Session:
    """That a user is signed in, until before `ends`."""

    user: str
    ends: int


class Store:
    """Sessions by key. Keys are counted here; who hands them out makes them hard to guess."""

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self._by_id: dict[str, Session] = {}
        self._begun = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"Store({self._by_id!r})"

    def begin(self, user: str, now: int) -> str:
        """Begin a session and return its key."""
        self._begun += 1
        key = f"s{self._begun}"
        self._by_id[key] = Session(user, now + self.lifetime)
        return key

    def user(self, key: str, now: int) -> str | None:
        """Return the user of a session, or None where there is none or it has ended."""
        session = self._by_id.get(key)
        if session is None or session.ends <= now:
            return None
        return session.user

    def prolong(self, key: str, now: int) -> bool:
        """Give a session its whole lifetime again; return whether it had not ended yet."""
        user = self.user(key, now)
        if user is None:
            return False
        self._by_id[key] = Session(user, now + self.lifetime)
        return True

    def swept(self, now: int) -> list[str]:
        """Take out all sessions that have ended and return their keys, the oldest first."""
        ended: list[str] = []
        for key, session in self._by_id.items():
            if session.ends <= now:
                del self._by_id[key]
                ended.append(key)
        return ended
