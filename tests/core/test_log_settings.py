"""The name of the log: what every origin of a checkpoint begins with, and a folder's name."""

from __future__ import annotations

import pytest

from sentinel.core.notes import Key
from sentinel.errors import Malformed
from sentinel.settings import Settings


@pytest.mark.parametrize("name", ["sentinel.local", "a", "log.example.com/prod/eu-1", "x" * 100])
def test_names_that_a_log_can_have(name: str) -> None:
    """A host, with a path where one is wanted: a verifier's key can be written down with it."""
    assert Settings.from_environ({"SENTINEL_LOG": name}).log == name
    key = Key(name, 1, b"k" * 32)
    assert Key.read(key.vkey) == key


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a+b", "a/", "/a", "a//b", "..", "../a", "a/..", "ä", "a\n", "x" * 101]
)
def test_names_that_no_log_can_have(name: str) -> None:
    """No blank or plus, which a key's name may not have; nothing that leads out of a folder."""
    with pytest.raises(Malformed, match="SENTINEL_LOG"):
        Settings.from_environ({"SENTINEL_LOG": name})
