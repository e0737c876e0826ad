"""IAM authentication at ElastiCache: a short-lived token in the place of a password.

The token is a presigned request (AWS Signature Version 4, query string form) for the action `connect`,
without its scheme. It is valid for 15 minutes and is asked for at each new connection, which itself lives for
at most 12 hours. Making one is local computation: nothing is asked of AWS beyond the process's credentials.
See docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from redis.credentials import CredentialProvider

from sentinel.errors import Unavailable

if TYPE_CHECKING:
    from botocore.session import Session

TOKEN_SECONDS = 900
# A token is used again for five minutes, so that a burst of connections signs once and none comes late.
FRESH_NS = 300 * 1_000_000_000


class IamCredentials(CredentialProvider):
    """Hands redis-py the user and a token. `clock` is in epoch nanoseconds.

    `cache` is the cache's name, not its endpoint; ElastiCache wants it in lower case.
    """

    def __init__(
        self,
        user: str,
        cache: str,
        clock: Callable[[], int],
        serverless: bool = True,
        session: Session | None = None,
    ) -> None:
        self._user = user
        self._cache = cache.lower()
        self._serverless = serverless
        self._clock = clock
        self._session = session
        self._token = ""
        self._made = 0

    def get_credentials(self) -> tuple[str, str]:
        """Return (user, token). Raises `Unavailable` where the process has no credentials."""
        now = self._clock()
        if not self._token or not 0 <= now - self._made < FRESH_NS:
            self._token, self._made = self._sign(), now
        return self._user, self._token

    def _sign(self) -> str:
        import botocore.session
        from botocore.model import ServiceId
        from botocore.signers import RequestSigner

        if self._session is None:
            self._session = botocore.session.get_session()
        credentials = self._session.get_credentials()
        region = self._session.get_config_variable("region")
        if credentials is None or not region:
            raise Unavailable("no AWS credentials or region to sign in to the cache with")
        events = self._session.get_component("event_emitter")
        signer = RequestSigner(ServiceId("elasticache"), region, "elasticache", "v4", credentials, events)
        query = {"Action": "connect", "User": self._user}
        if self._serverless:
            query["ResourceType"] = "ServerlessCache"  # it is signed, so it cannot be added afterwards
        request: dict[str, Any] = {
            "method": "GET",
            "url": f"https://{self._cache}/?{urlencode(query)}",
            "body": {},
            "headers": {},
            "context": {},
        }
        url = signer.generate_presigned_url(
            request, operation_name="connect", expires_in=TOKEN_SECONDS, region_name=region
        )
        return str(url).removeprefix("https://")
