"""Requests to a gateway through its doors: TLS with a client certificate, and an access token for an API key.

A token is fetched when it is first needed (RFC 6749, 4.4: client credentials), used until a minute before it
runs out, and fetched once more where the gateway does not take it. Files are read when they are used, so
what was renewed meanwhile counts. Secrets come from files alone, and go out over TLS alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from sentinel.errors import Forbidden, Malformed, Rejected, Unauthenticated, Unavailable

TIMEOUT = 35.0  # seconds; the gateway gives up after 29
EARLY = 60.0  # seconds before its end a token is not used any more
MAX_WAIT = 60.0
_REFUSED: Mapping[int, type[Rejected]] = {400: Unauthenticated, 401: Unauthenticated, 403: Forbidden}
# What a server that refuses our certificate says (RFC 8446, 6.2), in OpenSSL's words.
_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "DECRYPT_ERROR")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The files of a service's proof. `roots` are those that servers are accepted of; None: the system's."""

    certificate: Path
    key: Path
    api_key: Path
    roots: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the TLS of a connection. Raises `Unauthenticated` where a file cannot be used."""
        for path in (self.certificate, self.key, self.roots):
            if path is not None and not path.is_file():
                raise Unauthenticated(f"{path} is not there")
        for last in (False,) * 5 + (True,):
            try:
                return self._read()
            except OSError as error:  # ssl.SSLError is one
                if last:
                    why = error.strerror or type(error).__name__
                    raise Unauthenticated(f"{self.certificate} with {self.key}: {why}") from None
            # Two files cannot be replaced at once: whoever renews them needs a moment between the two.
            time.sleep(0.05)
        raise AssertionError

    def _read(self) -> ssl.SSLContext:
        try:
            made = ssl.create_default_context(cafile=self.roots)
        except OSError as error:
            raise Unauthenticated(f"{self.roots}: {error.strerror or type(error).__name__}") from None
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.certificate, self.key)
        return made


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """Return the body as a JSON object, empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def wait(self) -> float:
        """Return the wished pause before the next try, in seconds."""
        with contextlib.suppress(ValueError):
            return min(MAX_WAIT, max(0.0, float(self.headers.get("retry-after", "0"))))
        return 0.0


@dataclass(slots=True)
class Door:
    """One kept connection to `url` as `service`. Not for several threads. `clock` is monotonic.

    Without `credentials` it speaks to a gateway without doors, which takes the service's name for it.
    """

    url: str
    service: str
    credentials: Credentials | None = None
    clock: Callable[[], float] = time.monotonic
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return its answer, whatever its status.

        Raises `Unauthenticated` or `Forbidden` where the doors stay shut, `Unavailable` where nobody answers,
        and `Malformed` where the address is none.
        """
        sent = {"User-Agent": "sentinel-cli", **(headers or {})}
        if self.credentials is None:
            return self._send(method, path, body, {"Sentinel-Service": self.service, **sent})
        known = bool(self._token)
        answer = self._send(method, path, body, {**sent, "Authorization": f"Bearer {self.token()}"})
        if answer.status == 401 and known:
            # The keys or the certificate were renewed meanwhile: with a connection of the files as they are
            # now, and a token that is bound to that.
            self.close()
            self._token = ""
            answer = self._send(method, path, body, {**sent, "Authorization": f"Bearer {self.token()}"})
        return answer

    def token(self) -> str:
        """Return an access token that is good for a minute at least. Raises as `request` does."""
        if self._token and self.clock() < self._until:
            return self._token
        assert self.credentials is not None  # noqa: S101 - for the type checker
        try:
            secret = self.credentials.api_key.read_text().strip()
        except OSError as error:
            raise Unauthenticated(f"{self.credentials.api_key}: {error.strerror}") from None
        basic = b64encode(f"{quote(self.service, safe='')}:{quote(secret, safe='')}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        asked = self.clock()
        answer = self._send("POST", "/v1/token", b"grant_type=client_credentials", headers)
        told = answer.told
        if answer.status != 200 or not isinstance(told.get("access_token"), str):
            raise _no_token(answer)
        self._token = told["access_token"]
        self._until = asked + float(told.get("expires_in", EARLY)) - EARLY
        return self._token

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request(method, self._below(path), body, dict(headers))
            response = self._connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        except ssl.SSLError as error:
            self.close()
            raise self._of_tls(error) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else ""
            raise Unavailable(f"{self.url} does not answer{why and f' ({why})'}") from None

    def _below(self, path: str) -> str:
        """Return a route's path below the address: API Gateway's default one begins with its stage."""
        return urlsplit(self.url).path.rstrip("/") + path

    def _of_tls(self, error: ssl.SSLError) -> Rejected | Unavailable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unauthenticated(
                f"the certificate of {self.url} is not to be trusted: {error.verify_message}; "
                "--ca names the roots that it is accepted of"
            )
        reason = error.reason or ""
        if "ALERT" in reason and any(each in reason for each in _ALERTS):
            return Unauthenticated(f"{self.url} refuses the client certificate")
        if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}:
            return Malformed(f"{self.url} speaks no TLS")
        return Unavailable(f"{self.url} does not answer")

    def _connect(self) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise Malformed("the gateway's address is no URL, or its port no port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Malformed("the gateway's address begins with http:// or https://")
        if parts.scheme == "https":
            if self.credentials is None:
                raise Malformed("an https gateway wants a client certificate and an API key")
            context = self.credentials.context()
            return http.client.HTTPSConnection(parts.hostname, port, timeout=TIMEOUT, context=context)
        if self.credentials is not None:
            raise Malformed("certificate and API key are for https:// alone: this address is http://")
        return http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT)


def _no_token(answer: Answer) -> Rejected | Unavailable:
    told = answer.told
    why = str(told.get("error_description") or told.get("message") or f"status {answer.status}")
    if answer.status in {404, 405}:
        return Malformed("there is no POST /v1/token at this address: name that of the service API")
    kind = _REFUSED.get(answer.status)
    if kind is not None:
        return kind(f"no access token was given: {why}")
    return Unavailable(f"no access token was given: {why}", answer.wait)
