"""Rules, recipes and what they need, as files: telling them apart, checking them together, pushing them.

A file is one document of the catalog. It is told by its keys: `sinks`, `accounts`, `deliveries`,
`repositories` and `models` make it one of those, `steps` a recipe, `detection` or `correlation` rules. Its id
there is the recipe's id, the id of the file's first rule, or for the others the file's name without its
ending. Checks (`cli.document_checks`) go over the given together with what the catalog has.

`FILE.dsse.json` is the signed form of FILE. It may be given itself, and in a folder it stands for FILE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.core.signing import unwrap
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App

ENDINGS = frozenset({".yml", ".yaml", ".json"})
RULE, RECIPE, SINK, ACCOUNT, DELIVERY = "rule", "recipe", "sink", "account", "delivery"
REPOSITORY, MODEL = "repository", "model"
SIGNED = ".dsse.json"
_ORDER = (RULE, SINK, ACCOUNT, DELIVERY, REPOSITORY, MODEL, RECIPE)
# By the key that tells them.
_NAMING = {
    "sinks": SINK,
    "accounts": ACCOUNT,
    "deliveries": DELIVERY,
    "repositories": REPOSITORY,
    "models": MODEL,
}


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `id` is the document's id in the catalog, `text` the document without a signature."""

    path: Path
    kind: str
    id: str
    body: bytes
    text: bytes


def files(paths: Iterable[Path], *, signed: bool = True) -> Iterator[Path]:
    """Yield files, and those below folders that end in .yml, .yaml or .json, in order of their names.

    In a folder, what has a signed form is left out for that, unless `signed` is false.
    """
    for path in paths:
        if path.is_dir():
            found = {each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file()}
            yield from sorted(each for each in found if not signed or signed_form(each) not in found)
        else:
            yield path


def signed_form(path: Path) -> Path:
    """Return where the signed form of a file is written."""
    return path.with_name(path.name + SIGNED)


def read(paths: Iterable[Path]) -> tuple[list[Found], list[str]]:
    """Read files; return the documents and what is wrong with the others."""
    found, problems = [], []
    for path in files(paths):
        try:
            found.append(_read(path))
        except Malformed as error:
            problems.append(str(error))
    taken: dict[tuple[str, str], Path] = {}
    for each in found:
        other = taken.setdefault((each.kind, each.id), each.path)
        if other != each.path:
            problems.append(f"{each.path}: {each.kind} {each.id} is also in {other}")
    return found, problems


def _read(path: Path) -> Found:
    from sentinel.core import dsse

    body = path.read_bytes()
    try:
        envelope = dsse.load(body)
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None
    if envelope is None:
        return _told_apart(path, path.stem, body, body)
    plain = path.with_name(path.name.removesuffix(SIGNED))
    if plain != path and plain.is_file() and plain.read_bytes() != envelope.payload:
        raise Malformed(f"{plain}: is not what {path.name} signs: sign it again")
    found = _told_apart(path, plain.stem, body, envelope.payload)
    unwrap(found.kind, str(path), body)
    return found


def _told_apart(path: Path, stem: str, body: bytes, text: bytes) -> Found:
    from sentinel.core.detection import document_digest, identity

    first = _first(path, text)
    for key, kind in _NAMING.items():
        if key in first:
            return Found(path, kind, stem, body, text)
    if "steps" in first:
        return Found(path, RECIPE, str(first.get("id", stem)), body, text)
    if "detection" in first or "correlation" in first:
        return Found(path, RULE, identity(first, document_digest(text.decode())), body, text)
    others = ", ".join(_NAMING)
    raise Malformed(f"{path}: neither a rule (detection, correlation), nor a recipe (steps), nor {others}")


def _first(path: Path, body: bytes) -> Mapping[str, Any]:
    """Return the first mapping in a file of YAML documents."""
    import yaml

    if len(body) > 1_000_000:
        raise Malformed(f"{path}: over 1,000,000 bytes")
    try:
        for each in yaml.safe_load_all(body):
            if isinstance(each, dict):
                return each
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    raise Malformed(f"{path}: holds no YAML mapping")


def refuse(problems: list[str]) -> None:
    """Raise the failure that lists problems, where there are any."""
    from sentinel.cli.output import Failure

    if problems:
        count = "one thing is" if len(problems) == 1 else f"{len(problems)} things are"
        failure = Failure("Malformed", f"{count} wrong", "mend it and run the command again", 1)
        failure.problems = list(problems)
        raise failure


def push(app: App, found: list[Found]) -> list[dict[str, object]]:
    """Make documents the active versions: rules and sinks before the recipes that need them.

    `digest` is that of the text, without a signature's envelope.
    """
    pushed: list[dict[str, object]] = []
    for kind in _ORDER:
        for each in found:
            if each.kind == kind:
                stored = app.catalog.push(kind, each.id, each.body)
                author = app.opener.open(kind, str(each.path), each.body).author
                told = {"kind": kind, "id": each.id, "version": stored.version}
                told |= {"digest": sha256(each.text).hexdigest(), "path": str(each.path)}
                pushed.append(told | ({"author": author} if author else {}))
    return pushed
