"""The endpoints of checkpoints and proofs. `api.ENDPOINTS` takes `CHAIN_ENDPOINTS` in.

A chain id is `owner/lane`, so it stands in a path as it is: no slash has to be encoded, which gateways and
proxies treat in ways of their own. Only the owner's own calls are answered; to others there is no such chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sentinel.core.chain import chain_id
from sentinel.entrypoints.web import Request, Response, json_response
from sentinel.errors import Malformed, Missing

if TYPE_CHECKING:
    from sentinel.bootstrap import App

_LANE = re.compile(r"0|[1-9][0-9]?")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")


def _chain(request: Request) -> str:
    """Return the chain that is asked about. Raises `Missing` where it is not the caller's."""
    owner, lane = unquote(request.params["owner"]), request.params["lane"]
    if not owner or owner != request.identity.service or not _LANE.fullmatch(lane):
        raise Missing("there is no such chain")
    return chain_id(owner, int(lane))


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"{name} is a whole number of up to 15 digits, 0 or more")
    return int(text)


def checkpoint(app: App, request: Request) -> Response:
    """`GET /v1/chains/{owner}/{lane}/checkpoint`: the newest checkpoint, or one by its number."""
    from sentinel.usecases.prove_chain import checkpoint_json

    chain, number = _chain(request), _number(request, "number")
    return json_response(200, checkpoint_json(app.prove_chain.checkpoint(chain, number)))


def proof(app: App, request: Request) -> Response:
    """`GET /v1/chains/{owner}/{lane}/proof`: of an entry (`entry`), or of growth (`from`, `to`)."""
    chain = _chain(request)
    entry, number = _number(request, "entry"), _number(request, "checkpoint")
    first, second = _number(request, "from"), _number(request, "to")
    if entry is not None and first is None and second is None:
        return json_response(200, app.prove_chain.entry(chain, entry, number).json())
    if entry is None and first is not None and number is None:
        return json_response(200, app.prove_chain.between(chain, first, second).json())
    raise Malformed("ask for an entry (entry, and maybe checkpoint), or for growth (from, and maybe to)")


CHAIN_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("GET", "/v1/chains/{owner}/{lane}/checkpoint"): checkpoint,
    ("GET", "/v1/chains/{owner}/{lane}/proof"): proof,
}
