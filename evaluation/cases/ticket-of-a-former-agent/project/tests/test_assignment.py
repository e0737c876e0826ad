from helpdesk.assignment import Ticket, digest, owner_of
from helpdesk.directory import Agent, Directory

DESK = Directory(
    [
        Agent("ann@desk.example", "hardware"),
        Agent("bo@desk.example", "hardware", on_duty=False),
        Agent("lee@desk.example", "hardware", is_lead=True),
    ]
)


def test_a_digest_has_each_ticket_with_who_answers_it():
    tickets = [
        Ticket("T-1", "Screen", "hardware", "ann@desk.example"),
        Ticket("T-2", "Printer", "hardware", "bo@desk.example"),
    ]
    assert digest(tickets, DESK) == {"ann@desk.example": ["T-1 Screen"], "lee@desk.example": ["T-2 Printer"]}


def test_an_agent_on_duty_answers():
    assert owner_of(Ticket("T-1", "Screen", "hardware", "Ann@desk.example"), DESK) == "ann@desk.example"


def test_the_lead_answers_for_an_agent_who_is_off_duty():
    assert owner_of(Ticket("T-2", "Printer", "hardware", "bo@desk.example"), DESK) == "lee@desk.example"
