"""The keys of a recipe that say how its tasks flow: limits, rates, debounce and maintenance windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sentinel.core import schedules
from sentinel.core.recipe_fields import NAME_PATTERN, Duration, Strict, cron_of
from sentinel.core.tasks import SECOND


class Limit(Strict):
    """At most `most` tasks are on their way at once: of the recipe, of each service, or of each dedup key.

    A task counts from its first step until it has ended, waits included, but not while people are asked to
    approve. Recipes with the same `group` count together; each keeps to its own `most`.
    """

    most: int = Field(ge=1, le=100)
    per: Literal["recipe", "service", "key"] = "recipe"
    group: Annotated[str, Field(max_length=100, pattern=rf"^({NAME_PATTERN})?$")] = ""


class Rate(Strict):
    """At most `most` tasks start in `every`, evenly: after a pause, `burst` may start at once."""

    most: int = Field(ge=1, le=100_000)
    every: Duration = Field(gt=0, le=86_400 * SECOND)
    burst: int = Field(default=1, ge=1, le=1000)
    per: Literal["recipe", "service", "key"] = "recipe"


class Debounce(Strict):
    """A task waits until the same has not matched for `quiet`, `most` at most from the first match."""

    quiet: Duration = Field(ge=SECOND, le=86_400 * SECOND)
    most: Duration = Field(default=3600 * SECOND, ge=SECOND, le=7 * 86_400 * SECOND)


class Window(Strict):
    """A maintenance window: it opens as `cron` says and is over after `for`. No task starts in it."""

    cron: str
    for_: Duration = Field(alias="for", ge=60 * SECOND, le=7 * 86_400 * SECOND)
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _parsed(self) -> Window:
        cron_of(self.cron, self.timezone)
        return self

    def over(self, now: int) -> int:
        """Return when the window that `now` falls into is over, epoch nanoseconds; 0 where there is none."""
        opened = schedules.times(*cron_of(self.cron, self.timezone), now - self.for_, now)
        return max((each + self.for_ for each in opened), default=0)
