"""Credentials of a GitHub App: tokens of one installation, for one repository, to read or to publish.

A token can do less than the App may: what it is asked for with is all that it is good for. It is kept in
memory until five minutes before it ends, one for each repository and role.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from sentinel.adapters.forge_calls import TIMEOUT, Talk
from sentinel.core.repositories import AppCredentials, GitHubRepository
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Forbidden
from sentinel.ports import Http, HttpRequest, Secrets

READ: Final[Mapping[str, str]] = {"contents": "read"}
PUBLISH: Final[Mapping[str, str]] = {"contents": "write", "pull_requests": "write"}
AHEAD: Final = 300 * SECOND  # a token that has less left is not begun with
MEDIA: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class AppTokens:
    """Tokens of the Apps of a deployment; safe to share between threads. `clock` is in epoch nanoseconds."""

    def __init__(self, http: Http, secrets: Secrets, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[int, str]] = {}

    def talk(self, repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]) -> Talk:
        """Return a conversation about a repository, by tokens that may do `may` there and nothing else."""
        one = _Installation(self, repository, app, may)
        return Talk(self._http, one, repository.api, repository.told, clock=self._clock)

    def token(self, repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]) -> str:
        """Return a token. Raises `Forbidden` where the App or the installation has not the right."""
        key = _key(repository, app, may)
        with self._lock:
            ends, token = self._kept.get(key, (0, ""))
            if ends - self._clock() <= AHEAD:
                ends, token = self._made(repository, app, may)
                self._kept[key] = ends, token
            return token

    def forget(self, repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]) -> None:
        """Forget a token that was refused."""
        with self._lock:
            self._kept.pop(_key(repository, app, may), None)

    def _made(
        self, repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]
    ) -> tuple[int, str]:
        signed = _Signed(self._secrets, app, self._clock)
        url = f"{repository.api.rstrip('/')}/app/installations/{app.installation}/access_tokens"
        narrowed = {"repositories": [repository.name.partition("/")[2]], "permissions": dict(may)}
        headers = {**signed.headers(), "User-Agent": "sentinel", "Content-Type": "application/json"}
        response = self._http.send(HttpRequest("POST", url, headers, orjson.dumps(narrowed), TIMEOUT))
        if response.status in {404, 422}:
            raise Forbidden(
                f"the GitHub App {app.app} has no installation {app.installation} with {repository.name} and "
                f"the right to {', '.join(f'{name}: {right}' for name, right in may.items())}"
            )
        Talk(self._http, signed, repository.api, repository.told, clock=self._clock).judge(response)
        try:
            found = orjson.loads(response.body)
            ends = datetime.fromisoformat(found["expires_at"]).astimezone(UTC)
            return int(ends.timestamp()) * SECOND, str(found["token"])
        except (ValueError, KeyError, TypeError):
            raise BadAnswer("GitHub's answer has no token") from None


class _Installation:
    """`forge_calls.Credentials`: a token that is kept."""

    def __init__(
        self, tokens: AppTokens, repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]
    ) -> None:
        self._tokens = tokens
        self._of = repository, app, may

    @property
    def secret(self) -> str:
        return self._of[1].key

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._tokens.token(*self._of)}", **MEDIA}

    def renew(self) -> bool:
        self._tokens.forget(*self._of)
        return True


class _Signed:
    """`forge_calls.Credentials`: the App itself, by a token that it signs (RS256, ten minutes at most)."""

    def __init__(self, secrets: Secrets, app: AppCredentials, clock: Callable[[], int]) -> None:
        self._secrets = secrets
        self._app = app
        self._clock = clock

    @property
    def secret(self) -> str:
        return self._app.key

    def headers(self) -> Mapping[str, str]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import RSAKey

        now = self._clock() // SECOND
        # A minute before now, since clocks differ; ten minutes are the most that GitHub takes.
        claims = {"iat": now - 60, "exp": now + 540, "iss": self._app.app}
        try:
            key = RSAKey.import_key(self._secrets.get(self._app.key))
            signed = jwt.encode({"typ": "JWT", "alg": "RS256"}, claims, key, algorithms=["RS256"])
        except (JoseError, ValueError, TypeError):
            raise Forbidden(f"the secret {self._app.key} is no private key of a GitHub App, in PEM") from None
        return {"Authorization": f"Bearer {signed}", **MEDIA}

    def renew(self) -> bool:
        return False


def _key(repository: GitHubRepository, app: AppCredentials, may: Mapping[str, str]) -> tuple[str, ...]:
    return (repository.api, repository.name, app.app, app.installation, app.key, *sorted(may.values()), *may)
