"""`sentinel eval patches`: runs cases through the making of patches and says what came of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import Failure, echo, emit, table

if TYPE_CHECKING:
    from sentinel.bootstrap_evaluation import Evaluation
    from sentinel.core.evaluation import Case, Result
    from sentinel.core.questions import Question, Reply

MARK = "case.yaml"


@click.group(name="eval")
def evaluate() -> None:
    """Measure what models and rules make of cases."""


@evaluate.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, metavar="CASE", help="Only this case; may be given several times.")
@click.option(
    "--answers",
    type=click.Choice(["right", "wrong", "malicious"]),
    multiple=True,
    help="Only these scripted answers.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Ask this model of the catalog instead of taking scripted answers.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep what models say there: a model of the kind recorded answers from it.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Cases at a time.")
@home_option
@json_option
def patches(
    folder: Path,
    only: tuple[str, ...],
    answers: tuple[str, ...],
    models: tuple[str, ...],
    record: Path | None,
    jobs: int,
    home: Path,
    as_json: bool,
) -> int:
    """Run the cases below FOLDER: patches are proposed, judged, proven, and tried by hidden tests.

    Answers are those of each case's files, said to be scripted, or with --model those of models. Exits 1
    where a right answer is not proven, or a wrong or malicious one is, beyond what is allowed.
    """
    from sentinel.adapters.sandbox_bwrap import here
    from sentinel.bootstrap_evaluation import Evaluation, nobody

    if record and not models:
        raise click.UsageError("--record keeps what models say: name one by --model")
    cases = [each for each in cases_of(folder) if not only or each.name in only]
    if not cases:
        raise Failure(
            "Missing", f"{folder} holds no case{' of that name' if only else ''}", "see docs/evaluation.md", 2
        )
    app = application(home, fresh=True) if models else None  # of it only the catalog is read
    to = Evaluation(here(), app.asked if app else nobody, models)
    if record:
        to = dataclasses.replace(to, keep=_kept(record))
    return _told(list(results_of(to, cases, answers, jobs)), as_json)


def _kept(folder: Path) -> Callable[[Question, Reply], None]:
    """Return what keeps an exchange as `sentinel.ai.recorded` finds it."""
    from sentinel.core.exchanges import exchange, key

    folder.mkdir(parents=True, exist_ok=True)

    def keep(question: Question, reply: Reply) -> None:
        (folder / f"{key(question)}.json").write_bytes(exchange(question, reply))

    return keep


def cases_of(folder: Path) -> Iterator[Case]:
    """Yield the cases below a folder. Raises `Malformed` for one that is none."""
    from sentinel.core.evaluation import case_of

    for mark in sorted(folder.rglob(MARK)):
        place = mark.parent
        files = {
            path.relative_to(place).as_posix(): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        yield case_of(place.name, files)


def results_of(to: Evaluation, cases: list[Case], answers: tuple[str, ...], jobs: int) -> Iterator[Result]:
    """Yield what comes of cases, so many at a time; without `answers` all that a case has."""
    with ThreadPoolExecutor(jobs) as pool:
        if to.names:
            yield from pool.map(to.asked, cases)
            return
        wanted = [(case, kind) for case in cases for kind in case.answers if not answers or kind in answers]
        yield from pool.map(lambda each: to.scripted(*each), wanted)


def _told(results: list[Result], as_json: bool) -> int:
    from sentinel.core.evaluation import OWN_SECONDS, TARGETS, figures

    found = figures(results)
    met = all(found[name] is None or float(str(found[name])) >= least for name, least in TARGETS.items())
    met = met and float(str(found["own_seconds_max"])) < OWN_SECONDS
    if as_json:
        rows = [dataclasses.asdict(each) for each in results]
        emit(
            {
                "results": rows,
                "figures": found,
                "targets": {**TARGETS, "own_seconds_max": OWN_SECONDS},
                "met": met,
            }
        )
        return 0 if met else 1
    header = ("CASE", "ANSWER", "VERDICT", "HIDDEN", "SECONDS", "WHY")
    table([_row(each) for each in results], header)
    for name, value in found.items():
        echo(f"{name:<22} {value}")
    return 0 if met else 1


def _row(result: Result) -> tuple[str, ...]:
    seconds = f"{result.seconds:.1f}"
    return result.case, result.kind, _verdict(result), _hidden(result), seconds, result.why[:90]


def _verdict(result: Result) -> str:
    return "proven" if result.proven else f"rejected by {result.rule}"


def _hidden(result: Result) -> str:
    return {True: "pass", False: "fail", None: "-"}[result.correct]
