"""What the client is told: options from arguments, the environment and a file, in this order of precedence.

The file is JSON and serves both clients (docs/clients.md has the table); `SENTINEL_CONFIG` or the argument
`config` names it. No secret is an option: options name the files that hold secrets.
"""

# ruff: noqa: RUF009 - what makes a field is no default

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from ._levels import number_of

if TYPE_CHECKING:
    from pathlib import Path

PREFIX: Final = "SENTINEL_"
CONFIG: Final = "config"
MAX_FILE: Final = 1_000_000  # bytes of a configuration file
MEGABYTE: Final = 1_048_576
# Names of the file that mean nothing here: `name` is the TypeScript client's.
_PASSED_OVER: Final = frozenset({"$schema", "name"})
_SERVICES: Final = ("OTEL_SERVICE_NAME", "AWS_LAMBDA_FUNCTION_NAME")


class OptionsError(ValueError):
    """An option that is not there, or a value that it cannot have. The message says which, and what to do."""


def _option(default: Any, doc: str, **how: Any) -> Any:
    """Return a field. `how`: `choices`, `least`, `most`, `structured` (in files and arguments only)."""
    return field(
        default_factory=lambda: type(default)(default), metadata={"doc": doc, "default": default, **how}
    )


def _path(doc: str) -> Any:
    return field(default=None, metadata={"doc": doc, "default": None, "path": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All options. `load` reads them; the constructor takes what is right already."""

    url: str = _option("", "address of the service API, `https://…`; `http://` for a gateway without doors")
    service: str = _option("", "service id; else `OTEL_SERVICE_NAME`, else `AWS_LAMBDA_FUNCTION_NAME`")
    certificate: Path | None = _path("file of the client certificate, PEM")
    certificate_key: Path | None = _path("file of its private key, PEM")
    api_key_file: Path | None = _path("file that holds the service's API key")
    roots: Path | None = _path("file of the roots that the server is accepted of; by default the system's")
    directory: Path | None = _path(
        "folder of the write-ahead log; by default `$XDG_STATE_HOME/sentinel-client/<service>`, below "
        "`~/.local/state` without it, in Lambda below `/tmp`"
    )
    level: str = _option("INFO", "entries below it are not made", level=True)
    levels: dict[str, str] = _option({}, "levels by the beginning of a logger's name", structured=True)
    fields: dict[str, Any] = _option({}, "fields that every entry has", structured=True)
    fsync: str = _option(
        "interval", "when entries are forced to the disk", choices=("always", "interval", "never")
    )
    fsync_seconds: float = _option(1.0, "how often, with `interval`", least=0.01, most=3600)
    disk_mb: int = _option(256, "megabytes that entries may take on disk", least=1, most=1_000_000)
    when_full: str = _option(
        "drop_oldest", "what is done then", choices=("drop_oldest", "drop_newest", "block")
    )
    block_seconds: float = _option(0.5, "how long a call waits for room, with `block`", most=60)
    segment_mb: int = _option(8, "megabytes of a file of the log", least=1, most=1_000)
    memory_kb: int = _option(1_024, "kilobytes of entries that bridge a disk that fails", most=1_000_000)
    transports: list[Any] = _option(
        ["http"],
        "where entries go: `http`, `file`, …, or objects with `kind`, `name?` and what the kind takes",
    )
    batch_entries: int = _option(5_000, "entries of a batch", least=1, most=10_000)
    batch_kb: int = _option(2_048, "kilobytes of a batch", least=1, most=4_800)
    batch_seconds: float = _option(1.0, "how long an entry waits for others", most=3600)
    compression: str = _option("gzip", "of requests", choices=("gzip", "zstd", "none"))
    timeout_seconds: float = _option(30.0, "how long a request may take", least=0.1, most=600)
    exit_seconds: float = _option(2.0, "how long the end of the process waits for sending", most=600)
    sampling: list[Any] = _option(
        [], "`{logger?, level?, rate}`: the first that fits an entry says what part is kept", structured=True
    )
    rates: list[Any] = _option(
        [], "`{by, per_second, burst?, logger?, level?}`: token buckets by key", structured=True
    )
    repeats_seconds: float = _option(
        0.0, "within it, repeats become one entry with `repeated`; 0: each is an entry", most=3600
    )
    frame_variables: int = _option(5, "innermost frames of an exception told with variables", most=20)
    source: bool = _option(False, "entries have `file`, `line` and `function` of the call")
    privacy: dict[str, Any] = _option({}, "what is masked or encrypted before it is on disk", structured=True)
    integrity: str = _option("none", "`ed25519` signs each batch", choices=("none", "ed25519"))
    signing_key_file: Path | None = _path("file of the Ed25519 key that signs, PEM")

    @classmethod
    def load(
        cls, arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> Options:
        """Return the options of arguments, environment (by default the process's) and file.

        Raises `OptionsError`. An argument that is None counts as not given.
        """
        from pathlib import Path

        environ = os.environ if environ is None else environ
        given = {name: value for name, value in (arguments or {}).items() if value is not None}
        config = given.pop(CONFIG, None) or environ.get(PREFIX + CONFIG.upper())
        told: dict[str, Any] = {}
        if config:
            told |= _checked(_read(Path(config)), f"{config}: ")
        told |= _checked(_of_environment(environ), "", PREFIX)
        told |= _checked(given, "")
        if "service" not in told:
            told["service"] = next((environ[each] for each in _SERVICES if environ.get(each)), "")
        options = cls(**told)
        _check_whole(options)
        return options

    def folder(self, environ: Mapping[str, str] | None = None) -> Path:
        """Return where the write-ahead log is, for these options or by default."""
        from pathlib import Path

        environ = os.environ if environ is None else environ
        if self.directory is not None:
            return self.directory
        kept = (
            each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in self.service
        )
        name = "".join(kept).strip(".") or "default"
        if environ.get("AWS_LAMBDA_FUNCTION_NAME"):
            return Path("/tmp/sentinel-client") / name  # noqa: S108 - the one place that is writable there
        base = environ.get("XDG_STATE_HOME")
        state = Path(base) if base and Path(base).is_absolute() else Path("~/.local/state").expanduser()
        return state / "sentinel-client" / name


def with_own(options: Options, told: Mapping[str, Any]) -> Options:
    """Return options of which some are those of one transport. Raises `OptionsError`."""
    from dataclasses import replace

    made = replace(options, **_checked(told, ""))
    _check_address(made)
    return made


FIELDS: Final = {each.name: each for each in fields(Options)}


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says. Names that are not ours may be the server's."""
    told: dict[str, Any] = {}
    for name, one in FIELDS.items():
        text = environ.get(PREFIX + name.upper())
        if text and not one.metadata.get("structured"):
            told[name] = [each.strip() for each in text.split(",")] if name == "transports" else text
    return told


def _read(path: Path) -> dict[str, Any]:
    import json

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        found = json.loads(data[:MAX_FILE].decode())
    except OSError as error:
        raise OptionsError(f"{path}: {error.strerror or type(error).__name__}") from None
    except ValueError:
        raise OptionsError(f"{path} holds no JSON") from None
    if not isinstance(found, dict):
        raise OptionsError(f"{path} holds no JSON object")
    return {name: value for name, value in found.items() if name not in _PASSED_OVER}


def _checked(told: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """Return values as their options have them. Raises `OptionsError` for a name or value that is none."""
    checked = {}
    for name, value in told.items():
        if name not in FIELDS:
            raise OptionsError(f"{where}there is no option {name!r}{_nearest(name)}")
        shown = prefix + name.upper() if prefix else name
        try:
            checked[name] = _value(FIELDS[name], value)
        except (TypeError, ValueError) as error:
            raise OptionsError(f"{where}{shown}: {error}") from None
    return checked


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower().replace("-", "_"), FIELDS, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(FIELDS)}"


def _value(one: Any, value: Any) -> Any:
    how = one.metadata
    if how.get("path"):
        from pathlib import Path

        if not isinstance(value, str | os.PathLike) or not str(value):
            raise ValueError("wants the name of a file or folder")
        return Path(value).expanduser()
    kind = type(how["default"])
    if kind in (dict, list):
        return _structure(kind, value)
    if kind is bool:
        return _truth(value)
    if kind is str:
        return _text(how, value)
    return _number(how, kind, value)


def _structure(kind: type, value: Any) -> Any:
    if kind is dict and isinstance(value, Mapping):
        return dict(value)
    if kind is list and isinstance(value, list | tuple):
        return list(value)
    raise ValueError("wants an object" if kind is dict else "wants a list")


def _truth(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError("is neither true nor false")


def _text(how: Mapping[str, Any], value: Any) -> str:
    if how.get("level"):
        number_of(value)
        return str(value).strip().upper() if isinstance(value, str) else str(value)
    if not isinstance(value, str):
        raise ValueError("wants a text")  # noqa: TRY004 - one kind of error for every wrong value
    choices = how.get("choices")
    if choices and value not in choices:
        raise ValueError(f"is one of {', '.join(choices)}")
    return value


def _number(how: Mapping[str, Any], kind: type, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("wants a number")  # noqa: TRY004 - one kind of error for every wrong value
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        raise ValueError("wants a whole number" if kind is int else "wants a number") from None
    if kind is int and isinstance(value, float) and number != value:
        raise ValueError("wants a whole number")
    least, most = how.get("least", 0), how.get("most", float("inf"))
    if not least <= number <= most:
        raise ValueError(f"is a number from {least:g} to {most:g}")
    return number


def _check_whole(options: Options) -> None:
    """Check what options say together. Raises `OptionsError`."""
    for name, level in options.levels.items():
        try:
            number_of(level)
        except ValueError as error:
            raise OptionsError(f"levels: {name}: {error}") from None
    if "@" in options.url:
        raise OptionsError("url has a user, which it may not: options name files that hold secrets")
    if any(
        each == "http" or (isinstance(each, Mapping) and each.get("kind") == "http")
        for each in options.transports
    ):
        _check_address(options)
    if options.integrity == "ed25519" and options.signing_key_file is None:
        raise OptionsError("integrity: ed25519 wants signing_key_file")


def _check_address(options: Options) -> None:
    if not options.url:
        raise OptionsError(
            f"url is missing: give it, set {PREFIX}URL, or say where else entries go: transports=['console']"
        )
    if not options.service:
        raise OptionsError(f"service is missing: give it, or set {PREFIX}SERVICE")
    if not options.service.isprintable():
        raise OptionsError("service has characters that no header takes")
    proof = (options.certificate, options.certificate_key, options.api_key_file)
    scheme = options.url.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        raise OptionsError("url begins with https:// or http://")
    if scheme == "https" and not all(proof):
        raise OptionsError("an https url wants certificate, certificate_key and api_key_file")
    if scheme == "http" and any(proof):
        raise OptionsError("certificate and API key are for https:// alone: this url is http://")
