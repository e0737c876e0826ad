"""Requests to a gateway: through its doors with a client certificate and an access token, or to one without.

Files are read when they are used and again when they change, so what was renewed counts. Secrets come from
files alone, and go out over TLS alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel_client._connection import Answer, Connection, Shut
from sentinel_client._tokens import Tokens

if TYPE_CHECKING:
    import ssl

AGENT = "sentinel-client-python"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The files of a service's proof. `roots` are those that servers are accepted of; None: the system's."""

    certificate: Path
    key: Path
    api_key: Path
    roots: Path | None = None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes where a file is replaced or written anew."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.roots, self.api_key) if path)

    def context(self) -> ssl.SSLContext:
        """Return the TLS of a connection. Raises `Shut` where a file cannot be used.

        Two files cannot be replaced at once: certificate and key that do not fit together are tried again.
        """
        import ssl

        for path in (self.certificate, self.key, self.roots):
            if path is not None and not path.is_file():
                raise Shut(f"{path} is not there")
        for last in (False,) * 5 + (True,):
            try:
                made = ssl.create_default_context(cafile=self.roots)
                made.minimum_version = ssl.TLSVersion.TLSv1_2
                # Without a password of its own it would ask the terminal for that of an encrypted key.
                made.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:  # ssl.SSLError is one
                if last:
                    why = error.strerror or type(error).__name__
                    raise Shut(f"{self.certificate} with {self.key}: {why}") from None
                time.sleep(0.05)
            else:
                return made
        raise AssertionError


class Door:
    """One kept connection to the gateway at `url` as `service`. For one thread. `clock` is monotonic.

    Without `credentials` it speaks to a gateway without doors, which takes the service's name for it. Raises
    `ValueError` where address and credentials do not go together.
    """

    def __init__(
        self,
        url: str,
        service: str = "",
        credentials: Credentials | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._credentials = credentials
        self._clock = clock
        self._connection = Connection(url, credentials.context if credentials else None, clock=clock)
        if self._connection.secure != (credentials is not None):
            raise ValueError(
                "an https gateway wants a client certificate and an API key"
                if self._connection.secure
                else "certificate and API key are for https:// alone: this address is http://"
            )
        self._tokens = Tokens(service, credentials.api_key, clock) if credentials else None
        self._stamp: tuple[tuple[int, int, int], ...] = ()

    @property
    def address(self) -> str:
        """Where it leads to, for people."""
        return self._connection.shown

    def request(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Send a request and return its answer, whatever its status, within so many seconds in all.

        Raises `Unreachable` and `Shut`. Where a token is refused that was good before, the files are read
        anew, and the request is sent once more with another token.
        """
        end = self._clock() + seconds
        sent = {"User-Agent": AGENT, **headers}
        if self._tokens is None or self._credentials is None:
            named = {"Sentinel-Service": self.service} if self.service else {}
            return self._connection.exchange(method, path, body, {**named, **sent}, seconds)
        self._renewed(self._credentials)
        held = self._tokens.held
        answer = self._proven(method, path, body, sent, end)
        if answer.status == 401:
            self._forget()
            if held:
                answer = self._proven(method, path, body, sent, end)
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _proven(self, method: str, path: str, body: bytes, sent: Mapping[str, str], end: float) -> Answer:
        assert self._tokens is not None  # noqa: S101 - for the type checker
        connection = self._connection

        def ask(form: bytes, headers: dict[str, str]) -> Answer:
            told = {"User-Agent": AGENT, **headers}
            return connection.exchange("POST", "/v1/token", form, told, end - self._clock())

        told = {**sent, "Authorization": f"Bearer {self._tokens.bearer(ask)}"}
        return connection.exchange(method, path, body, told, end - self._clock())

    def _renewed(self, credentials: Credentials) -> None:
        """Begin anew where a file changed: a token is bound to the certificate that it was given to."""
        stamp = credentials.stamp()
        if stamp != self._stamp:
            self._forget()
            self._stamp = stamp

    def _forget(self) -> None:
        self._connection.close()
        if self._tokens is not None:
            self._tokens.forget()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size
