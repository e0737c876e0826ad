"""Privacy before disk: what policy says must not leave is hidden before the write-ahead log sees an entry.

`Privacy.line` is asked for every entry. A cheap gate (`_gate`) lets through what holds nothing to hide, as it
was encoded; the others are walked (`_walk`), by names, by paths and by the detector table (`_table`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sentinel_client.privacy._checks import MASKED
from sentinel_client.privacy._errors import BadPolicy, NotMasked
from sentinel_client.privacy._gate import Gate
from sentinel_client.privacy._paths import Paths
from sentinel_client.privacy._policy import Policy
from sentinel_client.privacy._scan import Scanner
from sentinel_client.privacy._table import table
from sentinel_client.privacy._tokens import Tokens, own_key, read_key
from sentinel_client.privacy._walk import Rules, Walk

__all__ = ["BadPolicy", "NotMasked", "Policy", "Privacy"]

REMEMBERED = 4_096  # names of fields


class Privacy:
    """Applies one policy to entries. Threads may use it at once.

    >>> privacy = Privacy(Policy())
    >>> entry = {"message": "paid", "card": "4111 1111 1111 1111"}
    >>> privacy.entry(entry)["card"].startswith("[[card:")
    True
    """

    def __init__(self, policy: Policy) -> None:
        """Read the keys that the policy names. Raises `BadPolicy`."""
        self._policy = policy
        self._tokens = Tokens(_token_key(policy))
        self._allowed = _allowed(policy.allow)
        found = {each.id: policy.action(each.kind, each.id, each.off) for each in table().detectors}
        scanner = Scanner([each for each in table().detectors if found[each.id] != "off"])
        self._named = {kind: policy.action(kind, kind) for kind in ("password", "secret", "phone")}
        paths = Paths(policy.paths)
        names = lru_cache(REMEMBERED)(self._kind_of_name)
        plain = lru_cache(REMEMBERED)(lambda name: not scanner.find(name))
        self._rules = Rules(
            scanner, table(), paths, names, plain, self._hide, found, self._named, _encryption(policy)
        )
        self._gate = Gate(table(), paths, names, plain, found["random"] != "off")

    def line(self, encoded: bytes, entry: dict[str, Any], encode: Callable[[dict[str, Any]], bytes]) -> bytes:
        """Return the bytes of an entry that may be written: `encoded` itself where nothing is to be hidden.

        `encoded` is `encode(entry)`, one JSON object. Raises `NotMasked`, and nothing else: then the entry
        must not be written.
        """
        if not self._policy.enabled:
            return encoded
        try:
            if self._gate.clean(encoded, entry):
                return encoded
            import json

            walk = Walk(self._rules)
            walked = walk.entry(json.loads(encoded))
            return encode(walked) if walk.changed else encoded
        except NotMasked:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the entry may not be written as it is
            raise NotMasked(f"the entry could not be masked: {type(error).__name__}") from None

    def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a decoded entry with everything hidden that is to be. Raises `NotMasked`."""
        return Walk(self._rules).entry(entry) if self._policy.enabled else entry

    def _kind_of_name(self, name: str) -> str:
        kind = table().kind_of_name(name) if self._policy.names else ""
        return kind if kind and self._named[kind] != "off" else ""

    def _hide(self, kind: str, value: str, action: str) -> str:
        if re.fullmatch(MASKED, value) or (self._allowed is not None and self._allowed.fullmatch(value)):
            return value
        if action == "drop":
            return f"[[{kind}]]"
        token = self._tokens.token(kind, value)
        return token if action == "hash" else f"[[{kind}:{token}]]"


def _token_key(policy: Policy) -> bytes:
    if policy.key_file is not None:
        return read_key(policy.key_file)
    return own_key(policy.root) if policy.root is not None else os.urandom(32)


def _allowed(values: tuple[str, ...]) -> re.Pattern[str] | None:
    if not values:
        return None
    return re.compile("|".join("[^\n]*".join(map(re.escape, each.split("*"))) for each in values))


def _encryption(policy: Policy) -> Callable[[str, Any], Any] | None:
    if policy.encryption is None:
        return None
    from sentinel_client.privacy._fields import FieldKeys

    return FieldKeys.from_mapping(policy.encryption).encrypt
