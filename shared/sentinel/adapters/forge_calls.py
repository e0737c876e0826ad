"""Conversations with a host of repositories: what its answers mean, and how long it asks to be left alone.

Nothing is retried here but a request whose token was refused, once, with a new one. No answer's text gets
into a message. The client (`ports.Http`) has to allow the hosts and answers of `MAX_ANSWER` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

import orjson

from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Conflict, Forbidden, Malformed, Missing, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse

MAX_ANSWER: Final = 110_000_000  # bytes: an archive of a repository is one answer
TIMEOUT: Final = 20.0
ARCHIVE_TIMEOUT: Final = 120.0
LONGEST: Final = 3_600.0  # seconds: GitHub's limits are by the hour
_PAUSE: Final = 60.0  # GitHub: at least a minute where an answer does not say how long
_LATER: Final = frozenset({408, 425})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Credentials(Protocol):
    """Whose requests they are. `secret` names where the credentials come from, for messages."""

    @property
    def secret(self) -> str:
        """The name of the secret."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that carry them. Raises as `ports.Secrets` and `ports.Http` do."""

    def renew(self) -> bool:
        """Forget a token that was refused; False where the next one would be the same."""


class Talk:
    """One conversation about one repository, `told`. `clock` is in epoch nanoseconds."""

    def __init__(
        self, http: Http, credentials: Credentials, api: str, told: str, *, clock: Callable[[], int]
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._api = api.rstrip("/")
        self._told = told
        self._clock = clock
        self._wrote = False

    def json(
        self, method: str, path: str, body: object = None, *, fine: Collection[int] = ()
    ) -> tuple[int, Any]:
        """Send a request and return status and JSON; a status that is no success only where it is `fine`."""
        response = self.send(method, path, body)
        if response.status not in fine:
            self.judge(response)
        try:
            return response.status, orjson.loads(response.body or b"null")
        except orjson.JSONDecodeError:
            if response.status in fine:
                return response.status, None
            raise BadAnswer(f"{self._host} gave an answer about {self._told} that cannot be read") from None

    def send(
        self, method: str, path: str, body: object = None, *, accept: str = "", timeout: float = TIMEOUT
    ) -> HttpResponse:
        """Send a request, with a new token where it was refused, and return any answer."""
        response = self._once(method, path, body, accept, timeout)
        if response.status == 401 and self._credentials.renew():
            response = self._once(method, path, body, accept, timeout)
        return response

    def archive(self, path: str) -> bytes:
        """Return an archive. One redirect is followed; another server does not get the credentials."""
        response = self.send("GET", path, timeout=ARCHIVE_TIMEOUT)
        if response.status in _REDIRECTS:
            here = f"{self._api}{path}"
            there = urljoin(here, response.headers.get("location", ""))
            old, new = urlsplit(here), urlsplit(there)
            if new.scheme != old.scheme:
                raise BadAnswer(f"{self._host} leads from {old.scheme} to something else for {self._told}")
            same = new.netloc == old.netloc
            headers = {**(self._credentials.headers() if same else {}), "User-Agent": "sentinel"}
            response = self._http.send(HttpRequest("GET", there, headers, b"", ARCHIVE_TIMEOUT))
        self.judge(response)
        return response.body

    def judge(self, response: HttpResponse) -> None:
        """Raise what an answer means that is no success."""
        status, told = response.status, self._told
        if 200 <= status < 300:
            return
        if status == 401:
            raise Forbidden(
                f"{self._host} refuses the credentials for {told}: see the secret {self._credentials.secret}"
            )
        if status == 429 or (status == 403 and _limited(response)):
            raise Unavailable(f"{self._host} is asked too often", self._pause(response))
        if status == 403:
            raise Forbidden(f"{self._host} does not let these credentials do this to {told}")
        if status == 404:
            raise Missing(f"{told} or what is asked of it is not there, or these credentials may not see it")
        if status == 409:
            raise Conflict(f"{told} is in a state that does not allow this")
        if status >= 500 or status in _LATER:
            raise BadAnswer(f"{self._host} answered {status}", self._pause(response, 5.0))
        raise Malformed(f"{self._host} does not take the request about {told}: it answered {status}")

    def _once(self, method: str, path: str, body: object, accept: str, timeout: float) -> HttpResponse:
        given = {**self._credentials.headers(), "User-Agent": "sentinel"}
        if accept:
            given["Accept"] = accept
        data = b"" if body is None else orjson.dumps(body)
        if data:
            given["Content-Type"] = "application/json"
        try:
            response = self._http.send(HttpRequest(method, f"{self._api}{path}", given, data, timeout))
        except Unavailable as error:
            # What was written before has arrived, whatever became of this one.
            error.unsent = error.unsent and not self._wrote
            raise
        finally:
            self._wrote = self._wrote or method != "GET"
        return response

    def _pause(self, response: HttpResponse, otherwise: float = _PAUSE) -> float:
        """Return for how many seconds the host asks to be left alone."""
        given = response.headers.get("retry-after", "").strip()
        if given.isascii() and given.isdigit():
            return min(float(given[:10]), LONGEST)
        spent = any(response.headers.get(f"{name}-remaining") == "0" for name in ("x-ratelimit", "ratelimit"))
        reset = response.headers.get("x-ratelimit-reset") or response.headers.get("ratelimit-reset") or ""
        if spent and reset.isascii() and reset.isdigit():
            return min(max(float(reset[:12]) - self._clock() / SECOND, 1.0), LONGEST)
        return otherwise

    @property
    def _host(self) -> str:
        return urlsplit(self._api).hostname or ""


@contextmanager
def understood(told: str) -> Iterator[None]:
    """Raise `BadAnswer` where a part of an answer is not there, or is something else than documented."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadAnswer(f"an answer about {told} is not what the host documents") from None


def _limited(response: HttpResponse) -> bool:
    """Whether a 403 is one of GitHub's limits ("Rate limits for the REST API")."""
    found = response.headers
    spent = found.get("x-ratelimit-remaining") == "0" or "retry-after" in found
    return spent or b"secondary rate limit" in response.body[:2_000]
