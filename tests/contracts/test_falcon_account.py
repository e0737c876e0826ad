"""The account `falcon`: its documents, the bytes that it sends, and how Falcon's alerts are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import accounts
from sentinel.accounts import falcon, falcon_alerts
from sentinel.accounts.falcon import CLOUDS, FalconConfig
from sentinel.core.alerts import NO_TITLE, Alert
from sentinel.errors import Malformed
from sentinel.ports import HttpRequest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "goldens" / "falcon" / "account.json"
HOST = "0123456789abcdef0123456789abcdef"
ALERT = f"c{'0' * 31}:ind:{HOST}:117-10357-3240"
WRITE = bool(os.environ.get("SENTINEL_WRITE_GOLDENS"))


def _config(**more: object) -> FalconConfig:
    told = {"kind": "falcon", "cloud": "eu-1", "token": "falcon", **more}
    found = accounts.load("x", orjson.dumps({"accounts": {"prod": told}}))["prod"]
    assert isinstance(found, FalconConfig)
    return found


def _requests() -> dict[str, HttpRequest]:
    config, token = _config(), "TOKEN"
    changes = {"append_comment": "Contained.\nsentinel:0", "update_status": "in_progress", "add_tag": "x"}
    return {
        "sign in": falcon.login(config, "0123456789abcdef:s3cret/+&="),
        "sign in as a member": falcon.login(
            _config(member_cid="A" * 32 + "-1F"), "0123456789abcdef:secretsecret"
        ),
        "read a host": falcon.device_request(config, token, HOST),
        "contain": falcon.contained_by(config, token, "contain", HOST),
        "lift": falcon.contained_by(config, token, "lift_containment", HOST),
        "read an alert": falcon.alert_request(config, token, ALERT),
        "change an alert": falcon.alert_update(config, token, ALERT, changes),
        "another address": falcon.device_request(
            _config(cloud=None, url="https://falcon.example.com/", timeout=5), token, HOST
        ),
    }


def _shown(request: HttpRequest) -> dict[str, object]:
    body = {"body": request.body.decode()} if request.body else {}
    return {
        "request": f"{request.method} {request.url}",
        "headers": dict(request.headers),
        "timeout": request.timeout,
        **body,
    }


def test_requests_are_those_of_the_golden() -> None:
    """Whoever changes what is sent to Falcon sees it in the diff."""
    golden = orjson.loads(GOLDEN.read_bytes())
    told = {name: _shown(each) for name, each in _requests().items()}
    if WRITE:
        GOLDEN.write_bytes(orjson.dumps({**golden, "requests": told}, option=orjson.OPT_INDENT_2) + b"\n")
    assert told == orjson.loads(GOLDEN.read_bytes())["requests"]


def test_alerts_are_read_as_the_golden_has_them() -> None:
    """Each entity of the golden gives the alert beside it, and what of it can be changed."""
    golden = orjson.loads(GOLDEN.read_bytes())
    told = {name: {**each, **_read(each["entity"])} for name, each in golden["alerts"].items()}
    if WRITE:
        GOLDEN.write_bytes(orjson.dumps({**golden, "alerts": told}, option=orjson.OPT_INDENT_2) + b"\n")
    assert told == orjson.loads(GOLDEN.read_bytes())["alerts"]
    assert len(told) >= 3


def _read(entity: dict[str, Any]) -> dict[str, Any]:
    found = falcon_alerts.read(entity)
    return {
        "alert": found.alert.json(),
        "status": found.status,
        "tags": sorted(found.tags),
        "comments": list(found.comments),
    }


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [None], {"a": []}, True, 1e300])
def test_whatever_falcon_says_is_read(odd: object) -> None:
    """No field of an entity has to be there, or of the kind that it should be."""
    names = (
        "composite_id",
        "display_name",
        "severity",
        "severity_name",
        "status",
        "device",
        "tags",
        "comments",
    )
    for name in (*names, "timestamp", "updated_timestamp", "type", "falcon_host_link"):
        found = falcon_alerts.read({name: odd})
        assert isinstance(found.alert, Alert)
        assert found.alert.title in {NO_TITLE, "x"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cloud": "eu-9"}, "cloud"),
        ({"cloud": None}, "either cloud"),
        ({"url": "https://falcon.example.com"}, "either cloud"),
        ({"cloud": None, "url": "http://falcon.example.com"}, "since the token travels"),
        ({"token": "b7f7a1c2-2d9f-4a52-9f0a-0c4b2c1d3e4f"}, "looks like a token"),
        ({"token": None}, "token"),
        ({"hosts": "all"}, "hosts"),
        ({"hosts": ["*"]}, "hosts"),
        ({"hosts": ["WEB-1"]}, "hosts"),
        ({"groups": ["*"]}, "groups"),
        ({"member_cid": "x"}, "member_cid"),
        ({"timeout": 60}, "timeout"),
        ({"client_secret": "canary"}, "client_secret: Extra inputs"),
    ],
)
def test_a_wrong_account_is_refused(more: dict[str, object], words: str) -> None:
    """The words say what to change, and quote no value."""
    with pytest.raises(Malformed) as refused:
        _config(**more)
    assert "accounts.prod" in str(refused.value)
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


def test_an_account_lists_no_host_by_itself() -> None:
    """Whoever says nothing of hosts lets nothing be contained; `every` has to be written."""
    config = _config()
    assert (config.hosts, config.groups) == ((), ())
    assert _config(hosts="every").hosts == falcon.EVERY
    assert {_config(cloud=name).base for name in CLOUDS} == set(CLOUDS.values())


@pytest.mark.parametrize(
    "secret", ["", "x", "canary", ":canary-canary", "canary-canary:", "a b:canary-canary"]
)
def test_a_secret_of_another_form_is_said_and_not_shown(secret: str) -> None:
    """It is `CLIENT_ID:CLIENT_SECRET`; what else stands there may be a secret all the same."""
    with pytest.raises(Malformed, match="the secret falcon is not CLIENT_ID:CLIENT_SECRET") as refused:
        falcon.login(_config(), secret)
    assert "canary" not in str(refused.value)


def test_requests_show_no_token() -> None:
    """What a request holds of a secret is in no `repr`."""
    for each in _requests().values():
        assert "TOKEN" not in repr(each)
        assert "s3cret" not in repr(each)


def test_every_key_of_the_account_is_documented() -> None:
    """docs/connectors.md has the account's heading, and all its keys and clouds below it."""
    text = (
        (ROOT / "docs" / "connectors.md")
        .read_text()
        .partition("\n### account falcon\n")[2]
        .partition("\n## ")[0]
    )
    for key in (*FalconConfig.model_fields, *CLOUDS):
        assert f"`{key}`" in text, key
