"""The morning's digest, on the day after an agent left."""

from helpdesk.assignment import Ticket, digest
from helpdesk.directory import Agent, Directory

desk = Directory(
    [
        Agent("ines@desk.example", "network"),
        Agent("tom@desk.example", "network", is_lead=True),
    ]
)
digest(
    [
        Ticket("T-880", "No link on port 4", "network", "ines@desk.example"),
        Ticket("T-881", "VPN drops every hour", "network", "raj@desk.example"),
    ],
    desk,
)
