"""What a million tasks cost in AWS, in dollars, beside Step Functions Standard and Lambda durable functions.

    python -m benchmarks.tasks_prices

counts the requests of a task anew (`tasks_cost`) and writes the tables of docs/cost.md. Prices and what is
assumed stand here, once; where a price comes from is told in the document.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tasks_cost import Bill, bill_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "cost.md"
MILLION = 1_000_000

# US East (N. Virginia), on demand, without free tiers, in dollars a million of what is named.
WRITE_UNITS = 0.625
READ_UNITS = 0.125
LAMBDA_REQUESTS = 0.20
LAMBDA_GB_SECONDS = 13.3334  # arm64, first tier
ECPUS = 0.0023
TRANSITIONS = 25.0
DURABLE_OPERATIONS = 8.0
# In dollars.
DURABLE_GB_WRITTEN = 0.25
DURABLE_GB_MONTHS = 0.15
NAT_MONTH = 0.045 * 730
CACHE_MONTH = 0.1 * 0.084 * 730  # the least that is billed: 100 MB

# Assumed, not measured: there is no account to measure in.
REQUEST_SECONDS = 0.005  # one request to DynamoDB, waited for
CALL_SECONDS = 0.015  # what a call of a function takes beside its requests
STEP_SECONDS = 0.05  # what the step itself takes: the other system's answer
COMMANDS = 8  # of Valkey a task, one ECPU each
DETECT_GB, SMALL_GB = 1769 / 1024, 0.5
STEP_BYTES = 1024  # that a durable function writes for a step
RETAINED_MONTHS = 14 / 30
SCHEDULED = 3 * 60 * 730  # calls a month that find nothing to do: the sweep and two workers, each minute


@dataclass(frozen=True, slots=True)
class Way:
    """One way to have tasks done: its parts in dollars a million tasks."""

    name: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """Dollars a million tasks."""
        return sum(self.parts.values())


def functions(calls: float, seconds: float, gigabytes: float) -> float:
    """Return what a function costs in dollars a million tasks; `calls` and `seconds` are a task's."""
    return calls * LAMBDA_REQUESTS + seconds * gigabytes * LAMBDA_GB_SECONDS


def matching(together: int) -> float:
    """Return what detection costs without its write, which every way needs."""
    return functions(1 / together, CALL_SECONDS / together, DETECT_GB)


def ours(bill: Bill, steps: int, together: int) -> Way:
    """Return what Sentinel costs where `together` tasks come at once; 1 is the dearest."""
    requests = bill.requests.total()
    work = REQUEST_SECONDS * (requests - 1) + STEP_SECONDS * steps + CALL_SECONDS / together
    return Way(
        f"Sentinel, {together} at once" if together > 1 else "Sentinel, each alone",
        {
            "state": bill.units * WRITE_UNITS + bill.reads * READ_UNITS,
            "functions": matching(together)
            + functions(0, REQUEST_SECONDS, DETECT_GB)  # it waits for the task's creation
            + functions(1 / together, CALL_SECONDS / together, SMALL_GB)  # dispatch
            + functions(1 / together, work, SMALL_GB),
            "queue": COMMANDS * ECPUS,
        },
    )


def step_functions(steps: int) -> Way:
    """Return what Step Functions Standard costs with a function a step, the start counted as a transition."""
    each = functions(1, CALL_SECONDS + STEP_SECONDS, SMALL_GB)
    return Way(
        "Step Functions Standard",
        {"state": (steps + 1) * TRANSITIONS, "functions": matching(1) + steps * each, "queue": 0.0},
    )


def durable_functions(steps: int) -> Way:
    """Return what a Lambda durable function costs whose start and steps are an operation each."""
    gigabytes = (steps + 1) * STEP_BYTES * MILLION / 1024**3
    written = gigabytes * (DURABLE_GB_WRITTEN + RETAINED_MONTHS * DURABLE_GB_MONTHS)
    # A checkpoint is waited for as a request to DynamoDB is.
    seconds = CALL_SECONDS + steps * (STEP_SECONDS + REQUEST_SECONDS)
    return Way(
        "Lambda durable functions",
        {
            "state": (steps + 1) * DURABLE_OPERATIONS + written,
            "functions": matching(1) + functions(1, seconds, SMALL_GB),
            "queue": 0.0,
        },
    )


def idle_month() -> float:
    """Return what Sentinel's own cache, its VPC's NAT gateway and its schedules cost a month, unused."""
    quiet = functions(SCHEDULED / MILLION, SCHEDULED * 4 * CALL_SECONDS / MILLION, SMALL_GB)
    return NAT_MONTH + CACHE_MONTH + quiet


def even(one: Bill) -> float:
    """Return from how many tasks with one step a month Sentinel with its own VPC is the cheaper."""
    return MILLION * idle_month() / (step_functions(1).total - ours(one, 1, 1).total)


def units_table(bills: Mapping[int, Bill]) -> str:
    """Return the table of requests and units as Markdown."""
    rows = ["| steps | write requests | read requests | units of the table | of its indexes | all |"]
    rows += ["|---|---|---|---|---|---|"]
    rows += [
        f"| {steps} | {bill.writes} | {bill.reads} | {bill.table_units} | {bill.index_units} | {bill.units} |"
        for steps, bill in bills.items()
    ]
    return "\n".join(rows)


def dollars_table(bills: Mapping[int, Bill]) -> str:
    """Return the table of dollars a million tasks as Markdown."""
    rows = ["| steps | way | state | functions | queue | together |", "|---|---|---|---|---|---|"]
    for steps, bill in bills.items():
        ways = (
            ours(bill, steps, 1),
            ours(bill, steps, 100),
            step_functions(steps),
            durable_functions(steps),
        )
        for way in ways:
            told = " | ".join(f"{dollars:.2f}" for dollars in (*way.parts.values(), way.total))
            rows.append(f"| {steps} | {way.name} | {told} |")
    return "\n".join(rows)


def written(text: str, bills: Mapping[int, Bill]) -> str:
    """Return a document with its tables made anew."""
    tables = {
        "units": units_table(bills),
        "dollars": dollars_table(bills),
        "idle": f"That is about ${idle_month():.0f} a month, so that with tasks of one step, each alone, "
        f"Step Functions is\nthe cheaper below about {even(bills[1]) / MILLION:.1f} million tasks a month.",
    }
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def counted() -> dict[int, Bill]:
    """Count what tasks with one and with three steps ask of DynamoDB."""
    with tempfile.TemporaryDirectory() as folder:
        return {steps: bill_of(Path(folder) / str(steps), steps) for steps in (1, 3)}


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(), counted()))
