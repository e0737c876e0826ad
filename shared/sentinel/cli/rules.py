"""`sentinel rules test`: try rules on a file before they are pushed."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import click

from sentinel.cli.options import json_option
from sentinel.cli.output import echo, emit, plain, table

MAX_PLACES = 10


@click.group()
def rules() -> None:
    """Try Sigma rules."""


@rules.command("test")
@click.argument(
    "paths", metavar="RULES...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--input",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A log: text or one JSON object a line.",
)
@json_option
def test(paths: tuple[Path, ...], source: Path, as_json: bool) -> int:
    """Match every line of a log against rules (files or folders) and count. Stores nothing."""
    from sentinel.cli.documents import files
    from sentinel.core.rules import load
    from sentinel.usecases.try_rules import Tally, try_rules

    loaded = load((str(path), path.read_bytes()) for path in files(paths))
    tally = Tally.of(loaded)
    places: defaultdict[str, list[int]] = defaultdict(list)
    with click.open_file(str(source), "rb") as lines:
        for tried in try_rules(loaded, enumerate(lines, 1)):
            tally.add(tried)
            for rule in tried.rules:
                if len(places[rule.id]) < MAX_PLACES:
                    places[rule.id].append(tried.line)
    titles = {rule.id: rule.title for rule in loaded.rules}
    found: list[dict[str, Any]] = [
        {"rule": rule, "title": titles[rule], "matched": count, "lines": places[rule]}
        for rule, count in tally.by_rule.items()
    ]
    if as_json:
        emit({"lines": tally.lines, "matched": tally.matched, "rules": found, "untried": list(tally.untried)})
        return 0
    found.sort(key=lambda each: -each["matched"])
    rows = [(each["matched"], each["title"], _places(each["lines"], each["matched"])) for each in found]
    table(rows, ("MATCHED", "RULE", "LINES"))
    echo(f"{tally.matched:,} of {tally.lines:,} lines match")
    if tally.untried:
        names = ", ".join(correlation.title for correlation in loaded.correlations)
        echo(f"not tried, since a file has no times of arrival: {plain(names)}")
    return 0


def _places(lines: list[int], matched: int) -> str:
    return ", ".join(map(str, lines)) + (" ..." if matched > len(lines) else "")
