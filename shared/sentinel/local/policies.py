"""What a REQUEST authorizer answers, and whether that allows a request, as API Gateway decides it.

Format: "Output from an API Gateway Lambda authorizer" in the API Gateway guide: `principalId`,
`policyDocument` (`*` and `?` in a resource stand for any text and for one character), and a flat `context`
whose values reach the function as strings. Whatever no statement allows is denied, and a Deny wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_INVOKE = "execute-api:Invoke"


@dataclass(frozen=True, slots=True)
class Decision:
    """One authorizer's answer. `context` goes to the function."""

    allow: tuple[re.Pattern[str], ...]
    deny: tuple[re.Pattern[str], ...]
    context: Mapping[str, str] = field(repr=False)

    def allows(self, arn: str) -> bool:
        """Whether the method of this ARN may be called."""
        if any(each.fullmatch(arn) for each in self.deny):
            return False
        return any(each.fullmatch(arn) for each in self.allow)


def decision_of(answer: Any) -> Decision:
    """Read an authorizer's answer. Raises `ValueError` that says what is wrong with its form."""
    try:
        principal, policy = answer["principalId"], answer["policyDocument"]
        statements = [_statement(each) for each in _listed(policy["Statement"])]
    except (KeyError, TypeError):
        raise ValueError("the authorizer's answer has no principalId or no policy") from None
    if not isinstance(principal, str) or not principal:
        raise ValueError("principalId is no text")
    context = {name: _flat(value) for name, value in (answer.get("context") or {}).items()}
    return Decision(
        tuple(each for effect, found in statements if effect == "Allow" for each in found),
        tuple(each for effect, found in statements if effect == "Deny" for each in found),
        {**context, "principalId": principal},
    )


def _statement(statement: Mapping[str, Any]) -> tuple[str, list[re.Pattern[str]]]:
    effect = statement["Effect"]
    if effect not in {"Allow", "Deny"}:
        raise ValueError("an effect is Allow or Deny")
    if not any(wildcard(each).fullmatch(_INVOKE) for each in _listed(statement["Action"])):
        return effect, []
    return effect, [wildcard(each) for each in _listed(statement["Resource"])]


def wildcard(pattern: str) -> re.Pattern[str]:
    """Compile a resource of a policy.

    >>> [bool(wildcard("a/GET/v?/*").fullmatch(each)) for each in ("a/GET/v1/x/y", "a/GET/v1", "a/GET/v12/x")]
    [True, False, False]
    """
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _flat(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("the authorizer's context is not flat")
