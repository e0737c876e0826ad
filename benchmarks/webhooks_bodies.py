"""Real bodies: which files are webhooks, and whether the alerts that are sealed are those that they mean.

What a file means is written down by hand beside its tests (title, severity, status and fingerprint of each
alert); each body is signed as its sender would, taken in by the real receiver, and read back from the chain:
the body byte for byte, and the alerts beside it. A file that nobody has looked at counts as wrong.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.webhooks_world import World, bodies_of, named
from sentinel.webhooks import SOURCES
from tests.data import DATA
from tests.webhooks import test_real_bodies as senders_of_their_own
from tests.webhooks import test_real_monitoring as monitoring
from tests.webhooks.senders import NOW, SENDERS, in_header

FOLDER = DATA / "webhooks"
Told = tuple[str, str, str, str]
# Files that no sender posts to a webhook, by folder or by name.
LEFT_OUT: Mapping[str, str] = {
    "aws": "an event that Lambda hands to a function",
    "ocsf": "an event in OCSF: what sinks write, no sender's message",
    "otlp": "an export of logs by OTLP, which has an endpoint of its own (/v1/logs)",
    "datadog/docs_default_template.json": "a template that Datadog has not filled in yet",
    "datadog/taskcall_template_security_incident.json": "a template that Datadog has not filled in yet",
    "datadog/docs_logs_sample.json": "the value of one variable of Datadog's templates",
    "grafana/keep_highmemoryconsumption.json": "the definition of a rule, as Grafana's API has it",
    "grafana/keep_networklatencyishigh.json": "the definition of a rule, as Grafana's API has it",
    "pagerduty/docs_v3_1.json": "an object of PagerDuty's API, a subscription",
}


@dataclass(frozen=True)
class Body:
    """One file, the source and the options of the webhook that it is for, and what it means."""

    file: str
    source: str
    options: Mapping[str, str]
    means: list[Told]

    @property
    def raw(self) -> bytes:
        """The bytes."""
        return (FOLDER / self.file).read_bytes()


def files(folder: Path = FOLDER) -> list[str]:
    """Return all files there are."""
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*"))


def why_not(file: str) -> str:
    """Return why a file is no webhook, "" for one that is."""
    return LEFT_OUT.get(file) or LEFT_OUT.get(file.partition("/")[0], "")


def bodies() -> Iterator[Body]:
    """Yield the webhooks that somebody has looked at."""
    for file, means in senders_of_their_own.TELLS.items():
        yield Body(file, file.partition("/")[0].replace("_", "-"), {}, means)
    known = {file: [means] for file, means in monitoring.TELLS.items()}
    for file, several in {**known, **{file: [] for file in monitoring.SILENT}}.items():
        source, mapping = monitoring.HOW[file.partition("/")[0]]
        yield Body(file, source, {"mapping": mapping} if mapping else {}, several)


def fits(found: Mapping[str, object], means: Told) -> bool:
    """Say whether a sealed alert is what a sender means; a fingerprint that is made here has to be there."""
    title, severity, status, fingerprint = means
    same = (found["title"], found["severity"], found["status"]) == (title, severity, status)
    return (
        same and bool(found["fingerprint"]) and found["fingerprint"] == (fingerprint or found["fingerprint"])
    )


def sealed(world: World, body: Body) -> tuple[bytes, list[dict[str, object]], str]:
    """Take a body in and read it back: the body, its alerts, and why it was parked.

    SNS's own file has a placeholder for its signature, so of that one the alerts are read alone.
    """
    headers = {"content-type": "application/json"}
    if body.source == "sns":
        alerts = SOURCES["sns"].make({}).alerts(headers, body.raw)
        return body.raw, [alert.json() for alert in alerts], ""
    sender = SENDERS[body.source][0]
    sign = in_header() if body.source == "generic" else sender.sign
    hook = named(body.file)
    world.add(hook, body.source, body.options, sender.secret)
    signed = headers | sign(body.raw, sender.secret, NOW)
    world.receive(body.source, hook, signed.items(), body.raw)
    return bodies_of(world.entries(hook))


def correct(world: World, body: Body) -> bool:
    """Say whether a body is sealed as it came with the alerts that it means, and say on paper where not."""
    kept, alerts, parked = sealed(world, body)
    plain = kept == body.raw or base64.b64encode(body.raw) == kept
    means = len(alerts) == len(body.means) and all(map(fits, alerts, body.means))
    if plain and means and not parked:
        return True
    print(f"WRONG {body.file}: body as it came: {plain}; alerts: {alerts}; parked: {parked or 'no'}")
    return False


def measured(folder: Path) -> dict[str, float]:
    """Look at every file; print which are none, and why."""
    if not FOLDER.exists():
        raise SystemExit(
            f"the real bodies are not there: {FOLDER} is beside a checkout, or nothing is measured"
        )
    world = World(folder)
    known = {body.file: body for body in bodies()}
    out = [file for file in files() if why_not(file)]
    webhooks = [file for file in files() if file not in out]
    for file in out:
        print(f"no webhook: {file}: {why_not(file)}")
    for file in webhooks:
        if file not in known:
            print(f"WRONG {file}: nobody has written down what it means")
    right = [file for file in webhooks if file in known and correct(world, known[file])]
    silent = sum(not known[file].means for file in right)
    print(f"{len(files())} files, {len(webhooks)} webhooks, {silent} of them known to tell no alert")
    return {
        "files": len(files()),
        "left_out": len(out),
        "webhooks": len(webhooks),
        "webhooks_without_alert": silent,
        "correct_percent": 100 * len(right) / len(webhooks),
    }
