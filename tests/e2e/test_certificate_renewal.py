"""A certificate that is two months old, and a running gateway that renews it for its owner."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import pytest

from sentinel.bootstrap import application
from sentinel.cli.clients import local_credentials
from sentinel.core.certificates import read
from sentinel.local.certificates import clients_pair, new_key
from sentinel.usecases.certify import Authority
from tests.e2e.trees import sentinel, up
from tests.pki import DAY


@pytest.mark.nightly
def test_renewing_at_a_gateway(tmp_path: Path) -> None:
    """`certs renew --url` asks with the old certificate and a token, and replaces key and certificate."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    app = application(str(home))
    past = Authority(
        app.registry, app.ca_signer, "sentinel.local", lambda: time.time() - 61 * DAY, secrets.token_bytes
    )
    past.create_root(new_key(app))
    with up(home, insecure=False) as tree:
        local_credentials(home, tree.url, "checkout", lambda _: None)
        pair = clients_pair(home, "checkout")
        young = pair.pem()
        done = sentinel("certs", "renew", "checkout", "--url", tree.url, "--json", home=home)
        assert done.returncode == 0
        assert json.loads(done.stdout)["thumbprint"] == read(young).thumbprint
        assert pair.pem() == young
        with pair.locked():
            pair.finish(past.issue("checkout", pair.begin()))
        old, key = read(pair.pem()), pair.key.read_bytes()
        done = sentinel("certs", "renew", "checkout", "--url", tree.url, "--json", home=home)
        assert done.returncode == 0, done.stderr
        fresh = read(pair.pem())
        assert json.loads(done.stdout)["thumbprint"] == fresh.thumbprint != old.thumbprint
        assert fresh.not_after > old.not_after
        assert pair.key.read_bytes() != key
        app.authority.revoke(fresh.thumbprint)
        time.sleep(app.settings.door_seconds + 0.5)
        done = sentinel("certs", "renew", "checkout", "--url", tree.url, "--json", home=home)
        assert (done.returncode, json.loads(done.stderr)["error"]) == (1, "Unauthenticated")
