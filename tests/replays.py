"""Re-enacting what a test has recorded: every task of a store lives once more, and nothing differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sentinel.core.recipes import Recipe
from sentinel.core.steps import Action
from sentinel.core.tasks import Task
from sentinel.ports import Ledger, Tasks
from sentinel.usecases.reenact import Reenact, tells_enough
from sentinel.usecases.stage import OTHERWISE


def reenact_all(
    tasks: Tasks,
    ledger: Ledger,
    actions: Mapping[str, Action],
    recipe: Callable[[str, int], Recipe],
    but: Callable[[Task], bool] = lambda _: False,
) -> int:
    """Re-enact all tasks `but` some; return how many to their ends. Fails with everything that differs.

    What a test's targets plan may change at any time: an approval of that ends the play.
    """
    by = Reenact(ledger, actions, recipe, tasks.get, tasks.lineage)
    wrong: dict[str, list[str]] = {}
    played = 0
    for task in tasks.listing(limit=1_000_000):
        if but(task):
            continue
        events = tasks.lineage(task.id)
        assert tells_enough(events)
        left_out: list[str] = []
        found = list(by.differences(task, events, tasks.effects(task.id), left_out))
        found += [each for each in left_out if not each.endswith(OTHERWISE)]
        if found:
            wrong[task.id] = [*found, *(event.entry.decode() for event in events)]
        played += not left_out
    assert not wrong, "\n".join(f"{name}:\n  " + "\n  ".join(why) for name, why in wrong.items())
    return played
