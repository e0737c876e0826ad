"""What a Sigma rule says once it is parsed: a tree of tests, free of pySigma.

The tree is plain immutable data: `sigma_parse` builds it, `predicates` turns it into a function, and
`literal_index` reads from it what an event must contain. Meanings follow the Sigma specification, version 2
(SigmaHQ sigma-specification: sigma-rules-specification.md and sigma-appendix-modifiers.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sentinel.core.event_fields import Event, Field, View


class Wildcard(Enum):
    """A wildcard in a text pattern."""

    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Text:
    """The whole text of a value matches `parts` in order; compared case-folded unless `cased`.

    `?` stands for one character of the folded text. No parts is the empty string. A lone `*` matches every
    value that is not null, maps included. For keywords (no field) the pattern may match anywhere in a text.
    """

    parts: tuple[str | Wildcard, ...]
    cased: bool = False


@dataclass(frozen=True, slots=True)
class Null:
    """The field is absent, an empty list, or has a null value."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is present, whatever its value is (or is absent, when `wanted` is False)."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class Regex:
    """RE2 pattern found anywhere in a value's text; case-sensitive unless it says otherwise itself."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Cidr:
    """A value's text is an IP address inside this network, for example "10.0.0.0/8"."""

    network: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A value, or one part of the date in it, stands in relation `op` to `number`.

    Values are numbers or strings that are decimal numbers. `op` is one of "<", "<=", ">", ">=", "==", "!=".
    `part` is one of minute, hour, day, week (ISO 8601), month, year, or None. Dates are ISO 8601 strings,
    taken as written without any time zone conversion, as the specification says.
    """

    op: str
    number: int | float
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A value's folded text equals one of the other field's; or starts with, ends with, contains it."""

    other: Field
    starts: bool = False
    ends: bool = False


Matcher = Text | Null | Exists | Regex | Cidr | Compare | Reference


@dataclass(frozen=True, slots=True)
class Test:
    """Some value of `field` satisfies `matcher`; without a field (a keyword), some text of the event does."""

    field: Field | None
    matcher: Matcher


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    args: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    args: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    arg: Expression


Expression = Test | And | Or | Not


@dataclass(frozen=True, slots=True)
class LogSource:
    """Which logs a rule is written for; None where it does not say."""

    category: str | None = None
    product: str | None = None
    service: str | None = None

    def contradicts(self, other: LogSource) -> bool:
        """Say whether both name the same attribute and differ in it.

        >>> LogSource(product="aws").contradicts(LogSource(product="okta", service="system"))
        True
        >>> LogSource(category="process_creation").contradicts(LogSource(product="windows"))
        False
        """
        pairs = (
            (self.category, other.category),
            (self.product, other.product),
            (self.service, other.service),
        )
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled Sigma rule.

    `id` is the rule's Sigma id, else its name, else the first 32 hex digits of its digest. `digest` is the
    SHA-256 (hex) of the rule's YAML document as given, without the space around it. `generate` is False when
    the rule only serves correlations and is not a match of its own. `level` is one of informational, low,
    medium, high, critical, or None.
    """

    id: str
    title: str
    name: str | None
    level: str | None
    status: str | None
    tags: tuple[str, ...]
    logsource: LogSource
    digest: str
    expression: Expression = field(repr=False)
    predicate: Callable[[View], bool] = field(repr=False, compare=False)
    generate: bool = True

    def matches(self, event: Event) -> bool:
        """Whether the rule matches `event`, a JSON object as `orjson.loads` gives it. Never raises."""
        return self.predicate(View(event))


def identity(document: Mapping[str, object], digest: str) -> str:
    """Return the id of a rule or correlation document, as described at `Rule`."""
    return str(document.get("id") or document.get("name") or digest[:32])


def document_digest(document: str) -> str:
    """SHA-256 (hex) of one YAML document's text, without the space around it."""
    return hashlib.sha256(document.strip().encode()).hexdigest()
