"""Transports of options: a name, or an object with `kind` and what that takes by name (docs/clients.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ._options import Options, OptionsError, with_own
from ._types import Transport

KINDS: Final = ("http", "cloudwatch", "datadog", "file", "console")
_FILES: Final = ("path", "api_key_file")
_OWN: Final = ("url", "service", "certificate", "certificate_key", "api_key_file", "roots", "compression")


def transports(options: Options) -> list[Transport]:
    """Return the transports that options name. Raises `OptionsError`."""
    made = [_transport(options, each) for each in options.transports]
    names = [each.name for each in made]
    if not names:
        raise OptionsError(f"transports is empty: name one of {', '.join(KINDS)}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionsError(f"transports: {twice!r} is there twice; give one of them a name")
    return made


def _transport(options: Options, told: Any) -> Transport:
    if not isinstance(told, str | Mapping):
        if hasattr(told, "send") and hasattr(told, "name"):
            made: Transport = told  # one of the program's own
            return made
        raise OptionsError("transports: each is a name, or an object with kind")
    given = {"kind": told} if isinstance(told, str) else dict(told)
    kind = given.pop("kind", None)
    if kind not in KINDS:
        raise OptionsError(f"transports: there is no kind {kind!r}; there are {', '.join(KINDS)}")
    given = {name: Path(value) if name in _FILES else value for name, value in given.items()}
    try:
        return _made(options, str(kind), given)
    except (TypeError, ValueError) as error:
        raise OptionsError(f"transports: {kind}: {_said(error)}") from None


def _made(options: Options, kind: str, given: dict[str, Any]) -> Transport:
    if kind == "http":
        return _http(options, given)
    if kind == "cloudwatch":
        from .transports.cloudwatch import CloudWatchTransport

        return CloudWatchTransport(**given)
    if kind == "datadog":
        from .transports.datadog import DatadogTransport

        return DatadogTransport(**{"service": options.service, **given})
    if kind == "file":
        from .transports.file import FileTransport

        return FileTransport(**given)
    from .transports.console import ConsoleTransport

    return ConsoleTransport(**given)


def _http(options: Options, given: dict[str, Any]) -> Transport:
    from ._door import Door
    from .transports.http import HttpTransport

    name = str(given.pop("name", "http"))
    own: dict[str, Any] = {each: given.pop(each) for each in _OWN if each in given}
    if own:  # another server
        options = with_own(options, own)
    door = Door(options.url, options.service, credentials(options))
    made = HttpTransport(door, compression=options.compression, sign=_sign(options), **given)
    made.name = name
    return made


def _sign(options: Options) -> Any:
    """Return what signs batches, where options say that they are signed. Raises `ValueError` for the key."""
    if options.integrity != "ed25519" or options.signing_key_file is None:
        return None
    from ._signing import Signer

    return Signer.from_file(options.signing_key_file).sign


def credentials(options: Options) -> Any:
    """Return what the service proves itself with (`_door.Credentials`); None for a gateway without doors."""
    from ._door import Credentials

    if options.certificate is None or options.certificate_key is None or options.api_key_file is None:
        return None
    return Credentials(options.certificate, options.certificate_key, options.api_key_file, options.roots)


def _said(error: Exception) -> str:
    """Return what is wrong without the name of the function that said so."""
    text = str(error)
    return text.partition("() ")[2] or text if isinstance(error, TypeError) else text
