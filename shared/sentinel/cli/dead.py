"""`sentinel tasks dead`: which tasks failed for good, from the dead-letter stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import Failure, cut, echo, emit, table
from sentinel.cli.times import moment

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.ports import Buried


@click.command()
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many."
)
@home_option
@json_option
def dead(limit: int, home: Path, as_json: bool) -> int:
    """List what was put on the dead-letter stream, newest first, and what became of it.

    The stream is in Redis and keeps about ten thousand: `sentinel tasks --state failed` has them all.
    """
    app = _with_queue(home)
    found = []
    for each in _buried(app, limit, home):
        task = app.tasks.get(each.task_id)
        state = task.state.value if task is not None else "unknown"
        found.append({"task": each.task_id, "t": each.t, "state": state, "reason": each.reason})
    if as_json:
        emit(found)
        return 0
    rows = [(each["task"], moment(int(str(each["t"]))), each["state"], cut(each["reason"])) for each in found]
    table(rows, ("TASK", "FAILED", "NOW", "REASON"))
    if any(each["state"] == "failed" for each in found):
        echo("sentinel tasks redrive ID --why WHY has one go on from the step that failed")
    return 0


def _buried(app: App, limit: int, home: Path) -> list[Buried]:
    from sentinel.errors import Unavailable
    from sentinel.local.home import published

    try:
        return app.queue.buried(limit)
    except Unavailable:
        if not app.local or published(home) is not None:
            raise
        hint = "start it with `sentinel up`; `sentinel tasks --state failed` needs none"
        raise Failure("Unavailable", f"the stream is in Valkey, and none runs on {home}", hint, 3) from None


def _with_queue(home: Path) -> App:
    """Return the application with its Redis; locally that is the one that `sentinel up` runs."""
    app = application(home)
    if not app.local or app.settings.redis_url:
        return app
    from sentinel.bootstrap import App
    from sentinel.local import valkey

    return App(replace(app.settings, redis_url=valkey.url(home)))
