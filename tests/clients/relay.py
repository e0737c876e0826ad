"""A way to a server that can be up, down or flapping: bytes are passed on, or lost, either way."""

from __future__ import annotations

import contextlib
import random
import socket
import threading

UP, DOWN, FLAPPING = "up", "down", "flapping"


class Relay:
    """Passes connections on to a port of this host. `mode` may change at any time.

    Down, connections are cut and new ones refused. Flapping, each connection dies after a random number of
    bytes in a random direction: requests arrive in part, and answers are lost after the request was done.
    """

    def __init__(self, port: int, rng: random.Random) -> None:
        self._to = port
        self._rng = rng
        self._mode = UP
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.cut = 0
        self._listener = self._bound()
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    @property
    def mode(self) -> str:
        """How it is now."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        before, self._mode = self._mode, mode
        if mode == DOWN and before != DOWN:
            self._stop()
        elif mode != DOWN and before == DOWN:
            self._listen()

    def close(self) -> None:
        """Cut everything."""
        if self._mode != DOWN:
            self._stop()
        self._listener.close()

    @staticmethod
    def _bound() -> socket.socket:
        """Bind to a free port by its number: one that the system chose would be let go by a shutdown."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                free = probe.getsockname()
            found = socket.socket()
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(free)
            except OSError:  # somebody was faster
                found.close()
            else:
                return found

    def _listen(self) -> None:
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _stop(self) -> None:
        # Shut down, it refuses everybody and keeps its port: closed, the port might become another test's.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            held = list(self._open)
        for each in held:
            _cut(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), 10)
            except OSError:
                near.close()
                continue
            bounds = [1 << 60, 1 << 60]
            if self._mode == FLAPPING:
                bounds[self._rng.randrange(2)] = int(10 ** self._rng.uniform(0, 4))
            with self._lock:
                self._open |= {near, far}
            for source, to, bound in ((near, far, bounds[0]), (far, near, bounds[1])):
                threading.Thread(target=self._pass, args=(source, to, bound), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, bound: int) -> None:
        """Pass bytes on until so many have passed, or an end closes; then cut both."""
        with contextlib.suppress(OSError):
            while bound > 0 and (data := source.recv(min(65_536, bound))):
                to.sendall(data)
                bound -= len(data)
        self.cut += bound <= 0
        for each in (source, to):
            _cut(each)
        with self._lock:
            self._open -= {source, to}
        source.close()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
