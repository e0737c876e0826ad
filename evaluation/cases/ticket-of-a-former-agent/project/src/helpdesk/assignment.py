"""Who answers a ticket, and the digest that each of them gets in the morning."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from helpdesk.directory import Directory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ticket:
    """A question of a customer, given to an agent when it came in."""

    number: str
    subject: str
    team: str
    agent: str


def owner_of(ticket: Ticket, directory: Directory) -> str:
    """Return the address of who answers a ticket: its agent while on duty, otherwise the lead of its team.

    Raises `NoLead` where the team has none.
    """
    agent = directory.find(ticket.agent)
    if agent.on_duty:
        return agent.mail
    return directory.lead(ticket.team).mail


def digest(tickets: Iterable[Ticket], directory: Directory) -> dict[str, list[str]]:
    """Return the open tickets as lines of text by the address of who answers them. None is left out."""
    lines: dict[str, list[str]] = {}
    for ticket in tickets:
        owner = owner_of(ticket, directory)
        lines.setdefault(owner, []).append(f"{ticket.number} {ticket.subject}")
    log.info("digest for %d agents", len(lines))
    return lines
