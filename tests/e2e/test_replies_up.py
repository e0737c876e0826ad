"""Both ways in a real tree of `sentinel up`: an issue of Sentry comes in, is commented and resolved."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sentinel.core.replies import marked
from sentinel.local.supervisor import CATALOG_SECONDS
from tests import reply_targets as targets
from tests.e2e.trees import LOOPBACK, Tree, push, sentinel, until, up
from tests.reply_targets import SECRET
from tests.webhooks.senders import golden, sent

CLIENT_SECRET = "client-secret-0123456789abcdef"
RULE = """title: Sentry issue
name: sentry_issue
status: stable
level: high
logsource: {category: application}
detection:
  it: {webhook.source: sentry, alert.kind: issue}
  ours: {alert.labels.by: sentinel}
  condition: it and not ours
"""
RECIPE = """id: answer-issues
on: {rule: sentry_issue}
dedup: {by: [alert.fingerprint, alert.status], within: 1h}
steps:
  - id: answer
    uses: alert.reply
    with: {to: sentry, comment: "seen: ${entry.alert.title}", resolve: true}
retry: {attempts: 5, backoff: 1s..2s}
"""


@pytest.fixture
def sentry() -> Iterator[targets.Sentry]:
    """Serve Sentry, which loses the reply to the first comment that it takes."""
    product = targets.Sentry()
    product.trouble.lost = frozenset({3})
    yield product
    product.server.stop()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Run a tree."""
    with up(tmp_path / "home", settings=LOOPBACK) as running:
        yield running


def tell(tree: Tree, body: bytes) -> int:
    """Send a message as Sentry does; return the status."""
    parts = urlsplit(tree.hooks)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    signature = hmac.new(CLIENT_SECRET.encode(), body, hashlib.sha256).hexdigest()
    connection.request("POST", "/hooks/sentry/errors", body, {"Sentry-Hook-Signature": signature})
    status = connection.getresponse().status
    connection.close()
    return status


def tasks(tree: Tree) -> list[dict[str, Any]]:
    """Return the tasks that there are."""
    done = sentinel("tasks", "--json", home=tree.home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    listed: list[dict[str, Any]] = found["tasks"] if isinstance(found, dict) else found
    return listed


@pytest.mark.nightly
def test_an_issue_is_commented_and_resolved_once(tree: Tree, sentry: targets.Sentry, tmp_path: Path) -> None:
    """Webhook, rule, task, reply; its answer is lost, and there is one comment. Our own echo ends it."""
    secrets = tree.home / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "sentry-token").write_text(SECRET)
    (secrets / "sentry-token").chmod(0o600)
    assert sentinel("services", "add", "shop", home=tree.home).returncode == 0
    hook = ("hooks", "add", "errors", "--service", "shop", "--source", "sentry", "--secret-stdin")
    added = sentinel(
        *hook,
        "--option",
        "self=Sentinel",
        "--option",
        "dsn=private",
        home=tree.home,
        stdin=CLIENT_SECRET.encode(),
    )
    assert added.returncode == 0, added.stderr
    account = f"{{kind: sentry, organization: acme, url: '{sentry.url}', token: sentry-token}}"
    push(tree.home, tmp_path / "docs", rule=RULE, recipe=RECIPE, accounts=f"accounts: {{sentry: {account}}}")

    time.sleep(CATALOG_SECONDS + 1)  # so long may pass until what was pushed is in force
    cases = golden("sentry")
    assert tell(tree, sent(cases["issue created"])) == 200
    until(lambda: any(each["state"] == "succeeded" for each in tasks(tree)), "no task has succeeded", 60)
    (text,) = sentry.texts
    assert "seen: " in text
    assert marked(text)
    assert (sentry.status, sentry.updates) == ("resolved", 1)
    (task,) = tasks(tree)
    assert task["id"] in text

    # What Sentry now tells of our own doing is stored, and sets off nothing.
    comment = {
        "action": "created",
        "data": {"comment": text, "issue_id": 1},
        "actor": {"type": "application"},
    }
    resolved = json.loads(sent(cases["issue resolved"]))
    resolved["actor"] = {"type": "application", "id": "x", "name": "Sentinel"}
    for body in (comment, resolved):
        assert tell(tree, json.dumps(body).encode()) == 200
    assigned = json.loads(sent(cases["issue assigned"]))
    assert tell(tree, json.dumps(assigned).encode()) == 200
    until(lambda: len(tasks(tree)) == 2, "the next message sets off no task")
    time.sleep(1)
    assert len(tasks(tree)) == 2
