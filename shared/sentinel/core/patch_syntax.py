"""Whether a file parses: Python, JSON, YAML and TOML by their own parsers, which run nothing of it.

Hostile text is bounded before it reaches a parser, and whatever depth a parser gives up at is a reason, too.
"""

from __future__ import annotations

import ast
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping

import orjson

from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding

MAX_PARSED = 500_000  # characters of a file that is parsed
MAX_TOML_LINE = 5_000  # a key with many dots takes time by the square
MAX_DEPTH = 200  # of YAML, whose parser has no bound of its own


class Unreadable(ValueError):
    """A text does not parse; `line` is where, or 0."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def python(text: str) -> ast.Module:
    """Return Python's syntax tree. Raises `Unreadable`. What the text warns of is not told."""
    if len(text) > MAX_PARSED:
        raise Unreadable(f"it has more than {MAX_PARSED} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable("it is not Python", error.lineno or 0) from None
    except (RecursionError, MemoryError):
        raise Unreadable("it is nested too deeply") from None
    except ValueError:
        raise Unreadable("it is not Python") from None


def toml(text: str) -> dict[str, object]:
    """Return a TOML document. Raises `Unreadable`."""
    if len(text) > MAX_PARSED:
        raise Unreadable(f"it has more than {MAX_PARSED} characters")
    if max(map(len, text.split("\n"))) > MAX_TOML_LINE:
        raise Unreadable("it has a line that is too long")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError:
        raise Unreadable("it is not TOML") from None


def json(text: str) -> object:
    """Return a JSON value. Raises `Unreadable`."""
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable("it is not JSON", error.lineno) from None
    return found


def _yaml(text: str) -> None:
    import yaml

    if len(text) > MAX_PARSED:
        raise Unreadable(f"it has more than {MAX_PARSED} characters")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise Unreadable("it is nested too deeply")
    except yaml.MarkedYAMLError as error:
        raise Unreadable("it is not YAML", error.problem_mark.line + 1 if error.problem_mark else 0) from None
    except yaml.YAMLError:
        raise Unreadable("it is not YAML") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None


PARSERS: Mapping[str, Callable[[str], object]] = {
    ".py": python,
    ".pyi": python,
    ".json": json,
    ".toml": toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def findings(file: Changed) -> Iterator[Finding]:
    """Yield what is worse than before: a file that does not parse, and did, or is new."""
    parse = next((PARSERS[end] for end in PARSERS if file.path.lower().endswith(end)), None)
    if parse is None or file.after is None:
        return
    try:
        parse(file.after.removeprefix("\ufeff"))
    except Unreadable as error:
        rule = "syntax" if file.before is None or _parses(parse, file.before) else "unread"
        yield Finding(rule, file.path, error.line, str(error))


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text.removeprefix("\ufeff"))
    except Unreadable:
        return False
    return True
