"""`sentinel tasks fork`: a task once more, with other inputs."""

from __future__ import annotations

from pathlib import Path

import click

from sentinel.cli.options import application
from sentinel.cli.tasks import acting, tell


@click.command()
@acting
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="STEP.KEY=VALUE",
    help="An input of a step in the place of the recipe's: JSON, or text where it is none.",
)
@click.option("--from", "step", default="", metavar="STEP", help="Begin with this step.")
@click.option("--request", default="", help="Names this fork: the same name again gives the same fork.")
def fork(
    task_id: str,
    pairs: tuple[str, ...],
    step: str,
    request: str,
    why: str,
    who: str,
    home: Path,
    as_json: bool,
) -> int:
    """Make a new task of the same recipe, and print it; the old one stays as it is."""
    from sentinel.usecases.fork import Wish

    inputs: dict[str, dict[str, object]] = {}
    for pair in pairs:
        place, equals, value = pair.partition("=")
        name, dot, key = place.rpartition(".")
        if not (equals and dot and name and key):
            raise click.UsageError(f"--set takes STEP.KEY=VALUE, not {pair!r}")
        inputs.setdefault(name, {})[key] = _value(value)
    made = application(home).fork.fork(task_id, Wish(who, why, inputs, step, request))
    return tell(made, as_json)


def _value(text: str) -> object:
    import orjson  # not above: it takes its time, and other commands do without

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
