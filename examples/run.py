"""The main job, end to end: what `make run` runs.

    python -m examples.run                             the shop, until Ctrl-C
    python -m examples.run --once                      the shop once, then the account, then the end
    python -m examples.run --once --input FILE         a log in the place of the shop

It starts everything that `sentinel up` starts, tells what happens as it happens, verifies every chain and
checks an export without Sentinel. With `--once` the last line is one JSON object: entries, segments, chains,
verified, tasks, deliveries, seconds, all of them of this input. Exit codes: 0; 1 something is not whole or
was not delivered; 2 the input cannot be used; 3 it did not come to an end; with `--once`, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

import sentinel_verify
from examples import check_export, traffic
from examples.checkout.shipping import handler_for
from examples.desk import Desk
from examples.narrator import Narrator, sinks_of
from examples.shop_repository import ShopRepository
from sentinel.bootstrap import App, application
from sentinel.cli.clients import ends, local_credentials
from sentinel.cli.door import Credentials
from sentinel.cli.ingest import segments, store
from sentinel.cli.output import Failure, failure_of, report, style
from sentinel.cli.producer import Producer
from sentinel.core.tasks import State, Task
from sentinel.errors import SentinelError, Tampered, Unavailable
from sentinel.local.gateway_socket import listen
from sentinel.local.supervisor import Supervisor, settings_for

INTERRUPTED = 130
MAX_SERVICE = 128
PATIENCE = 60.0  # seconds without any progress before a run that should end is given up
_GREEN = frozenset({"delivered", "sealed", "verified", "checked", "proven"})
_RED = frozenset({"failed", "damaged"})
_ONE_AT_A_TIME = threading.Lock()

Ranges = list[list[Any]]


def say(what: str, text: str) -> None:
    """Print one line of the story."""
    colour = "green" if what in _GREEN else "red" if what in _RED else "cyan"
    with _ONE_AT_A_TIME:  # a line and its end are two writes, and two threads tell
        print(f"{style(f'{what:<10}', colour)} {text}", flush=True)


@dataclass(slots=True)
class Run:
    """One run of the example. `ranges` are the places of its entries: chain, first, count."""

    options: argparse.Namespace
    app: App
    tree: Supervisor
    desk: Desk
    narrator: Narrator
    handler: logging.Handler
    began: float
    ranges: Ranges

    def feed(self) -> None:
        """Send the input, or let the shop run."""
        if self.options.input:
            for path in self.options.input:
                self.feed_log(path)
        else:
            self.feed_shop()

    def feed_log(self, path: Path) -> None:
        """Send a log as a service with the log's name, through the gateway."""
        service = service_of(path)
        producer = Producer(self.tree.url, service, credentials=issued(self.app.home, self.tree, service))
        stored = store(producer, str(path), "auto", self.app.home)
        self.ranges += stored.mark.ranges
        for problem in stored.problems:
            say("refused", f"line {problem['line']}: {problem['reason']}")
        if stored.mark.entries and not stored.sent:
            say("stored", f"{service}  all {stored.mark.entries:,} entries earlier")

    def feed_shop(self) -> None:
        """Send customers to the shop, which logs to Sentinel as it sells and fails."""
        before = {head.chain: head.entries for head in self.app.inspect.heads()}
        logging.getLogger("checkout").info("open at %s", self.desk.shop.url)
        statuses = traffic.drive(self.desk.shop.url)
        told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        say("shop", f"{sum(statuses.values())} checkouts answered {told}")
        self.handler.flush()
        for head in self.app.inspect.heads():
            first = before.get(head.chain, 0)
            if head.chain.startswith("checkout/") and head.entries > first:
                self.ranges.append([head.chain, first, head.entries - first])

    def concerns(self, task: Task) -> bool:
        """Whether a task was set off by this run's entries."""
        places: Any = task.cause.get("entries") or ()
        return any(
            chain == place["chain"] and first <= place["seq"] < first + count
            for place in places
            for chain, first, count in self.ranges
        )

    def account(self) -> dict[str, Any]:
        """Wait until all is carried out, verify, and return the figures."""
        tasks = self.narrator.settle(PATIENCE, self.concerns)
        self.narrator.stop()
        chains = {chain for chain, _, _ in self.ranges}
        whole = [self.verify(chain) for chain in sorted(chains)]
        for task in tasks:
            if task.state is State.FAILED:
                say("failed", f"{task.id}  {task.reason}")
        return {
            "entries": sum(count for _, _, count in self.ranges),
            "segments": segments(self.app.home, self.ranges),
            "chains": len(chains),
            "verified": all(whole),
            "tasks": len(tasks),
            "deliveries": sum(len(sinks_of(task)) for task in tasks),
            "seconds": round(time.monotonic() - self.began, 2),
        }

    def verify(self, chain: str) -> bool:
        """Seal and verify a chain; check its export by hashlib alone, its bundle by the public key alone."""
        try:
            sealed = self.app.sealer.seal(chain)
            signed = f"checkpoint {sealed.number:,} of {sealed.checkpoint.size:,} entries"
            say("sealed", f"{chain}  {signed}, root {sealed.checkpoint.root.hex()[:12]}")
            found = self.app.inspect.verify(chain)
            say("verified", f"{chain}  {found.entries:,} entries, head {found.head[:12]}")
            _, size, head = check_export.check(orjson.dumps(each) for each in self.app.inspect.export(chain))
            say("checked", f"{chain}  its export, {size:,} entries, by hashlib alone")
            proven = self.prove(chain)
        except (Tampered, check_export.Broken, sentinel_verify.Refused) as error:
            say("damaged", str(error))
            return False
        say("proven", f"{chain}  its bundle, {proven:,} entries, by sentinel-verify and the log's public key")
        return head == found.head

    def prove(self, chain: str) -> int:
        """Check a chain's bundle as an auditor does, who has the log's key and nothing else."""
        lines = (
            orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in self.app.bundler.chain(chain)
        )
        key = sentinel_verify.Key.read(self.app.log_keys.own.vkey)
        return sentinel_verify.verify(BytesIO(b"".join(lines)), [key], [], 0).size

    def tell_where(self) -> None:
        """Say where everything is and what to try."""
        home = self.options.home
        say("gateway", f"{self.tree.url}  client certificates and tokens; webhooks at {self.tree.hooks}")
        say("shop", self.desk.shop.url)
        say("collector", f"{self.desk.hec.url}  {len(self.desk.hec.collector.events):,} events taken")
        say("alerts", str(home / "files" / "alerts.ndjson"))
        sentinel = _shown(Path(sys.executable).with_name("sentinel"))
        for command in ("chains", "verify", "tasks", "ingest FILE --service laptop"):
            say("try", f"{sentinel} {command} --home {home}")
        say("try", f"{_shown(Path(sys.executable))} -m examples.traffic {self.desk.shop.url}")


