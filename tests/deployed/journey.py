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

from sentinel.local.key_pair import KeyPair
from tests.deployed import seeding
from tests.deployed.caller import Answer, Caller, Hook
from tests.deployed.deployment import Deployment, deploy, lines_of
from tests.deployed.emulator import EmulatorFailed, NotLoopback, Say
from tests.deployed.refusals import ATTEMPTS
from tests.deployed.seeding import CommandFailed
from tests.deployed.stacks import StackFailed

PATIENCE = 30.0
FAILURES = 10  # as many as the rule wants
MESSAGE = "Failed password for root from 192.0.2.7"


class Wrong(AssertionError):
    """Something on the way is not as it should be."""


@dataclass
class Journey:
    """One way through a deployment. `task` is the id of the task that was set off, `answers` the refusals."""

    deployed: Deployment
    say: Say
    service: Caller = field(init=False)
    other: Caller = field(init=False)
    lost: Caller = field(init=False)
    hook: Hook = field(init=False)
    receipt: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    lineage: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list, repr=False)
    verified: list[dict[str, Any]] = field(default_factory=list)
    erased: dict[str, Any] = field(default_factory=dict)
    signing: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)

    def all(self) -> None:
        """Go the whole way."""
        for phase, act in {
            "operator": self.prepare,
            "token": self.tokens,
            "ingest": self.ingest,
            "delivery": self.delivery,
            "task": self.settled,
            "webhook": self.webhook,
            "rotation": self.rotate,
            "verify": self.verify,
            "erasure": self.erase,
            "refusals": self.refuse,
            "revocation": self.revoked,
        }.items():
            with self.deployed.timed(phase):
                act()

    def prepare(self) -> None:
        """Do what an operator does before the first request."""
        seeding.open_doors(self.deployed, self.say)
        seeding.push(self.deployed, self.say)
        self.service = seeding.add(self.deployed, "checkout", ("ingest", "tasks:read"), self.say)
        self.other = seeding.add(self.deployed, "payments", ("tasks:read",), self.say)
        self.hook = seeding.add_hook(self.deployed, "checkout", self.say)

    def tokens(self) -> None:
        """Get tokens, and lose the key of a certificate that was good: doors hear of it while all goes on."""
        self.service = self.service.with_token()
        self.other = self.other.with_token()
        self.say("token", "for both services, for certificate and API key")
        path = seeding.certificate(self.deployed, "checkout", "lost")
        self.lost = self.service.using(pem=path.read_text()).with_token()
        if self.lost.call("GET", "/v1/chains").status != 200:
            raise Wrong("a second certificate of a service is not as good as the first")
        seeding.revoke(self.deployed, path)
        self.say("revoked", "one more certificate of checkout, which was good until now")

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
        self.lineage = [each["event"] for each in self.shown()["lineage"]]
        self.say("task", f"{self.task}  {', '.join(self.lineage)}")

    def shown(self) -> dict[str, Any]:
        """Return the task as the API shows it to its service."""
        answer = self.service.call("GET", f"/v1/tasks/{self.task}")
        if answer.status != 200:
            raise Wrong(f"the task answered {answer.status}: {answer.body!r}")
        found: dict[str, Any] = answer.json()
        return found

    def webhook(self) -> None:
        """Send a signed message to the webhook API: one more entry of the service's chain."""
        answer = self.hook.send(b'{"type": "deploy.done"}')
        if answer.status >= 300:
            raise Wrong(f"the webhook was answered {answer.status}: {answer.body!r}")
        self.say("webhook", "a signed message is stored")

    def rotate(self) -> None:
        """Rotate the API key by the deployed function: both keys count, and the signing keys after them."""
        self.keys = [self.service.api_key, seeding.new_api_key(self.deployed, "checkout")]
        if [self.service.using(api_key=key).token().status for key in self.keys] != [200, 200]:
            raise Wrong("old and new API key do not both count")
        seeding.rotate(self.deployed, "signing-keys")
        known = self.service.call("GET", "/.well-known/jwks.json").json()["keys"]
        self.say("rotated", f"the API key, and the signing keys, of which {len(known)} are published")

    def verify(self) -> None:
        """Have checkpoints signed by the deployed function; verify the chains against them from outside."""
        sealed = self.deployed.invoke("seal", {})
        if sealed["sealed"] < 1 or sealed["unsealed"]:
            raise Wrong(f"not every chain was sealed: {sealed}")
        self.verified = seeding.command(self.deployed, "verify")
        self.say(
            "verified",
            ", ".join(
                f"{each['chain']}  {each['entries']} entries, {each['checkpoint']['size']} of them signed"
                for each in self.verified
            ),
        )

    def erase(self) -> None:
        """Erase an entry in the role of who erases, which has the record signed by the deployed function."""
        role = seeding.take_role(self.deployed)
        chain = str(self.receipt["chain"])
        self.signing = seeding.signing(self.deployed, role)
        asked = ("--chain", chain, "--entries", "0", "--reason", "request 12", "--who", "auditor", "--yes")
        self.erased = seeding.command(self.deployed, "erase", *asked, **role)
        (after,) = seeding.command(self.deployed, "verify")
        if not after["verified"] or after["erased"] != 1:
            raise Wrong(f"the chain does not verify after the erasure: {after}")
        self.say("erased", f"entry 0 of {chain}; what signs records signed entry {self.erased['record']}")

    def refuse(self) -> None:
        """Try what must not work."""
        for attempt in ATTEMPTS:
            answer = self.answers[attempt.name] = attempt.make(self)
            self.say("refused", f"{attempt.name}: {answer.status}")
            if answer.status != attempt.status:
                raise Wrong(f"{attempt.name}: {answer.status} instead of {attempt.status}: {answer.body!r}")

    def renew(self) -> Answer:
        """Ask for a new certificate with the one in use, as a client does from day 60 on."""
        request = KeyPair(self.deployed.folder / "next").begin()
        kind = {"Content-Type": "application/x-pem-file"}
        return self.service.call("POST", "/v1/certificate", request, kind)

    def revoked(self) -> None:
        """Wait until the doors have heard of the revocation: cache of the gateway, then of the function."""
        until(
            lambda: self.lost.call("GET", "/v1/chains").status == 401, "the revoked certificate still counts"
        )
        self.answers["a revoked certificate"] = self.lost.call("GET", "/v1/chains")
        self.answers["a token for a revoked certificate"] = self.lost.token()
        self.say("refused", "a revoked certificate, and its token")


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
            journey.all()
        except (CommandFailed, Wrong, subprocess.TimeoutExpired):
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
    except (CommandFailed, EmulatorFailed, NotLoopback, StackFailed, Wrong) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
