"""What was tried, and how it was answered: every case by name, every answer byte for byte.

`docs/attacks.md` is written from it, and afterwards all of it is searched for secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TLS = 0  # the status of an answer that never came: TLS failed, or the connection was closed

# What tells a stranger about our insides: stack traces, and the software that answers.
_INSIDES = re.compile(
    rb'Traceback|File "|\.py\b|line \d+, in|aiohttp|Python/|botocore|sqlite|joserfc|/home/|/tmp/'
)
_OTLP = "/v1/logs"  # its function answers in google.rpc.Status, as OTLP asks
COLLECTOR = "/services/collector"  # answers in Splunk's own form
_TOKENS = {"/v1/token", "/oauth/token"}  # their function answers in the form of RFC 6749


@dataclass(frozen=True)
class Answer:
    """One answer, header names in lower case; status 0 is none at all."""

    status: int = TLS
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, "" where it is not there."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def told(self) -> dict[str, object]:
        """The body as a JSON object, empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def raw(self) -> bytes:
        """Return everything in it."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return head.encode("utf-8", "surrogateescape") + b"\n" + self.body


NOTHING = Answer()


def problem(answer: Answer, path: str = "") -> str:
    """Say what is wrong with the form of a refusal; "" where nothing is."""
    if answer.status == TLS:
        return ""
    raw = answer.raw()
    if found := _INSIDES.search(raw):
        return f"tells of our insides: {found[0]!r}"
    if answer.status >= 500 and answer.status not in {502, 503, 504}:
        return f"{answer.status} is a failure and no refusal"
    if answer.header("content-type").partition(";")[0] != "application/json":
        otlp = path == _OTLP and answer.header("content-type") == "application/x-protobuf"
        return "" if otlp else f"the body is {answer.header('content-type') or 'of no type'}"
    return _words(answer, path)


def _words(answer: Answer, path: str) -> str:
    told = answer.told
    if path == _OTLP and set(told) == {"code", "message"}:
        return ""
    if path.startswith(COLLECTOR) and {"text", "code"} <= set(told) <= {"text", "code", "message"}:
        return ""
    wanted = {"error", "message"}
    if path in {*_TOKENS, ""} and "error_description" in told:
        wanted |= {"error_description"}
    if not wanted <= set(told) <= wanted | {"problems"}:
        return f"the body has {sorted(told)}"
    if not all(isinstance(told[name], str) and told[name] for name in wanted):
        return "error and message are text"
    return ""


@dataclass
class Case:
    """One case: what is done, what is expected, where it was tried, and what was wrong."""

    family: str
    name: str
    where: str
    expected: frozenset[int]
    wrong: list[str] = field(default_factory=list)
    tried: int = 0
    checked: bool = False

    def refused(self, answer: Answer, route: str = "") -> None:
        """Take an answer down: it must be an expected refusal in the right form."""
        self.tried += 1
        _ANSWERS.append(answer.raw())
        if answer.status not in self.expected:
            self.wrong.append(f"{route or self.where}: answered {answer.status}, {answer.body[:200]!r}")
        elif found := problem(answer, route.rpartition(" ")[2]):
            self.wrong.append(f"{route or self.where}: {answer.status} {found}")

    def holds(self, true: object, why: str) -> None:
        """Take down something else that has to be so."""
        self.tried += 1
        if not true:
            self.wrong.append(why)

    @property
    def status(self) -> str:
        """What it is refused with, as `docs/attacks.md` says it."""
        told = ["no answer" if status == TLS else str(status) for status in sorted(self.expected)]
        return " or ".join(told) or "harmless"


CASES: dict[tuple[str, str, str], Case] = {}
_ANSWERS: list[bytes] = []


def answers() -> list[bytes]:
    """Return everything that was answered to attacks."""
    return _ANSWERS


@contextmanager
def case(family: str, name: str, where: str, *expected: int) -> Iterator[Case]:
    """Try one case; at its end everything that was not refused as expected is told at once."""
    assert not set("|\n\r") & set(name), "the name is a cell of a table"
    made = Case(family, name, where, frozenset(expected))
    assert (family, name, where) not in CASES, f"there is a case {family}: {name} already"
    yield made
    assert not made.wrong, f"{family}: {name}\n  " + "\n  ".join(made.wrong)
    assert made.tried, f"{family}: {name}: nothing was tried"
    CASES[family, name, where] = made
