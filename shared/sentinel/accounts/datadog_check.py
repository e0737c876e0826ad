"""How an account of Datadog is asked: each key by itself, then each of the scopes that replies use."""

from __future__ import annotations

from sentinel.accounts.account import wrong
from sentinel.accounts.datadog_requests import WHO, Requests
from sentinel.accounts.replying import listed
from sentinel.ports import HttpResponse
from sentinel.siem.answers import json_object, passing
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, throttled

_EVENTS = {"filter[from]": "now-1m", "filter[to]": "now", "page[limit]": "1"}
_DOWNTIMES = {"current_only": "true", "page[limit]": "1"}


def first(requests: Requests) -> Question:
    """Return the first question: whether the API key is valid."""
    return Question(requests.get("/api/v1/validate", {}), lambda response: _api(requests, response))


def _api(requests: Requests, response: HttpResponse) -> Finding:
    if response.status in {401, 403}:
        return _key("API key", response)
    if response.status != 200 or json_object(response).get("valid") is not True:
        return wrong(WHO, response, "")
    request = requests.get("/api/v2/validate_keys", {})
    return Question(request, lambda answer: _app(requests, answer))


def _app(requests: Requests, response: HttpResponse) -> Finding:
    if response.status in {401, 403}:
        return _key("application key", response)
    if passing(response):
        return throttled(response.status)
    if response.status == 200 and json_object(response).get("status") != "ok":
        return elsewhere(200, f"API of {WHO}")
    request = requests.get("/api/v2/events", _EVENTS)  # a site without that question tells it there
    return Question(request, lambda answer: _events(requests, answer))


def _events(requests: Requests, response: HttpResponse) -> Finding:
    if response.status != 200:
        return wrong(WHO, response, "give the application key the scope events_read")
    if listed(response, "data") is None:
        return elsewhere(200, f"API of {WHO}")
    return Question(requests.get("/api/v2/downtime", _DOWNTIMES), _downtimes)


def _downtimes(response: HttpResponse) -> Finding:
    if response.status == 403:
        return Sound(
            "both keys are valid and events can be told; alerts cannot be muted: for that the application "
            "key needs the scope monitors_downtime (403)"
        )
    if response.status != 200 or listed(response, "data") is None:
        return wrong(WHO, response, "")
    return Sound("both keys are valid, and of the scopes that replies need none is missing")


def _key(which: str, response: HttpResponse) -> Wrong:
    hint = "look at the secret that `token` names: is each key whole, in its place, and of this site?"
    return Wrong(Level.CREDENTIALS, f"{WHO} refuses the {which} ({response.status})", hint)
