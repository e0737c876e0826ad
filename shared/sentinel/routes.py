"""The routes of both APIs: the lists that CDK, the local gateway and the tests build from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Door = Literal["token", "key", "certificate", "signature", "secret", "link", "open"]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `function` is the folder below `functions/` that answers it.

    `path` is in API Gateway's notation: `{name}` is one segment, `{name+}` one or more. `method` may be
    `ANY`. `door` says what a caller has to bring:

    - `token`: a client certificate and an access token that is bound to it, with `scope` where one is named;
    - `key`: a client certificate and the service's API key;
    - `certificate`: a client certificate, as everything on the service API needs one;
    - `signature`: what the webhook's source proves itself with, a signature or the secret itself;
    - `secret`: a webhook's id and its secret;
    - `link`: in its body, the token of a one-time link to approve;
    - `open`: nothing.

    `body` is how many bytes of a body are taken as sent, 0 for as many as the API takes anywhere.
    """

    method: str
    path: str
    function: str
    scope: str = ""
    door: Door = "token"
    body: int = 0


# The service API: behind mutual TLS as a whole.
ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/entries", "ingest", "ingest"),
    Route("POST", "/v1/logs", "ingest", "ingest"),
    Route("GET", "/v1/chains", "control", "ingest"),
    Route("GET", "/v1/chains/{owner}/{lane}/checkpoint", "control", "ingest"),
    Route("GET", "/v1/chains/{owner}/{lane}/proof", "control", "ingest"),
    Route("GET", "/v1/tasks", "control", "tasks:read"),
    Route("GET", "/v1/tasks/{task}", "control", "tasks:read"),
    Route("GET", "/v1/tasks/{task}/approval", "control", "tasks:approve"),
    Route("POST", "/v1/tasks/{task}/approval", "control", "tasks:approve"),
    # Whoever makes links signs in the deployment's name: the function that does so already.
    Route("POST", "/v1/tasks/{task}/links", "token", "admin"),
    Route("POST", "/v1/tasks/bulk", "control", "tasks:control"),
    *(
        Route("POST", f"/v1/tasks/{{task}}/{act}", "control", "tasks:control")
        for act in ("accept", "cancel", "fork", "redrive", "resolve", "retry")
    ),
    Route("GET", "/v1/tasks/{task}/trace", "control", "tasks:read"),
    # What came of a service's own messages, as its tasks are: no scope of its own.
    Route("GET", "/v1/alerts", "control", "tasks:read"),
    Route("GET", "/v1/alerts/{alert}", "control", "tasks:read"),
    Route("GET", "/v1/queues", "control", "admin"),
    Route("POST", "/v1/queues/{queue}/pause", "control", "admin"),
    Route("POST", "/v1/queues/{queue}/resume", "control", "admin"),
    Route("POST", "/v1/queues/{queue}/purge", "control", "admin"),
    Route("GET", "/v1/services", "control", "admin"),
    Route("POST", "/v1/certificate", "certify"),
    Route("ANY", "/v1/proxy/{upstream}/{path+}", "proxy", "proxy"),
    Route("POST", "/v1/token", "token", door="key"),
    Route("GET", "/.well-known/jwks.json", "token", door="certificate"),
)

# Splunk's HTTP Event Collector. Docker asks whether somebody is there (OPTIONS) before it has shown a token.
COLLECTOR: Final = "/services/collector"
COLLECTED: Final = 5_000_000
COLLECTOR_ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", COLLECTOR + path, "receive", door="signature", body=COLLECTED)
        for path in ("", "/event", "/event/1.0", "/raw", "/raw/1.0", "/ack")
    ),
    *(Route("OPTIONS", COLLECTOR + path, "receive", door="open") for path in ("", "/event", "/event/1.0")),
    *(Route("GET", COLLECTOR + path, "receive", door="open") for path in ("/health", "/health/1.0")),
)

# The webhook API: its senders have no certificates.
HOOK_ROUTES: tuple[Route, ...] = (
    Route("POST", "/hooks/{source}/{hook}", "receive", door="signature"),
    # A sender asks whether it may send, before it has anything to prove.
    Route("OPTIONS", "/hooks/{source}/{hook}", "receive", door="open"),
    # Whoever gives tokens signs in the deployment's name: the function that does so already.
    Route("POST", "/oauth/token", "token", door="secret"),
    Route("GET", "/.well-known/jwks.json", "token", door="open"),
    # The page is for everybody; what is posted to it proves itself by a link's token.
    Route("GET", "/approve", "approve", door="open"),
    Route("POST", "/approve", "approve", door="link"),
    *COLLECTOR_ROUTES,
)
