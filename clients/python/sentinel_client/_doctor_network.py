"""The doctor's way to the server: name, port, TLS, clock, token, and on request an entry with its receipt."""

from __future__ import annotations

import contextlib
import email.utils
import os
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from ._connection import Answer, Connection, Shut, Unreachable, _proxy
from ._door import Credentials, Door
from ._findings import Finding, failed, ok, skipped, warning
from ._options import Options
from ._outgoing import credentials
from ._sockets import Unusable
from ._tokens import Tokens
from ._types import Batch, Sent

SECONDS: Final = 10.0  # for each step
ALERT: Final = 0.3  # seconds that a server is given to refuse the client certificate
CLOCK: Final = 30.0  # seconds that clocks may differ
_TLS_ADVICE: Final = {
    10: "the server's certificate ran out: its operator has to renew it",
    9: "the server's certificate does not count yet: look at both clocks",
    18: "name the file of the server's root with SENTINEL_ROOTS",
    19: "name the file of the server's root with SENTINEL_ROOTS",
    20: "name the file of the server's root with SENTINEL_ROOTS",
}


def network(options: Options, proven: bool, send: bool) -> Iterator[Finding]:
    """Yield what is found on the way. `proven`: whether the files are right, without which it ends at TLS."""
    parts = urlsplit(options.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        through = _proxy(host) if parts.scheme == "https" else None
    except Unusable as error:
        yield failed(
            "proxy", f"{host} {error}", "look at HTTPS_PROXY: http://host:port, without or with a user"
        )
        return
    if through is not None:
        yield ok("proxy", f"{through[0]}:{through[1]}, as HTTPS_PROXY says")
    else:
        found = list(_reached(host, port))
        yield from found
        if found[-1].state == "failed":
            return
        if parts.scheme == "https":
            tls = _tls(options, host, port, proven)
            yield tls
            if tls.state == "failed":
                return
    if not proven:
        yield skipped("token", "certificate, key or API key are wrong")
        return
    yield from _asked(options, send)


def _reached(host: str, port: int) -> Iterator[Finding]:
    """Yield whether the host has an address and the port answers."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        yield failed("dns", f"there is no address of {host}: {why}", "look at the host in url, and at DNS")
        return
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    yield ok("dns", f"{host} is {', '.join(addresses[:4])}")
    began = time.perf_counter()
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        why = (
            "no answer in time" if isinstance(error, TimeoutError) else error.strerror or "it does not answer"
        )
        yield failed("tcp", f"port {port} of {host}: {why}", "look at the port, at firewalls, at the server")
        return
    yield ok("tcp", f"port {port} answers in {(time.perf_counter() - began) * 1000:.0f} ms")


def _tls(options: Options, host: str, port: int, proven: bool) -> Finding:
    """Return whether the server's certificate is to be trusted."""
    try:
        context = ssl.create_default_context(cafile=options.roots)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if proven and options.certificate and options.certificate_key:
            context.load_cert_chain(options.certificate, options.certificate_key, password="")
    except (OSError, ValueError) as error:
        says = f"a file cannot be used: {getattr(error, 'strerror', None) or type(error).__name__}"
        return failed("tls", says, "see what is said of the files above")
    began = time.perf_counter()
    try:
        with (
            socket.create_connection((host, port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as made,
        ):
            if proven:  # with TLS 1.3 a refusal of what we showed comes after our side is done
                made.settimeout(ALERT + 3 * (time.perf_counter() - began))
                with contextlib.suppress(TimeoutError):
                    made.recv(1)
            return ok("tls", f"{made.version()}, the server's certificate is trusted")
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, host, port)
    except ssl.SSLError as error:
        return _broken(error, host, port)
    except OSError as error:
        return failed("tls", f"it breaks off: {error.strerror or type(error).__name__}", "try again")


def _broken(error: ssl.SSLError, host: str, port: int) -> Finding:
    reason = error.reason or type(error).__name__
    if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}:
        return failed("tls", f"port {port} of {host} speaks no TLS", "look at the port, or say http://")
    if "ALERT" in reason:
        do = "the server knows no root of this certificate, or it is revoked: have one issued there"
        return failed("tls", f"the server refuses the client certificate ({reason})", do)
    return failed("tls", f"it fails: {reason}", "look at the server's log")


def _untrusted(error: ssl.SSLCertVerificationError, host: str, port: int) -> Finding:
    if error.verify_code in {62, 64}:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        names = ", ".join(_names(host, port)) or "nothing"
        says = f"the server's certificate is not for {host}, but for {names}"
        return failed("tls", says, "use a name in url that it is for")
    do = _TLS_ADVICE.get(error.verify_code, "look at the server's certificate")
    return failed("tls", f"the server's certificate is not to be trusted: {error.verify_message}", do)


def _names(host: str, port: int) -> list[str]:
    """Return the names that the server's certificate is for. Nothing is sent to the server but a hello."""
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as made,
        ):
            found = x509.load_der_x509_certificate(made.getpeercert(True) or b"")
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    return [str(each.value) for each in names][:10]