def issued(home: Path, tree: Supervisor, service: str) -> Credentials | None:
    """Return what a service proves itself with, issued where it is new, and tell of it."""
    made: list[str] = []
    found = local_credentials(home, tree.url, service, made.append)
    if found is not None:
        until = ends(found)
        say(
            "issued" if made else "client",
            f"{service}  certificate until {until:%Y-%m-%d}, tokens of 15 minutes for its API key",
        )
    return found


def _shown(program: Path) -> str:
    """Name a program as it can be typed here."""
    try:
        return str(program.relative_to(Path.cwd()))
    except ValueError:
        return str(program)


def service_of(path: Path) -> str:
    """Make a service id of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.")[:MAX_SERVICE].strip("-.") or "input"


def check_input(path: Path) -> None:
    """Refuse an input that cannot be used. Raises the failure that says why."""
    try:
        if path.is_fifo():  # what is read from a pipe is gone: it is looked at as it is stored
            return
        with path.open("rb") as file:
            empty = not any(line.strip() for line in file)
    except OSError as error:
        raise Failure("Missing", f"{path}: {error.strerror}", "name a log that can be read", 2) from None
    if empty:
        raise Failure("Malformed", f"{path} holds no lines", "name a log with at least one line", 2)


def run(options: argparse.Namespace) -> int:
    """Run the example."""
    began = time.monotonic()
    for path in options.input:
        check_input(path)
    app = application(str(options.home))
    repository = ShopRepository(options.home)
    settings = replace(
        settings_for(options.home, app.settings),
        http_hosts=",".join(("127.0.0.1", *repository.hosts)),
        git_folders=str(repository.path),
        http_private=True,
        log_level="WARNING",
    )
    tree = Supervisor(settings, _port(options.port), tell=lambda line: say("restart", line))
    _leave_on_signals(tree)
    tree.claim()
    desk = Desk(options.home, repository=repository)
    desk.open()
    try:
        kinds = Counter(str(each["kind"]) for each in desk.push(app))
        say("pushed", ", ".join(f"{count} {kind} files" for kind, count in kinds.items()))
        if repository.off:
            say("patches", f"none are made here: {repository.off}")
        with tree, _tended(tree), _shipped(tree, options) as handler:
            narrator = Narrator(options.home, say)
            return story(Run(options, app, tree, desk, narrator, handler, began, []))
    finally:
        desk.close()


def _port(wanted: int | None) -> int:
    if wanted is None:
        try:
            for port in (8787, 8788):
                listen(port).close()
        except Unavailable:
            return 0
    return 8787 if wanted is None else wanted


def _leave_on_signals(tree: Supervisor) -> None:
    """Leave in order at the first signal, in a hurry at the second."""

    def leave(*_: object) -> None:
        if tree.stop.is_set():
            tree.hurry()
        else:
            tree.stop.set()
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


@contextmanager
def _shipped(tree: Supervisor, options: argparse.Namespace) -> Iterator[logging.Handler]:
    """Ship the shop's log records to the gateway, and no longer than the block."""
    quiet = options.input and options.once  # nobody visits the shop
    handler: logging.Handler = logging.NullHandler()
    if not quiet:
        credentials = issued(options.home, tree, "checkout")
        handler = handler_for(tree.url, "checkout", credentials, options.home)
    logger = logging.getLogger("checkout")
    logger.setLevel("INFO")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _tended(tree: Supervisor) -> Iterator[None]:
    """Look after the tree in a thread, and no longer than the block."""
    watcher = threading.Thread(target=tree.watch, name="watch")
    watcher.start()
    try:
        yield
    finally:
        tree.stop.set()
        watcher.join()


