"""`python -m sentinel_client doctor`: says in words what is wrong, and what to do about it.

It looks at options, files, the folder, and the way to the server, each only as far as what comes before it
is right. It never prints what a key file holds. Exit codes: 0 nothing is wrong, 1 something
is, 2 the options are.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ._doctor_disk import disk
from ._doctor_files import files, keys
from ._doctor_network import network
from ._findings import Finding, as_json, as_text, failed, healthy, ok, warning
from ._options import FIELDS, PREFIX, Options, OptionsError

WRONG_OPTIONS: Final = 2
_NAMES: Final = (*(PREFIX + name.upper() for name in FIELDS), PREFIX + "CONFIG")


def diagnose(
    arguments: Mapping[str, Any], environ: Mapping[str, str], *, send: bool = False
) -> Iterator[Finding]:
    """Yield what is found, in order. With `send` a test entry is stored, and its receipt checked."""
    yield from _misspelt(environ)
    try:
        options = Options.load(arguments, environ)
        _try_policy(options)
    except OptionsError as error:
        yield failed("options", str(error), "docs/clients.md has the table of all options")
        return
    yield ok("options", _shown(options))
    yield from disk(options)
    yield from keys(options)
    if "http" not in [each.get("kind") if isinstance(each, Mapping) else each for each in options.transports]:
        return
    found = list(files(options))
    yield from found
    yield from network(options, healthy(found), send)


def _shown(options: Options) -> str:
    where = f"{options.service} to {options.url}" if options.url else options.service or "no service"
    names = [each if isinstance(each, str) else _kind(each) for each in options.transports]
    return f"{where} by {', '.join(names)}; level {options.level}"


def _kind(told: object) -> str:
    return str(told.get("kind")) if isinstance(told, Mapping) else type(told).__name__


def _try_policy(options: Options) -> None:
    """Make what a client makes of the options. Raises `OptionsError`."""
    from ._counts import Counts
    from ._flow import Flow
    from ._outgoing import transports
    from ._stored import policy

    Flow(options, Counts())
    policy(options)
    for each in transports(options):
        each.close()


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield names of the environment that are close to an option's: the client passes them over."""
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1, 0.88)
            if near:
                yield warning("environment", f"{name} is no option", f"if {near[0]} is meant, rename it")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, look, and print. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sentinel_client doctor", description="Say in words what is wrong, and what to do."
    )
    parser.add_argument("--config", type=Path, help="configuration file, in the place of SENTINEL_CONFIG")
    for name in ("url", "service", "directory"):
        parser.add_argument(f"--{name}", help=f"in the place of {PREFIX}{name.upper()}")
    parser.add_argument("--send", action="store_true", help="store a test entry, and check its receipt")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    told = vars(parser.parse_args(arguments))
    as_object, send = told.pop("json"), told.pop("send")
    given = {name: value for name, value in told.items() if value}
    found = list(diagnose(given, os.environ, send=send))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(as_json(found) if as_object else as_text(found, colour))  # noqa: T201 - it is a command
    if healthy(found):
        return 0
    return WRONG_OPTIONS if any(each.check == "options" and each.state == "failed" for each in found) else 1
