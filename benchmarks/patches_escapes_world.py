"""What there is to escape to: servers, secrets, a process and a terminal of the host, made for one trial."""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import string
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.core.proving import Limits

if TYPE_CHECKING:
    from sentinel.ports_patches import Sandbox

ROOT = Path(__file__).resolve().parents[1]
CANARY = "SENTINEL_TEST_CANARY"


@dataclass(frozen=True)
class World:
    """The values that probes are filled with, and what must be unharmed afterwards."""

    secret: str
    values: dict[str, object]
    victim: subprocess.Popen[bytes]

    @staticmethod
    @contextmanager
    def made() -> Iterator[World]:
        """Make servers, files and a process of this user, for as long as this is open."""
        secret = secrets.token_hex(16)
        with ExitStack() as held:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="escapes-")))
            folder.chmod(0o755)
            (folder / "open").write_text(secret)
            (folder / "closed").write_text(secret)
            (folder / "closed").chmod(0o600)
            values: dict[str, object] = {"folder": str(folder), "root": str(ROOT), "canary": CANARY}
            values |= held.enter_context(_served(folder))
            os.environ[CANARY] = secret
            held.callback(os.environ.pop, CANARY)
            victim = held.enter_context(subprocess.Popen(["sleep", "600"]))
            held.callback(victim.kill)
            values |= {"secret": secret, "victim": victim.pid}
            yield World(secret, values, victim)

    def filled(self, program: str) -> str:
        """Put what is in this world into a program: `$name` for each value, as Python writes it."""
        return string.Template(program).safe_substitute({k: repr(v) for k, v in self.values.items()})

    def unharmed(self) -> bool:
        """Tell whether the host's process still runs."""
        return self.victim.poll() is None

    @contextmanager
    def beside(self, sandbox: Sandbox, python: str) -> Iterator[None]:
        """Let another run be there meanwhile, with the secret in a file that only it is to see."""
        over, begun = threading.Event(), threading.Event()

        def stopped() -> bool:
            begun.set()
            return over.is_set()

        files = [("beside.txt", "100644", self.secret.encode())]
        command = (python, "-c", "import time; time.sleep(60)")
        thread = threading.Thread(
            target=sandbox.run, args=(files, command, Limits(seconds=60)), kwargs={"stopped": stopped}
        )
        thread.start()
        begun.wait(10)
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def _served(folder: Path) -> Iterator[dict[str, object]]:
    """Serve on loopback, on the machine's own address and on Unix sockets; what comes gets an answer."""
    abstract = f"sentinel-escapes-{secrets.token_hex(8)}"
    with ExitStack() as held:
        waiting = held.enter_context(selectors.DefaultSelector())

        def serve(family: int, kind: int, address: object) -> socket.socket:
            made = held.enter_context(socket.socket(family, kind))
            made.bind(address)  # type: ignore[arg-type] # of the family
            if kind == socket.SOCK_STREAM:
                made.listen()
            waiting.register(made, selectors.EVENT_READ)
            return made

        tcp = serve(socket.AF_INET, socket.SOCK_STREAM, ("", 0))
        udp = serve(socket.AF_INET, socket.SOCK_DGRAM, ("", 0))
        serve(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
        serve(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        six = 0
        if socket.has_dualstack_ipv6():
            six = serve(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)).getsockname()[1]
        ours, theirs = socket.socketpair()
        waiting.register(theirs, selectors.EVENT_READ)
        thread = threading.Thread(target=_answer, args=(waiting, theirs))
        thread.start()
        try:
            yield {
                "tcp": tcp.getsockname()[1],
                "tcp6": six,
                "udp": udp.getsockname()[1],
                "abstract": abstract,
                "own": _own_address(),
            }
        finally:
            ours.close()
            thread.join()
            theirs.close()


def _answer(waiting: selectors.BaseSelector, end: socket.socket) -> None:
    """Answer "heard" to everybody, until `end` has something to read."""
    while True:
        for key, _ in waiting.select():
            heard = key.fileobj
            if heard is end:
                return
            assert isinstance(heard, socket.socket)
            if heard.type == socket.SOCK_STREAM:
                accepted, _ = heard.accept()
                with accepted:
                    accepted.sendall(b"heard")
            else:
                heard.sendto(b"heard", heard.recvfrom(100)[1])


def _own_address() -> str:
    """Return the machine's address on its network, or loopback's where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
