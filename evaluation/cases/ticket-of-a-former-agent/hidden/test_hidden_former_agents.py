import pytest

from helpdesk.assignment import Ticket, digest, owner_of
from helpdesk.directory import Agent, Directory, NoLead

DESK = Directory(
    [
        Agent("ines@desk.example", "network"),
        Agent("sam@desk.example", "network", on_duty=False),
        Agent("tom@desk.example", "network", is_lead=True),
        Agent("eve@desk.example", "billing"),
    ]
)


def ticket(agent: str, team: str = "network") -> Ticket:
    return Ticket("T-1", "VPN", team, agent)


def test_the_lead_answers_for_an_agent_who_left():
    assert owner_of(ticket("raj@desk.example"), DESK) == "tom@desk.example"


def test_the_lead_answers_a_ticket_that_names_no_agent():
    assert owner_of(ticket(""), DESK) == "tom@desk.example"


def test_a_digest_leaves_no_ticket_out():
    tickets = [ticket("raj@desk.example"), ticket("ines@desk.example"), ticket("sam@desk.example")]
    assert digest(tickets, DESK) == {
        "tom@desk.example": ["T-1 VPN", "T-1 VPN"],
        "ines@desk.example": ["T-1 VPN"],
    }


def test_a_team_without_a_lead_is_still_an_error():
    with pytest.raises(NoLead):
        owner_of(ticket("raj@desk.example", team="billing"), DESK)


def test_an_agent_on_duty_still_answers():
    assert owner_of(ticket("eve@desk.example", team="billing"), DESK) == "eve@desk.example"
