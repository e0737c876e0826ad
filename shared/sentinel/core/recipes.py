"""Recipes: what to do about a match. A YAML document, validated here, stored immutably by version and hash.

The format is that of `docs/recipes.md`. A recipe names a rule, says which matches are one and the same
(`dedup`), and lists steps; each step names an action of `sentinel.actions` and gives it inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, Literal

import orjson
import yaml
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from sentinel.core import schedules
from sentinel.core.recipe_fields import DURATION_PATTERN as DURATION_PATTERN  # noqa: PLC0414 - parts of a recipe
from sentinel.core.recipe_fields import Duration as Duration  # noqa: PLC0414 - are imported with it
from sentinel.core.recipe_fields import Name as Name  # noqa: PLC0414
from sentinel.core.recipe_fields import Strict, cron_of
from sentinel.core.recipe_fields import duration as duration  # noqa: PLC0414
from sentinel.core.recipe_fields import spelled as spelled  # noqa: PLC0414
from sentinel.core.recipe_flow import Debounce, Limit, Rate, Window
from sentinel.core.recipe_policy import PatchPolicy
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed

MAX_RECIPE_BYTES = 65_536


def _backoff(text: object) -> object:
    if isinstance(text, str):
        low, dots, high = text.partition("..")
        if not dots:
            raise ValueError("a backoff is a range: 2s..5m")
        return {"base": low, "cap": high}
    return text


class Schedule(Strict):
    """When the recipe fires by the clock: `cron` in a time zone, or `every` so long, counted from the epoch.

    Of times that were missed, the newest `catch_up` are made up for.
    """

    cron: str = ""
    every: Duration | None = Field(default=None, ge=60 * SECOND, le=366 * 86_400 * SECOND)
    timezone: str = "UTC"
    catch_up: int = Field(default=1, ge=0, le=10)

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if bool(self.cron) == (self.every is not None):
            raise ValueError("a schedule has either cron or every")
        if self.cron:
            cron_of(self.cron, self.timezone)
        elif self.timezone != "UTC":
            raise ValueError("a time zone goes with cron")
        return self

    def times(self, after: int, until: int) -> Iterator[int]:
        """Yield when it fires after `after` and not after `until`, epoch nanoseconds, in order."""
        if self.every is not None:
            return schedules.regular(self.every, after, until)
        return schedules.times(*cron_of(self.cron, self.timezone), after, until)

    @property
    def text(self) -> str:
        """What people are told."""
        return f"{self.cron} {self.timezone}" if self.cron else f"every {spelled(self.every or 0)}"


class Trigger(Strict):
    """What sets the recipe off: a Sigma rule or correlation by its id, name or title, or a schedule."""

    rule: str = Field(default="", max_length=200)
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _one(self) -> Trigger:
        if bool(self.rule) == (self.schedule is not None):
            raise ValueError("a recipe is set off by either a rule or a schedule")
        return self


class Dedup(Strict):
    """Which matches are one task: those with equal values of the fields in `by`, in one window of time.

    Windows are cut from the epoch in lengths of `within`; without `within` there is one window for ever.
    An empty `by` makes every matched entry a task of its own.
    """

    by: tuple[str, ...] = ()
    within: Duration | None = Field(default=None, gt=0)


class Step(Strict):
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


class Backoff(Strict):
    """Waiting time before try n: random between zero and min(cap, base * 2**(n-1)) (full jitter)."""

    base: Duration = 2 * SECOND
    cap: Duration = 300 * SECOND


RANGE_PATTERN = rf"{DURATION_PATTERN[:-1]}\.\.{DURATION_PATTERN[1:]}"


class Retry(Strict):
    """How often a step is tried in all, and how long to wait between tries."""

    attempts: int = Field(default=5, ge=1, le=100)
    backoff: Annotated[
        Backoff,
        BeforeValidator(_backoff),
        WithJsonSchema({"type": "string", "pattern": RANGE_PATTERN}),
    ] = Backoff()

    def ceiling(self, tries: int) -> int:
        """Return the longest wait in nanoseconds after `tries` failed tries; full jitter picks below it."""
        return min(self.backoff.cap, self.backoff.base << min(max(tries - 1, 0), 40))


class Recipe(Strict):
    """A whole recipe. `digest` is SHA-256 of the document as it was written, hex.

    `author` is the id of who signed it; "" where the deployment does not look.
    A task that has not ended `timeout` after it was created expires. With `propose_for` its tasks begin as
    proposals, which a person accepts within that time or which expire. `policy` bounds its patches.
    """

    id: Name
    on: Trigger
    dedup: Dedup = Dedup()
    steps: tuple[Step, ...] = Field(min_length=1, max_length=50)
    retry: Retry = Retry()
    timeout: Duration | None = Field(default=None, gt=0)
    priority: Literal["high", "normal", "low"] = "normal"
    concurrency: tuple[Limit, ...] = Field(default=(), max_length=4)
    rate: Rate | None = None
    debounce: Debounce | None = None
    maintenance: tuple[Window, ...] = Field(default=(), max_length=20)
    policy: PatchPolicy = PatchPolicy()
    propose_for: Duration | None = Field(default=None, ge=60 * SECOND, le=366 * 86_400 * SECOND)
    description: str = ""
    digest: str = ""
    version: int = 0
    author: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.on.schedule is not None and self.dedup != Dedup():
            raise ValueError("dedup: a schedule makes one task each time; dedup goes with rules")
        if self.debounce is not None and (self.on.schedule is not None or self.propose_for is not None):
            raise ValueError("debounce: it goes with rules, and not with propose_for")
        if self.debounce is not None and not self.dedup.by:
            raise ValueError("debounce: dedup.by has to say which matches are the same")
        return self


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


def step_lines(body: bytes) -> list[int]:
    """Return the number of the line at which each step of a recipe's text begins, from 1."""
    root = yaml.compose(body.decode(), Loader=_Loader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    steps = next((value for key, value in pairs if key.value == "steps"), None)
    nodes = steps.value if isinstance(steps, yaml.SequenceNode) else []
    return [node.start_mark.line + 1 for node in nodes]


def explain(error: ValidationError) -> str:
    """Say in one line what a pydantic model found wrong, without quoting the input."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def load(name: str, body: bytes, version: int = 0, author: str = "") -> Recipe:
    """Parse and validate a recipe. `name` is for messages. Raises `Malformed` that says what to change.

    `body` is the text of the document, without a signature's envelope.
    """
    found = load_yaml(name, body)
    if not isinstance(found, dict):
        raise Malformed(f"{name}: a recipe is a mapping with id, on and steps")
    try:
        told = {"digest": sha256(body).hexdigest(), "version": version, "author": author}
        recipe = Recipe.model_validate({**found, **told})
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