def story(this: Run) -> int:
    """Feed, account for it, and stay up unless it is to run once."""
    say("up", this.tree.url)
    this.narrator.start()
    this.feed()
    if not this.options.once:
        this.narrator.settle(PATIENCE, this.concerns)
        for head in this.app.inspect.heads():
            this.verify(head.chain)
        this.tell_where()
        say("waiting", "Ctrl-C stops it")
        this.tree.stop.wait()
        return 0
    figures = this.account()
    print(json.dumps(figures), flush=True)
    failed = any(task.state is State.FAILED for task in this.narrator.settle(1, this.concerns))
    return 0 if figures["verified"] and not failed else 1


def port_number(text: str) -> int:
    """Read a port from the command line. Raises `ValueError`."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run."""
    os.umask(0o077)  # as `sentinel` does: the logs in the home are its owner's
    parser = argparse.ArgumentParser(prog="python -m examples.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--once", action="store_true", help="end when everything is carried out")
    parser.add_argument(
        "--input",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a log to feed in the place of the shop; may be given several times",
    )
    parser.add_argument("--port", type=port_number, help="the gateway's port; by default 8787, or a free one")
    parser.add_argument("--home", type=Path, default=Path(".sentinel"), help="folder of all data")
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except Failure as failure:
        return report(failure, False)
    except TimeoutError as error:
        return report(
            Failure("Unavailable", str(error), "see `sentinel tasks`, and the lines above", 3), False
        )
    except (SentinelError, OSError) as error:
        return report(failure_of(error), False)
    except KeyboardInterrupt:
        return INTERRUPTED if options.once else 0


if __name__ == "__main__":
    sys.exit(main())
