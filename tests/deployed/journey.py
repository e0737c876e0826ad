"""The way through the deployed service, told as it happens: from a certificate to a verified chain.

    make deploy-local              # deploys to the emulator, goes the way, and takes everything down again
    make deploy-local ARGS=--keep  # stays up until Ctrl-C

Everything is done as it would be on AWS: what an operator does by the `sentinel` command with the settings
that the stacks' outputs name, what a service does by HTTP through the emulated API Gateway, and everything in
between by the deployed functions with the rights of their own roles.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.deployed import seeding
from tests.deployed.caller import Caller
from tests.deployed.deployment import Deployment, deploy, lines_of
from tests.deployed.emulator import EmulatorFailed, NotLoopback, Say
from tests.deployed.stacks import StackFailed

PATIENCE = 30.0
FAILURES = 10  # as many as the rule wants
MESSAGE = "Failed password for root from 192.0.2.7"


class Wrong(AssertionError):
    """Something on the way is not as it should be."""


@dataclass
class Journey:
    """One way through a deployment. `task` is the id of the task that it set off, `head` the chain's head."""

    deployed: Deployment
    say: Say
    service: Caller = field(init=False)
    other: Caller = field(init=False)
    receipt: dict[str, Any] = field(default_factory=dict)
    task: str = ""

    def prepare(self) -> None:
        """Do what an operator does before the first request."""
        with self.deployed.timed("operator"):
            seeding.open_doors(self.deployed, self.say)
            seeding.push(self.deployed, self.say)
            self.service = seeding.add(self.deployed, "checkout", ("ingest", "tasks:read"), self.say)
            self.other = seeding.add(self.deployed, "payments", ("tasks:read",), self.say)

    def go(self) -> None:
        """Token, ingest, rule, task, worker, delivery, verify."""
        with self.deployed.timed("token"):
            self.service = self.service.with_token()
        self.say("token", f"{self.service.service} got one for its certificate and API key")
        with self.deployed.timed("ingest"):
            self.ingest()
        with self.deployed.timed("delivery"):
            self.delivery()
        with self.deployed.timed("task"):
            self.settled()
        with self.deployed.timed("verify"):
            self.verify()

    def ingest(self) -> None:
        """Send the entries that set the rule off."""
        lines = [{"message": MESSAGE, "source": "sshd", "n": n} for n in range(FAILURES)]
        answer = self.service.send(lines_of(lines))
        if answer.status != 200:
            raise Wrong(f"ingest answered {answer.status}: {answer.body!r}")
        self.receipt = answer.json()
        self.say("stored", f"{self.receipt['chain']}  {self.receipt['count']} entries")

    def delivery(self) -> None:
        """Wait until the collector has every one of them."""
        events = self.deployed.collector.collector.events
        until(lambda: len(events) >= FAILURES, "nothing arrived at the collector")
        if [each["event"]["message"] for each in events] != [MESSAGE] * FAILURES:
            raise Wrong(f"the collector took {events}")
        self.task = events[0]["fields"]["sentinel_task"]
        self.say("delivered", f"{len(events)} events to {self.deployed.collector.url}")

    def settled(self) -> None:
        """Wait until the service sees its task as succeeded."""
        until(lambda: self.shown()["state"] == "succeeded", "the task did not succeed")
        lineage = [each["event"] for each in self.shown()["lineage"]]
        self.say("task", f"{self.task}  {', '.join(lineage)}")

    def shown(self) -> dict[str, Any]:
        """Return the task as the API shows it to its service."""
        answer = self.service.call("GET", f"/v1/tasks/{self.task}")
        if answer.status != 200:
            raise Wrong(f"the task answered {answer.status}: {answer.body!r}")
        found: dict[str, Any] = answer.json()
        return found

    def verify(self) -> None:
        """Verify the chain in the emulated ledger, from its first entry."""
        done = self.deployed.sentinel("verify", "--json")
        if done.returncode or self.receipt["head"] not in done.stdout:
            raise Wrong(f"sentinel verify: {done.stdout}{done.stderr}")
        self.say("verified", f"{self.receipt['chain']}  head {self.receipt['head'][:12]}")


def until(holds: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds. Raises `Wrong`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Wrong(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.05)


class Narrator:
    """Says what happens, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, what: str, told: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f}  {what:<12}  {told}", flush=True)


def run(keep: bool) -> int:
    """Deploy, go the way, and tell it."""
    say = Narrator()
    with deploy(say) as deployed:
        journey = Journey(deployed, say)
        try:
            journey.prepare()
            journey.go()
        except (Wrong, subprocess.TimeoutExpired):
            sys.stderr.write(f"\nthe end of the emulator's log:\n{deployed.emulator.log()[-4000:]}\n")
            raise
        if keep:
            _stay(journey)
    print(json.dumps(deployed.seconds), flush=True)
    return 0


def _stay(journey: Journey) -> None:
    """Say how to try it, and wait for a signal."""
    say, deployed = journey.say, journey.deployed
    say("service API", journey.service.url)
    environ = {**deployed.emulator.environ(), **deployed.settings()}
    script = deployed.folder / "environment.sh"
    script.touch(mode=0o600)
    names = sorted(name for name in environ if name.startswith(("AWS_", "SENTINEL_")))
    script.write_text("".join(f"export {name}='{environ[name]}'\n" for name in names))
    say("try", f". {script}; sentinel chains; sentinel tasks; sentinel verify")
    curl = deployed.folder / "curl.conf"
    curl.touch(mode=0o600)
    curl.write_text(journey.service.curl())
    say("try", f"curl --config {curl} {journey.service.url}/v1/chains")
    say("log", str(deployed.emulator.folder / "emulator.log"))
    say("waiting", "Ctrl-C takes it down")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5):
        pass


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="make deploy-local", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--keep", action="store_true", help="leave it up until Ctrl-C")
    options = parser.parse_args(arguments)
    try:
        return run(options.keep)
    except (EmulatorFailed, NotLoopback, StackFailed, Wrong) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
