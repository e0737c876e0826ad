"""The agents of the desk. Who leaves is taken out of the directory the same day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class NoLead(LookupError):
    """A team has no lead."""


@dataclass(frozen=True)
class Agent:
    """One who answers tickets."""

    mail: str
    team: str
    on_duty: bool = True
    is_lead: bool = False


class Directory:
    """Agents by their mail address, whose case does not matter."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._agents = {agent.mail.lower(): agent for agent in agents}

    def __repr__(self) -> str:
        return f"Directory({list(self._agents)})"

    def find(self, mail: str) -> Agent | None:
        """Return an agent, or None where there is none of that address."""
        return self._agents.get(mail.lower())

    def lead(self, team: str) -> Agent:
        """Return the lead of a team. Raises `NoLead`."""
        for agent in self._agents.values():
            if agent.is_lead and agent.team == team:
                return agent
        raise NoLead(f"team {team} has no lead")
