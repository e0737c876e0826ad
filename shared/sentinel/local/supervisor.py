"""The supervisor: one process tree on one machine, from its start to its drained end.

Valkey, the gateway, the feeds and the workers are processes of their own, started with the settings in their
environment, restarted with growing pauses when they die, and stopped in the order in which work flows: the
gateway answers what it has begun, the feeds finish their batch, the workers their step, then Valkey goes. A
child never outlives the supervisor (`lifeline`). Everything is crash-safe, so hurrying loses nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from sentinel.errors import Malformed, Unavailable
from sentinel.local import doors, valkey
from sentinel.local import home as homes
from sentinel.local.lifeline import Stop
from sentinel.settings import Settings

BLOCK_MS = 300  # how long a worker waits for a hint; also about how long it takes to notice SIGTERM
CATALOG_SECONDS = 1
READY_SECONDS = 30.0
GRACE_SECONDS = 15.0  # for each stage of the drain, before it is killed
HEALTHY_SECONDS = 10.0
HOPELESS = 5  # deaths of one child in a row while everything is to come up
_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
_TICK = 0.2
_LAST = ("work_siem", "work_action", "deliver", "work_patches")
_STAGES = (("gateway",), ("feeds",), _LAST, ("valkey",))


def settings_for(home: Path, settings: Settings) -> Settings:
    """Return the settings of the children: local data below `home`, the queue in the embedded Valkey.

    An outside `redis_url` stays. Raises `Malformed` for settings that name tables in AWS, and for lists that
    cannot be read.
    """
    if settings.ledger_table:
        raise Malformed("`sentinel up` keeps its data on this machine: unset SENTINEL_LEDGER_TABLE")
    doors.check(settings)
    return replace(
        settings,
        home=str(home.absolute()),
        redis_url=settings.redis_url or valkey.url(home),
        door_seconds=doors.directory_seconds(settings.door_seconds),
        catalog_seconds=min(settings.catalog_seconds, CATALOG_SECONDS),
        drain_block_ms=settings.drain_block_ms or BLOCK_MS,
    )


@dataclass(slots=True)
class _Child:
    """A program that is to run. `pass_fds` are inherited; `started` and `again` are monotonic seconds."""

    name: str
    command: list[str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class Supervisor:
    """Runs a tree. Use it as a context: leaving it drains. `tell` gets lines about what goes wrong.

    `settings` are those of `settings_for`; `port` is that of the service API, the webhook API has the next
    one, and 0 takes two free ones; `insecure` is without doors, in plain HTTP; `stop` ends `watch`; `pauses`
    are the seconds before a child that died for the first, second, ... time in a row is started again. Raises
    `Conflict` where somebody runs on the folder already, `Unavailable` where the tree does not come up or a
    port is taken, and `Missing` where there is no Valkey or no functions.
    """

    settings: Settings
    port: int = 8787
    insecure: bool = False
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
    stop: Stop = field(default_factory=Stop)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    pauses: Sequence[float] = _PAUSES
    _children: list[_Child] = field(default_factory=list)
    _lock: homes.Lock | None = None
    _listeners: list[socket.socket] = field(default_factory=list)
    _hurried: bool = False
    _look_at_doors: float = 0.0
    _told: set[str] = field(default_factory=set)

    @property
    def home(self) -> Path:
        """The folder of all data."""
        return Path(self.settings.home)

    @property
    def url(self) -> str:
        """Where the service API is."""
        return self._address(0)

    @property
    def hooks(self) -> str:
        """Where the webhook API is."""
        return self._address(1)

    def _address(self, number: int) -> str:
        port = self._listeners[number].getsockname()[1]
        return f"{'http' if self.insecure else 'https'}://127.0.0.1:{port}"

    def claim(self) -> None:
        """Take the folder, for a caller that prepares something in it first."""
        if self._lock is None:
            self._lock = homes.lock(self.home)

    def __enter__(self) -> Supervisor:
        self.claim()
        try:
            self._start()
        except BaseException:
            self.hurry()
            self.drain()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()

    def _start(self) -> None:
        from sentinel.local import functions, gateway_socket

        functions.folder()
        for port in (self.port, self.port + 1 if self.port else 0):
            self._listeners.append(gateway_socket.listen(port))
        self.settings = replace(self.settings, approve_url=self.settings.approve_url or self.hooks)
        if self.settings.redis_url == valkey.url(self.home):
            valkey.shut_down(valkey.socket_path(self.home))
            config = str(valkey.configure(self.home))
            self._children.append(_Child("valkey", [*_python("sentinel.local.valkey"), config]))
        fds = tuple(each.fileno() for each in self._listeners)
        child = _python("sentinel.local.child")
        mode = doors.INSECURE if self.insecure else doors.SECURE
        self._children.append(_Child("gateway", [*child, "gateway", mode, *map(str, fds)], fds))
        self._children.append(_Child("feeds", [*child, "feeds"]))
        self._children += [_Child(name, [*child, name]) for name in _LAST]
        last = [each for each in self._children if each.name in _LAST]
        first = [each for each in self._children if each not in last and each.name != "gateway"]
        for each in first:
            self._spawn(each)
        if not self.insecure:  # while those start
            doors.prepare(self.settings)
            self._look_at_doors = time.monotonic() + doors.LOOK_SECONDS
        self._spawn(next(each for each in self._children if each.name == "gateway"))
        self._take_up()
        self._wait_ready()
        for each in last:  # there is no work before the gateway answers, and processors are scarce now
            self._spawn(each)
        homes.publish(self.home, homes.Endpoint(self.url, self.hooks, self.insecure))

    def _spawn(self, child: _Child) -> None:
        # The pipe at its standard input is held open by this process alone: see `lifeline`.
        child.process = subprocess.Popen(  # noqa: S603 - our own modules
            child.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**self.environ, **self.settings.to_environ()},
            pass_fds=child.pass_fds,
            start_new_session=True,
        )
        child.started = time.monotonic()

    def _wait_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while not self._ready():
            if time.monotonic() > end:
                raise Unavailable(f"the gateway or Valkey did not come up in {READY_SECONDS:.0f} s")
            self.tend()
            if any(child.failures >= HOPELESS for child in self._children):
                name = next(child.name for child in self._children if child.failures >= HOPELESS)
                raise Unavailable(f"{name} dies at each start; its last lines are above")
            if self.stop.wait(0.02):
                raise Unavailable("stopped before everything was up")

    def _ready(self) -> bool:
        if self._children[0].name == "valkey" and not valkey.answers(valkey.socket_path(self.home)):
            return False
        # The webhook API asks for no certificate, and it opens after the service API, in the same process.
        try:
            return doors.healthy(self.hooks, self.home)
        except OSError:
            return False

    def watch(self) -> None:
        """Keep every child running until `stop` is set."""
        while not self.stop.wait(_TICK):
            self.tend()
            if not self.insecure and time.monotonic() >= self._look_at_doors:
                self._look_at_doors = time.monotonic() + doors.LOOK_SECONDS
                doors.tend(self.settings, self._tell_once)

    def _tell_once(self, line: str) -> None:
        """Tell what may stay as it is for long, and is looked at every minute."""
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def tend(self) -> None:
        """Look after the children once: start again what died, after a pause that grows."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None or child.alive:
                continue
            if not child.again:
                child.failures = 1 if now - child.started > HEALTHY_SECONDS else child.failures + 1
                child.again = now + self.pauses[min(child.failures, len(self.pauses)) - 1]
                self.tell(f"{child.name} ended ({_how(child.process.returncode)}); starting it again")
                self._take_up_after(child)
            if now >= child.again:
                _close(child.process)
                child.again = 0.0
                self._spawn(child)

    def _take_up_after(self, dead: _Child) -> None:
        """Let others have the tasks of a worker that has died now, and not when its leases run out."""
        from sentinel.wiring import worker_name

        if dead.name.startswith("work_") and dead.process is not None:
            self._take_up(worker_name(dead.process.pid))

    def _take_up(self, worker: str | None = None) -> None:
        from sentinel.local import recovery

        try:
            recovery.take_up(self.settings, worker)
        except Unavailable as error:
            self.tell(f"tasks of {worker or 'the last run'} wait until their leases run out: {error}")

    def hurry(self) -> None:
        """Make the drain kill what is left instead of waiting for it."""
        self._hurried = True

    def drain(self) -> None:
        """Stop the tree in order and let go of the folder. Safe to call twice."""
        homes.withdraw(self.home)
        for listener in self._listeners:
            listener.close()
        for stage in _STAGES:
            self._stop([child for child in self._children if child.name in stage and child.process])
        self._children.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _stop(self, children: list[_Child]) -> None:
        end = time.monotonic() + GRACE_SECONDS
        for child in children:
            if child.alive and child.process is not None:
                child.process.terminate()
        for child in children:
            while child.alive and child.process is not None:
                if self._hurried or time.monotonic() > end:
                    child.process.kill()
                    child.process.wait()
                time.sleep(0.01)
            if child.process is not None:
                _close(child.process)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _how(code: int | None) -> str:
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
