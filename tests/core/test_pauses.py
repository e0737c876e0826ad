"""Targets: which tasks they mean, and what is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.pauses import Pause, checked, first_service, meant, packed, targets_of, unpacked
from sentinel.errors import Malformed
from tests.contracts.made_tasks import T, created

TASK = created("a" * 26)[0]  # of recipe tell-splunk, stream siem, service shop


@pytest.mark.parametrize(
    ("target", "means"),
    [
        ("all", True),
        ("siem", True),
        ("action", False),
        ("recipe:tell-splunk", True),
        ("recipe:tell", False),
        ("service:shop", True),
        ("service:desk", False),
    ],
)
def test_a_target_means_its_tasks(target: str, means: bool) -> None:
    """A stream means what is on it, a recipe its tasks, a service those that its entries set off first."""
    assert checked(target) == target
    assert meant(target)(TASK) is means
    assert (target in targets_of(TASK)) is means


@pytest.mark.parametrize(
    "target", ["", "Siem", "recipe:", "recipe", "service:a b", "queue:siem", "all\n", "dead"]
)
def test_what_is_no_target_is_refused(target: str) -> None:
    """Anything else is no target, and the error says what is one."""
    with pytest.raises(Malformed, match="recipe:ID"):
        checked(target)


def test_a_task_that_no_entry_set_off_has_no_service() -> None:
    """Schedules' tasks are of no service: no pause of one means them."""
    alone = replace(TASK, cause={"schedule": "every 5m", "entries": []})
    assert first_service(alone) == first_service(replace(TASK, cause={})) == ""
    assert targets_of(alone) == ("all", "siem", "recipe:tell-splunk")


def test_pauses_are_stored_whole_and_end() -> None:
    """A pause is over at its end, or never; what is stored is read back equal."""
    two = [Pause("siem", "ann", "flood", T), Pause("all", "bob", "move", T, T + 5)]
    stored = {pause.target: pause for pause in two}
    assert unpacked(packed(stored)) == stored
    assert not two[0].over(T * 2)
    assert (two[1].over(T + 4), two[1].over(T + 5)) == (False, True)
    assert two[1].text == "all streams are paused by bob: move"
    with pytest.raises(ValueError, match="no pauses"):
        unpacked(b'[{"x": 1}]')
