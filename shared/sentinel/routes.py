"""The routes of the service API: the one list that CDK, the local gateway and the tests build from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `function` is the folder below `functions/` that answers it.

    `path` is in API Gateway's notation: `{name}` is one segment.
    """

    method: str
    path: str
    function: str


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/entries", "ingest"),
    Route("POST", "/v1/logs", "ingest"),
    Route("GET", "/v1/chains", "control"),
    Route("GET", "/v1/tasks", "control"),
    Route("GET", "/v1/tasks/{task}", "control"),
)
