"""Recipes: what to do about a match. A YAML document, validated here, stored immutably by version and hash.

The format is that of `docs/recipes.md`. A recipe names a rule, says which matches are one and the same
(`dedup`), and lists steps; each step names an action of `sentinel.actions` and gives it inputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Literal

import orjson
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
MAX_RECIPE_BYTES = 65_536


def duration(text: object) -> int:
    """Parse `250ms`, `2s`, `5m`, `24h` or `7d` into nanoseconds.

    >>> duration("5m")
    300000000000
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    found = _DURATION.fullmatch(str(text))
    if not found:
        raise ValueError("a duration is a number with a unit: 250ms, 2s, 5m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def _backoff(text: object) -> object:
    if isinstance(text, str):
        low, dots, high = text.partition("..")
        if not dots:
            raise ValueError("a backoff is a range: 2s..5m")
        return {"base": low, "cap": high}
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", text):
        raise ValueError("a name is 1 to 100 letters, digits and ._-, not beginning with . or -")
    return text


Duration = Annotated[int, BeforeValidator(duration)]
Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trigger(_Strict):
    """What sets the recipe off: the id or name of a Sigma rule or correlation."""

    rule: str = Field(min_length=1, max_length=200)


class Dedup(_Strict):
    """Which matches are one task: those with equal values of the fields in `by`, in one window of time.

    Windows are cut from the epoch in lengths of `within`; without `within` there is one window for ever.
    An empty `by` makes every matched entry a task of its own.
    """

    by: tuple[str, ...] = ()
    within: Duration | None = Field(default=None, gt=0)


class Step(_Strict):
    """One action: `uses` names it, `with` is its input, validated by the action itself.

    `timeout` is for one try. With `effect: at-most-once` a try whose outcome is not known is not repeated
    unless the target can be asked and does not have the effect.
    """

    id: Name
    uses: Name
    with_: Mapping[str, Any] = Field(default_factory=dict, alias="with")
    timeout: Duration | None = Field(default=None, gt=0)
    effect: Literal["at-least-once", "at-most-once"] = "at-least-once"

    @property
    def at_most_once(self) -> bool:
        """Whether its effect is rather left undone than done twice."""
        return self.effect == "at-most-once"


class Backoff(_Strict):
    """Waiting time before try n: random between zero and min(cap, base * 2**(n-1)) (full jitter)."""

    base: Duration = 2 * SECOND
    cap: Duration = 300 * SECOND


class Retry(_Strict):
    """How often a step is tried in all, and how long to wait between tries."""

    attempts: int = Field(default=5, ge=1, le=100)
    backoff: Annotated[Backoff, BeforeValidator(_backoff)] = Backoff()

    def ceiling(self, tries: int) -> int:
        """Return the longest wait in nanoseconds after `tries` failed tries; full jitter picks below it."""
        return min(self.backoff.cap, self.backoff.base << min(max(tries - 1, 0), 40))


class Recipe(_Strict):
    """A whole recipe. `digest` is SHA-256 of the document as it was written, hex.

    A task that has not ended `timeout` after it was created expires.
    """

    id: Name
    on: Trigger
    dedup: Dedup = Dedup()
    steps: tuple[Step, ...] = Field(min_length=1, max_length=50)
    retry: Retry = Retry()
    timeout: Duration | None = Field(default=None, gt=0)
    description: str = ""
    digest: str = ""
    version: int = 0


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its booleans `on`, `off`, `yes` and `no`, since `on` is a key of ours."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:bool" or first not in "yYnNoO"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(name: str, body: bytes) -> object:
    """Parse one YAML document (JSON is YAML too). Raises `Malformed` with the file, line and reason."""
    if len(body) > MAX_RECIPE_BYTES:
        raise Malformed(f"{name}: over {MAX_RECIPE_BYTES} bytes")
    try:
        return yaml.load(body.decode(), Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{name}: not YAML: {' '.join(str(error).split())}") from None


def explain(error: ValidationError) -> str:
    """Say in one line what a pydantic model found wrong, without quoting the input."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def load(name: str, body: bytes, version: int = 0) -> Recipe:
    """Parse and validate a recipe. `name` is for messages. Raises `Malformed` that says what to change."""
    found = load_yaml(name, body)
    if not isinstance(found, dict):
        raise Malformed(f"{name}: a recipe is a mapping with id, on and steps")
    try:
        recipe = Recipe.model_validate({**found, "digest": sha256(body).hexdigest(), "version": version})
    except ValidationError as error:
        raise Malformed(f"{name}: {explain(error)}") from None
    seen: set[str] = set()
    for step in recipe.steps:
        if step.id in seen:
            raise Malformed(f"{name}: steps: the id {step.id} is used twice")
        seen.add(step.id)
        try:
            orjson.dumps(step.with_)
        except TypeError:  # YAML has more types than JSON, and inputs are hashed as JSON
            raise Malformed(f"{name}: steps: {step.id}: with: holds what JSON cannot hold") from None
    return recipe
