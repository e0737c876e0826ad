"""notify by an incoming webhook: a channel shows what it is told, acts on none of it, and may refuse it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.actions import message
from sentinel.actions.notify import Notify
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.grants import Grants
from sentinel.core.steps import Again, Done, Failed, Outcome
from sentinel.core.tasks import SECOND
from tests.action_targets import NOW, never
from tests.loopback import Loopback, Told
from tests.steps import step_run

PATH = "/services/T000/B000/canary-31f0"
SLACK = {"to": "slack", "webhook": "hook"}


@pytest.fixture
def slack() -> Iterator[Loopback]:
    """Serve what answers as Slack does."""
    server = Loopback(lambda asked: Told(200, b"ok") if asked.path == PATH else Told(404, b"no_service"))
    yield server
    server.stop()


@pytest.fixture
def action(tmp_path: Path, slack: Loopback, caplog: pytest.LogCaptureFixture) -> Iterator[Notify]:
    """Give the action; afterwards no log line may hold the webhook's URL."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "hook": f"http://127.0.0.1:{slack.port}{PATH}\n",
        "plain": "http://hooks.example.com/services/canary-31f0",
        "none": "canary-31f0",
        "elsewhere": "https://hooks.example.com/services/canary-31f0",
    }
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    yield Notify(http, FileSecrets(tmp_path), never, Grants(), clock=lambda: NOW)
    http.close()
    assert "canary" not in caplog.text


def _tell(action: Notify, inputs: dict[str, Any], entries: list[bytes] | None = None) -> Outcome:
    found = action.perform(step_run("notify", inputs, entries))
    assert "canary" not in repr(found)
    return found


def test_a_channel_is_told(action: Notify, slack: Loopback) -> None:
    """One POST of JSON with one text, in which nothing unfolds."""
    assert _tell(action, SLACK) == Done({"to": "slack", "status": 200})
    (asked,) = slack.asked
    assert (asked.method, asked.path) == ("POST", PATH)
    told = orjson.loads(asked.body)
    assert told.keys() == {"text", "unfurl_links", "unfurl_media"}
    assert told["text"].splitlines() == [
        "*Sentinel* `high` `A burst`",
        "rule `rule-1`, service `checkout`, entries 3",
        "task `mfrggzdfmztwq2lknnwg23tpoa`, recipe `tell`",
    ]


def test_entries_are_quoted_only_where_the_recipe_says_so(action: Notify, slack: Loopback) -> None:
    """By default no word of an entry is sent; quoted, three at most, masked and cut."""
    entries = [b'{"token":"hunter2","a":"%s"}' % (b"word " * 100), b"two", b"three", b"four"]
    _tell(action, SLACK, entries)
    _tell(action, {**SLACK, "quote": True}, entries)
    silent, quoted = (orjson.loads(asked.body)["text"] for asked in slack.asked)
    assert "word" not in silent
    assert len(quoted.splitlines()) == len(silent.splitlines()) + 3
    assert "hunter2" not in quoted
    assert "four" not in quoted
    assert max(map(len, quoted.splitlines())) <= message.QUOTE + 2


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Told(200, b"ok"), Done({"to": "slack", "status": 200})),
        (Told(429, b"rate_limited", {"Retry-After": "30"}), Again("the webhook answered 429", 30 * SECOND)),
        (Told(500, b"rollup_error"), Again("the webhook answered 500", None, unsure=True)),
        (Told(503, b"canary"), Again("the webhook answered 503", None, unsure=True)),
        (
            Told(400, b"invalid_payload"),
            Failed("the webhook answered 400 (invalid_payload): the message was not understood"),
        ),
        (
            Told(403, b"action_prohibited\n"),
            Failed(
                "the webhook answered 403 (action_prohibited): "
                "the workspace does not let the webhook post there"
            ),
        ),
        (Told(404, b"no_service"), Failed("the webhook answered 404 (no_service): the webhook was removed")),
        (
            Told(410, b"channel_is_archived"),
            Failed("the webhook answered 410 (channel_is_archived): its channel is archived"),
        ),
        (Told(404, b"<html>canary</html>"), Failed("the webhook answered 404")),
        (Told(302, b"", {"Location": "http://169.254.169.254/canary"}), Failed("the webhook answered 302")),
    ],
)
def test_an_answer_means_one_thing(action: Notify, slack: Loopback, told: Told, expected: Outcome) -> None:
    """What may pass is tried again, what does not fails with Slack's own word, and with no other."""
    slack.answer = lambda _: told
    assert _tell(action, SLACK) == expected
    assert len(slack.asked) == 1


def test_a_lost_answer_is_unsure(action: Notify, slack: Loopback) -> None:
    """A webhook knows no key: whether the message came is not known."""
    slack.answer = lambda _: Told(lost=True)
    found = _tell(action, SLACK)
    assert isinstance(found, Again)
    assert found.unsure


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("plain", "the secret plain is a URL that begins with https://"),
        ("none", "the secret none is no webhook's URL"),
        ("elsewhere", "add it to SENTINEL_HTTP_HOSTS"),
        ("missing", "there is no secret missing"),
    ],
)
def test_a_webhook_that_cannot_be_meant_fails(
    action: Notify, slack: Loopback, secret: str, words: str
) -> None:
    """The secret is named and never quoted."""
    found = _tell(action, {"to": "slack", "webhook": secret})
    assert isinstance(found, Failed)
    assert words in found.reason
    assert not slack.asked


EVIL = st.text(max_size=400) | st.sampled_from(
    ["<!channel>", "<@U1>", "<http://evil|bank>", "a`b`c", "@here", "&lt;", "x\n*y*", "\u202efdp", "\r\n" * 9]
)


@given(EVIL, EVIL, EVIL, st.lists(st.binary(max_size=300), max_size=5), st.booleans())
def test_nothing_in_a_message_does_anything(
    title: str, level: str, service: str, entries: list[bytes], quote: bool
) -> None:
    """Whatever strangers write stands in a code span of one line: no link, mention, format or direction."""
    run = step_run("notify", SLACK, entries)
    run = replace(
        run,
        task=replace(run.task, cause={"rule": title, "title": title, "level": level}),
        entries=[replace(each, chain=f"{service}/0") for each in run.entries],
    )
    text = message.slack(run, title, quote=quote)
    lines = text.split("\n")
    assert len(lines) <= 4 + message.QUOTED
    for line in lines:
        assert line.count("`") % 2 == 0
        outside = "".join(line.split("`")[::2])
        assert re.fullmatch(r"(\*Sentinel\*|[a-z0-9, -])*", outside), outside
        assert "<" not in line
        assert ">" not in line
        assert not re.search(r"@(?!\u200b)", line)
        assert not re.search(r"&(?!amp;|lt;|gt;)", line)
        assert line.replace("\u200b", "").isprintable()
    assert message.subject(run).isascii()
    assert message.subject(run).isprintable()
    assert 0 < len(message.subject(run)) <= 100
