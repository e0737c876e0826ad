"""How the actions on CrowdStrike Falcon reach its API: by which account, and with which token.

Tokens are kept for four fifths of their life, by account and secret. A token from before that is refused is
replaced once, since a refusal has done nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

from sentinel.accounts import AccountConfig, falcon
from sentinel.accounts.falcon import FalconConfig
from sentinel.core.steps import Again
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Forbidden, Malformed, TimedOut, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets
from sentinel.siem.sink import Token

MAX_TOKENS = 100


class FalconCalls:
    """Calls for one deployment; safe to share between threads. `clock` is in epoch nanoseconds."""

    def __init__(
        self,
        http: Http,
        secrets: Secrets,
        accounts: Callable[[], Mapping[str, AccountConfig]],
        clock: Callable[[], int],
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._accounts = accounts
        self._tokens: dict[object, tuple[Token, int]] = {}
        self.clock = clock

    def account(self, name: str) -> FalconConfig:
        """Return an account in force. Raises `Malformed` where there is none, or one of another kind."""
        found = self._accounts().get(name)
        if found is None:
            raise Malformed(f"there is no account {name}: push a document that has it, or correct the step")
        if not isinstance(found, FalconConfig):
            raise Malformed(f"account {name} is of the kind {found.kind}: the step needs one of falcon")
        return found

    def send(self, config: FalconConfig, request: Callable[[str], HttpRequest]) -> HttpResponse:
        """Send what `request` makes of a token; return the answer, which does not refuse the token.

        Raises what the ports raise, `Unavailable` that is `unsent` where only the sign-in failed, `Forbidden`
        where Falcon does not let the API client in.
        """
        secret = self._secrets.get(config.token)
        named = (config, sha256(secret.encode()).hexdigest())
        kept, until = self._tokens.get(named, (None, 0))
        if kept is not None and self.clock() < until:
            response = self._http.send(request(kept.text))
            if response.status != 401:
                return response
            self._tokens.pop(named, None)
        token = self._token(config, secret)
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens.clear()
        self._tokens[named] = (token, self.clock() + int(token.seconds * 0.8 * SECOND))
        response = self._http.send(request(token.text))
        if response.status == 401:
            self._tokens.pop(named, None)
            raise Forbidden("Falcon refuses a token that it has just given (401)")
        return response

    def _token(self, config: FalconConfig, secret: str) -> Token:
        try:
            return falcon.token(self._http.send(falcon.login(config, secret)), self.clock())
        except Unavailable as error:
            error.unsent = True  # nothing of what the token is for
            raise


def later(error: Unavailable) -> Again:
    """Return the wish to try again: when Falcon says, else by the recipe's backoff.

    It is unsure where the request may have arrived.
    """
    after = int(error.retry_after * SECOND) if error.retry_after > 1 else None
    return Again(str(error), after, unsure=isinstance(error, BadAnswer | TimedOut) and not error.unsent)
