"""The doctor's look at a service's proof: certificate, key, API key, roots. No secret is told."""

from __future__ import annotations

import contextlib
import datetime
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ._findings import Finding, failed, ok, skipped, warning
from ._options import Options

SOON: Final = 14.0  # days before its end a certificate is a warning


def files(options: Options) -> Iterator[Finding]:
    """Yield what is found about the files; nothing for a gateway without doors."""
    if options.certificate is None or options.certificate_key is None or options.api_key_file is None:
        yield skipped("certificate", "a gateway without doors wants none")
        return
    yield from _certificate(options.certificate, options.service)
    yield from _key(options.certificate, options.certificate_key)
    yield from _api_key(options.api_key_file)
    if options.roots is not None:
        yield from _roots(options.roots)


def _read(path: Path, check: str) -> tuple[bytes, Finding | None]:
    try:
        return path.read_bytes(), None
    except OSError as error:
        do = f"see that it is there, and that uid {os.geteuid()} may read it"
        return b"", failed(check, f"{path}: {error.strerror}", do)


def _secret(path: Path, check: str) -> Iterator[Finding]:
    """Yield a warning where others may read a secret."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield warning(check, f"others may read {path}", f"chmod 600 {path}")


def keys(options: Options) -> Iterator[Finding]:
    """Yield a warning for each key file of masking, signatures and Datadog's that others may read."""
    told: list[Any] = [options.signing_key_file, options.privacy.get("key_file")]
    encryption = options.privacy.get("encryption")
    held = encryption.get("keys", {}) if isinstance(encryption, Mapping) else {}
    for each in held.values():
        told += [each.get("file"), each.get("private")]
    told += [each.get("api_key_file") for each in options.transports if isinstance(each, Mapping)]
    for path in told:
        if path is not None:
            with contextlib.suppress(OSError):
                yield from _secret(Path(path), "keys")


def _certificate(path: Path, service: str) -> Iterator[Finding]:
    from cryptography import x509

    data, wrong = _read(path, "certificate")
    if wrong is not None:
        yield wrong
        return
    try:
        found = x509.load_pem_x509_certificates(data)[0]
    except ValueError:
        yield failed("certificate", f"{path} holds no certificate as PEM", "name the certificate's file")
        return
    yield _valid("certificate", path, found)
    named = _service_of(found)
    if named and named != service:
        do = "use the service's own certificate, or name the service that it is for"
        yield failed("certificate", f"it is {named}'s, and the service is {service}", do)


def _valid(check: str, path: Path, found: Any) -> Finding:
    """Return whether a certificate counts now."""
    now = datetime.datetime.now(datetime.UTC)
    until = found.not_valid_after_utc
    if now < found.not_valid_before_utc:
        says = f"{path} counts from {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
        return failed(check, says, "set this machine's clock, or wait")
    if now >= until:
        return failed(check, f"{path} ran out on {until:%Y-%m-%d %H:%M} UTC", "have a new one issued")
    left = (until - now) / datetime.timedelta(days=1)
    says = f"{path} counts until {until:%Y-%m-%d}"
    return warning(check, says, "renew it (POST /v1/certificate)") if left < SOON else ok(check, says)


def _service_of(found: Any) -> str:
    """Return the service that a certificate is for, by its SPIFFE id; empty where it has none."""
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((str(each).rpartition("/service/")[2] for each in uris if "/service/" in each), "")


def _key(certificate: Path, path: Path) -> Iterator[Finding]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    data, wrong = _read(path, "key")
    if wrong is not None:
        yield wrong
        return
    yield from _secret(path, "key")
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        ours = load_pem_private_key(data, None).public_key().public_bytes(*form)
    except (ValueError, TypeError):
        yield failed("key", f"{path} holds no private key as PEM without a password", "name the key's file")
        return
    try:
        theirs = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    except (ValueError, OSError):
        return  # that was said of the certificate
    if theirs.public_bytes(*form) == ours:
        yield ok("key", f"{path} is the certificate's")
    else:
        yield failed("key", f"{path} is not the key of {certificate}", "take both from the same issue")


def _api_key(path: Path) -> Iterator[Finding]:
    data, wrong = _read(path, "api key")
    if wrong is not None:
        yield wrong
        return
    yield from _secret(path, "api key")
    lines = data.split()
    if len(lines) == 1:
        yield ok("api key", f"{path} holds one")
    else:
        says = f"{path} is empty" if not lines else f"{path} holds more than one word"
        yield failed("api key", says, "it holds the API key and nothing else")


def _roots(path: Path) -> Iterator[Finding]:
    from cryptography import x509

    data, wrong = _read(path, "roots")
    if wrong is not None:
        yield wrong
        return
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        yield failed("roots", f"{path} holds no certificate as PEM", "name the file of the server's roots")
        return
    valid = [_valid("roots", path, each) for each in found]
    yield next((each for each in valid if each.state != "failed"), valid[0])
