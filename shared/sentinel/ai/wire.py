"""How the SDKs of providers reach the network: through `ports.Http`, as everything does.

So what holds there holds for them: hosts that the deployment allows, verified TLS, no redirects, no proxies
of the environment, one deadline over the whole exchange however slowly it drips, and answers cut at a
limit. Of the headers only those of a fixed list are sent: nothing that a variable of the environment adds,
and nothing about the machine. Imported only where a model is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import httpx2

from sentinel.errors import Malformed, SentinelError
from sentinel.ports import Http, HttpRequest, HttpResponse

_SENT: Final = frozenset({"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta"})
_SILENT: Final = logging.CRITICAL + 1


class Carrier(httpx2.BaseTransport):
    """Carries one request to one provider, and keeps its answer, or the error in its place.

    `base` is the address below which requests may go, `key` what they are authorised by. `left` returns the
    seconds for the whole exchange when it begins, or raises `TimedOut`: the import of an SDK takes some, too.
    """

    def __init__(self, http: Http, base: str, key: str, left: Callable[[], float]) -> None:
        self._http = http
        self._base = base
        self._key = key
        self._left = left
        self.answer: HttpResponse | None = None
        self.failure: SentinelError | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. What the SDK makes of an error does not matter: it is kept in `failure`."""
        url = str(request.url)
        if not url.startswith(f"{self._base}/"):
            self.failure = Malformed("the model's request would go elsewhere than its url says")
            raise httpx2.ConnectError("elsewhere")
        headers = {name: value for name, value in request.headers.items() if name.lower() in _SENT}
        headers["authorization"] = f"Bearer {self._key}"
        body = request.read()
        try:
            self.answer = self._http.send(HttpRequest(request.method, url, headers, body, self._left()))
        except SentinelError as error:
            self.failure = error
            raise httpx2.ConnectError("no answer") from None
        told = {"content-type": self.answer.headers.get("content-type", "")}
        return httpx2.Response(self.answer.status, headers=told, content=self.answer.body, request=request)

    def client(self) -> httpx2.Client:
        """Return the client that an SDK is given."""
        return httpx2.Client(transport=self, trust_env=False, follow_redirects=False)


def quiet() -> None:
    """Silence what SDKs log: at the level of debugging they log whole prompts."""
    for name in ("openai", "anthropic", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(_SILENT)
