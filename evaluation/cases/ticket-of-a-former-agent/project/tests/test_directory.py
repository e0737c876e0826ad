import pytest

from helpdesk.directory import Agent, Directory, NoLead


def test_the_case_of_an_address_does_not_matter():
    agent = Agent("Ann@desk.example", "network")
    assert Directory([agent]).find("aNN@desk.example") == agent


def test_a_team_without_a_lead_is_an_error():
    with pytest.raises(NoLead, match="network"):
        Directory([Agent("ann@desk.example", "network")]).lead("network")
