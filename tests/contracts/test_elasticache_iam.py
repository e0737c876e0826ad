"""Signing in to ElastiCache with IAM, and waking workers."""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import parse_qs, quote, urlsplit

import botocore.session
import pytest
from botocore.credentials import Credentials
from sentinel.adapters.elasticache_iam import IamCredentials
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable

from tests.scenario import Clock
from tests.valkey import running

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # the one of AWS's own examples


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> botocore.session.Session:
    """Give a session with AWS's example credentials."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    made = botocore.session.get_session()
    made.set_config_variable("region", "eu-central-1")
    made._credentials = Credentials("AKIDEXAMPLE", SECRET, "session-token")  # type: ignore[attr-defined]
    return made


def _signature(query: dict[str, str], host: str) -> str:
    """Sign the query by the rules of AWS Signature Version 4, written anew."""
    signed = {name: value for name, value in query.items() if name != "X-Amz-Signature"}
    canonical = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(signed.items()))
    request = "\n".join(["GET", "/", canonical, f"host:{host}\n", "host", sha256(b"").hexdigest()])
    scope = query["X-Amz-Credential"].partition("/")[2]
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, sha256(request.encode()).hexdigest()])
    key = b"AWS4" + SECRET.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), sha256).digest()
    return hmac.new(key, text.encode(), sha256).hexdigest()


def test_the_token_is_a_signed_connect_request(session: botocore.session.Session) -> None:
    """The password is a presigned `connect` without scheme: 15 minutes, for this user and this cache."""
    user, token = IamCredentials("worker", "My-Cache", Clock(), session=session).get_credentials()
    assert user == "worker"
    assert token.startswith("my-cache/?")
    query = {name: values[0] for name, values in parse_qs(urlsplit("//" + token).query).items()}
    assert query["Action"] == "connect"
    assert query["User"] == "worker"
    assert query["ResourceType"] == "ServerlessCache"
    assert query["X-Amz-Expires"] == "900"
    assert query["X-Amz-Security-Token"] == "session-token"
    assert query["X-Amz-Credential"].endswith("/eu-central-1/elasticache/aws4_request")
    assert query["X-Amz-Signature"] == _signature(query, "my-cache")


def test_a_cache_of_nodes_has_no_resource_type(session: botocore.session.Session) -> None:
    """Only serverless caches are named by type."""
    made = IamCredentials("worker", "c", Clock(), serverless=False, session=session)
    assert "ResourceType" not in made.get_credentials()[1]


def test_a_token_is_made_anew_in_time(
    session: botocore.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is used again for five minutes, well within the fifteen it lives."""
    clock = Clock()
    made = IamCredentials("worker", "c", clock, session=session)
    signed: list[int] = []
    real = made._sign

    def sign() -> str:
        signed.append(clock.now)
        return real()

    monkeypatch.setattr(made, "_sign", sign)
    for _ in range(10):
        made.get_credentials()
        clock.sleep(100)
    assert [(t - signed[0]) // SECOND for t in signed] == [0, 300, 600, 900]


def test_no_credentials_is_unavailable(session: botocore.session.Session) -> None:
    """Without credentials nothing is sent to the cache, and it is said why."""
    session._credentials = None  # type: ignore[attr-defined]
    session.get_component("credential_provider").providers.clear()
    with pytest.raises(Unavailable, match="credentials"):
        IamCredentials("worker", "c", Clock(), session=session).get_credentials()


def test_the_client_signs_in_with_user_and_token(
    session: botocore.session.Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At each connection the server is given the user and the token of then; a refused one is unavailable."""
    clock = Clock()
    credentials = IamCredentials("worker", "c", clock, session=session)
    with running(tmp_path_factory.mktemp("valkey")) as server:
        admin = connect(server.url)
        token = credentials.get_credentials()[1]
        admin.acl_setuser("worker", enabled=True, passwords=[f"+{token}"], keys=["*"], categories=["+@all"])
        queue = RedisQueue(connect(server.url, credentials=credentials))
        queue.add("siem", ["a"])
        assert [hint.task_id for hint in queue.take("siem", "w", 1, 0)] == ["a"]
        admin.acl_setuser("worker", enabled=True, reset_passwords=True)
        with pytest.raises(Unavailable):
            RedisQueue(connect(server.url, credentials=credentials)).add("siem", ["a"])
        admin.close()
