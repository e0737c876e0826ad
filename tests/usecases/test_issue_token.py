"""The keys that sign access tokens: read again in time, whatever happens to the clock on the wall."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.core import api_keys, tokens
from sentinel.core.certificates import read
from sentinel.core.ring import Key, Ring
from sentinel.usecases.issue_token import TokenIssuer
from sentinel.usecases.signing_keys import RING_SECONDS
from tests.doors import AUDIENCE, DAY, ISSUER, World, private_key

KEY = api_keys.make("0123456789abcdef", bytes(range(32)))


@pytest.mark.parametrize("step", [-DAY, 0, DAY])
def test_a_new_signing_key_is_used_in_time(tmp_path: Path, step: int) -> None:
    """Also where the clock was put back, or forward, meanwhile."""
    world = World()
    world.put(api_keys.of(KEY, "checkout", 0))
    versions = FileSecretVersions(tmp_path)
    versions.create("signing-keys", world.ring.encode())
    issuer = TokenIssuer(
        world.directory, versions, "signing-keys", ISSUER, AUDIENCE, world.clock, world.monotonic
    )

    def kid() -> str:
        told = issuer.token(read(world.pem), "checkout", "checkout", KEY)
        return tokens.read(str(told["access_token"])).kid

    assert kid() == "k1"
    versions.put("signing-keys", "t" * 32, Ring((Key("k2", private_key()),)).encode())
    versions.promote("signing-keys", "t" * 32)
    world.clock.now += step
    world.monotonic.now += RING_SECONDS - 1
    assert kid() == "k1"
    world.monotonic.now += 1
    assert kid() == "k2"