def _asked(options: Options, send: bool) -> Iterator[Finding]:
    """Yield what the server says to requests."""
    proof: Credentials | None = credentials(options)
    connection = Connection(options.url, proof.context if proof else None)
    try:
        answer = connection.exchange("GET", "/.well-known/jwks.json", b"", {}, SECONDS)
        yield _clock(answer)
        if proof is None:
            yield skipped("token", "a gateway without doors wants none")
        else:
            token = _token(options, proof, connection)
            yield token
            if token.state == "failed":
                return
    except (Shut, Unreachable) as error:
        yield failed("http", str(error), "look at url, and at the server")
        return
    finally:
        connection.close()
    if send:
        yield _sent(options, proof)


def _clock(answer: Answer) -> Finding:
    try:
        told = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
        ahead = time.time() - told.timestamp()
    except (ValueError, TypeError, OverflowError):
        return skipped("clock", "the server says no time")
    if abs(ahead) <= CLOCK:
        return ok("clock", "this machine's and the server's agree")
    way = "ahead of" if ahead > 0 else "behind"
    says = f"this machine is {abs(ahead):,.0f} s {way} the server"
    return warning("clock", says, "set this machine's clock: tokens and certificates depend on it")


def _token(options: Options, proof: Credentials, connection: Connection) -> Finding:
    def ask(form: bytes, headers: dict[str, str]) -> Answer:
        return connection.exchange("POST", "/v1/token", form, headers, SECONDS)

    try:
        Tokens(options.service, proof.api_key).bearer(ask)
    except Shut as error:
        do = f"see that API key and certificate are both {options.service}'s, and that neither is revoked"
        return failed("token", str(error), do)
    except Unreachable as error:
        return failed("token", str(error), "look at the server's log")
    return ok("token", "the server gives one for API key and certificate")


def _sent(options: Options, proof: Credentials | None) -> Finding:
    """Return what becomes of a test entry, which is a batch of a producer of its own."""
    import json

    from .transports.http import HttpTransport

    entry = {"time": time.time(), "level": "INFO", "logger": "sentinel_client", "message": "a test of doctor"}
    batch = Batch(f"py-{os.urandom(8).hex()}", 0, 1, [json.dumps(entry).encode()])
    transport = HttpTransport(Door(options.url, options.service, proof), compression=options.compression)
    try:
        outcome: Any = transport.send(batch, SECONDS)
    finally:
        transport.close()
    if not isinstance(outcome, Sent):
        return failed("entry", f"it was not stored: {outcome.why}", "see that the service may ingest")
    if outcome.altered:
        return failed("entry", f"the receipt does not fit what was sent: {outcome.altered}", "trust nothing")
    where = f"{outcome.receipt.get('chain')}, number {outcome.receipt.get('first')}"
    return ok("entry", f"stored in {where}; its receipt fits")
