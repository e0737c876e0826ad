"""The endpoints of alerts. `api.ENDPOINTS` takes `ALERT_ENDPOINTS` in.

A service sees what its own webhooks told; a token with the scope `admin`, all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sentinel.entrypoints.api_tasks import limit_of, listed, owner_of
from sentinel.entrypoints.web import Request, Response, json_response

if TYPE_CHECKING:
    from sentinel.bootstrap import App


def alerts(app: App, request: Request) -> Response:
    """`GET /v1/alerts`: a page of alerts, the last heard first; one's own but for an admin."""
    from sentinel.usecases.show_alerts import Wanted

    query = request.query
    owner = listed(request, "alerts")
    wanted = Wanted.of(owner, query.get("status", ""), query.get("severity", ""))
    page = app.show_alerts.page(wanted, limit_of(query.get("limit")), query.get("next", ""))
    return json_response(200, page.json())


def alert(app: App, request: Request) -> Response:
    """`GET /v1/alerts/{alert}`: one alert with its history."""
    return json_response(200, app.show_alerts.one(owner_of(request), request.params["alert"]))


ALERT_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("GET", "/v1/alerts"): alerts,
    ("GET", "/v1/alerts/{alert}"): alert,
}
