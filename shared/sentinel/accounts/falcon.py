"""The account `falcon`: CrowdStrike's Falcon API. What to send, and what its answers mean.

An API client of the Falcon console signs in with id and secret (OAuth2 client credentials) for a token of
half an hour. Nothing of an answer's text is ever repeated: reasons are ours, and name statuses and numbers.
Hosts are cut off the network by this API, so the account says which: none, unless it lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import orjson
from pydantic import Field, StringConstraints, model_validator

from sentinel.accounts.account import AccountConfig
from sentinel.errors import (
    BadAnswer,
    Forbidden,
    Limited,
    Malformed,
    Missing,
    Rejected,
    Unauthenticated,
)
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, json_object, retry_after
from sentinel.siem.check import Question
from sentinel.siem.sink import SecretName, Token

CLOUDS: Mapping[str, str] = {
    "us-1": "https://api.crowdstrike.com",
    "us-2": "https://api.us-2.crowdstrike.com",
    "eu-1": "https://api.eu-1.crowdstrike.com",
    "us-gov-1": "https://api.laggar.gcw.crowdstrike.com",
    "us-gov-2": "https://api.us-gov-2.crowdstrike.mil",
}
LIFE = 1799.0  # seconds of a token where the answer does not say
LONGEST_WAIT = 900.0  # seconds that Falcon may ask us to wait
EVERY = "every"  # in the place of ids: all hosts of the account
_CREDENTIALS = re.compile(r"([!-9;-~]{8,200}):([!-~]{8,200})")
_STATUSES = frozenset({"normal", "containment_pending", "contained", "lift_containment_pending"})

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class FalconConfig(AccountConfig):
    """`token` names the secret that holds `CLIENT_ID:CLIENT_SECRET` of the API client.

    Either `cloud` or `url`. `hosts` are agent ids, or `every`; `groups` ids of host groups: a host that is in
    neither is not contained, nor is its containment lifted.
    """

    kind: Literal["falcon"]
    cloud: Literal["us-1", "us-2", "eu-1", "us-gov-1", "us-gov-2"] | None = None
    url: Annotated[str, Target] | None = None
    token: SecretName
    member_cid: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}(-[0-9a-fA-F]{2})?$")] = ""
    hosts: tuple[Id, ...] | Literal["every"] = Field(default=(), max_length=1000)
    groups: tuple[Id, ...] = Field(default=(), max_length=100)
    timeout: float = Field(default=10.0, ge=1, le=20)

    @model_validator(mode="after")
    def _somewhere(self) -> FalconConfig:
        if (self.cloud is None) == (self.url is None):
            raise ValueError(f"either cloud, one of {', '.join(CLOUDS)}, or url says where the API is")
        return self

    @property
    def base(self) -> str:
        """Where the API is, without a slash at its end."""
        return self.url or CLOUDS[self.cloud or "us-1"]

    def check(self, secret: str) -> Question:
        """Sign in, then ask for what the actions read."""
        from sentinel.accounts.falcon_check import signed_in

        return Question(login(self, secret), lambda response: signed_in(self, response))


@dataclass(frozen=True, slots=True)
class Device:
    """A host as Falcon tells of it: its agent id, its state of containment ("" if unknown), its groups."""

    id: str
    status: str
    groups: frozenset[str]


def login(config: FalconConfig, secret: str) -> HttpRequest:
    """Return the request for a token. Raises `Malformed` for a secret that is of another form."""
    found = _CREDENTIALS.fullmatch(secret.strip())
    if found is None:
        raise Malformed(f"the secret {config.token} is not CLIENT_ID:CLIENT_SECRET, as Falcon shows the two")
    form = {"client_id": found[1], "client_secret": found[2]}
    form |= {"member_cid": config.member_cid} if config.member_cid else {}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return HttpRequest(
        "POST", f"{config.base}/oauth2/token", headers, urlencode(form).encode(), config.timeout
    )


def token(response: HttpResponse, now: int) -> Token:
    """Read the answer to `login`. `now` is in epoch nanoseconds. Raises `Unavailable`, `Forbidden`."""
    told = json_object(response)
    text, seconds = told.get("access_token"), told.get("expires_in")
    if response.status in {200, 201} and isinstance(text, str) and re.fullmatch(r"[!-~]+", text):
        life = float(seconds) if isinstance(seconds, int) and 0 < seconds < 90_000 else LIFE
        return Token(text, life)
    _passing(response, now, "the sign-in at Falcon")
    if response.status in {301, 302, 307, 308}:
        region = response.headers.get("x-cs-region", "").lower()
        right = f"cloud: {region}" if region in CLOUDS else "the cloud that the Falcon console is in"
        raise Forbidden(f"the API client is of another cloud ({response.status}): the account needs {right}")
    why = {
        400: "its id or member_cid is not of the form that Falcon takes",
        401: "its id or secret is not valid",
        403: "it is not valid, is of another cloud, or may not be used from this address",
        404: "there is no Falcon API at this address",
    }.get(response.status, "no token came")
    raise Forbidden(f"Falcon refuses the API client: {why} ({response.status})")


def hosts_request(config: FalconConfig, access: str) -> HttpRequest:
    """Return the request for the id of any host: it tells whether hosts may be read."""
    return _request(config, access, "GET", "/devices/queries/devices/v1?limit=1")


def alerts_request(config: FalconConfig, access: str) -> HttpRequest:
    """Return the request for the id of any alert: it tells whether alerts may be read."""
    return _request(config, access, "GET", "/alerts/queries/alerts/v2?limit=1")


def device_request(config: FalconConfig, access: str, host: str) -> HttpRequest:
    """Return the request that reads a host."""
    return _request(config, access, "GET", f"/devices/entities/devices/v2?ids={quote(host, safe='')}")


def device(response: HttpResponse, host: str, now: int) -> Device:
    """Read the answer to it. Raises `Missing` for no such host, else as `answered`."""
    for each in _resources(answered(response, now, "Hosts: Read")):
        if each.get("device_id") == host:
            status, groups = each.get("status"), each.get("groups")
            known = status.lower() if isinstance(status, str) else ""
            ids = frozenset(map(str, groups)) if isinstance(groups, list) else frozenset[str]()
            return Device(host, known if known in _STATUSES else "", ids)
    raise Missing(f"Falcon has no host {host}: is the account's API client of the host's customer?")


def contained_by(
    config: FalconConfig, access: str, action: Literal["contain", "lift_containment"], host: str
) -> HttpRequest:
    """Return the request that contains a host, or lifts that."""
    path = f"/devices/entities/devices-actions/v2?action_name={action}"
    return _request(config, access, "POST", path, {"ids": [host]})


def may_touch(config: FalconConfig, found: Device) -> None:
    """Raise `Forbidden` for a host whose containment is not the account's to change."""
    if config.hosts != EVERY and found.id not in config.hosts and not found.groups & set(config.groups):
        raise Forbidden(
            f"host {found.id} is not among the hosts of the account, and in none of its groups: "
            "nothing else is contained"
        )


def alert_request(config: FalconConfig, access: str, alert: str) -> HttpRequest:
    """Return the request that reads an alert by its composite id."""
    return _request(config, access, "POST", "/alerts/entities/alerts/v2", {"composite_ids": [alert]})


def alert_entity(response: HttpResponse, alert: str, now: int) -> Mapping[str, Any]:
    """Read the answer to it: the alert as Falcon has it. Raises `Missing`, else as `answered`."""
    for each in _resources(answered(response, now, "Alerts: Read")):
        if each.get("composite_id") == alert:
            return each
    raise Missing("Falcon has no such alert: is the account's API client of the alert's customer?")


def alert_update(config: FalconConfig, access: str, alert: str, changes: Mapping[str, str]) -> HttpRequest:
    """Return the request that changes an alert: what to do, by Falcon's names, and with which value."""
    parameters = [{"name": name, "value": value} for name, value in changes.items()]
    body = {"composite_ids": [alert], "action_parameters": parameters}
    return _request(config, access, "PATCH", "/alerts/entities/alerts/v3", body)


def answered(response: HttpResponse, now: int, scope: str) -> Mapping[str, object]:
    """Return the JSON of an answer that says yes. `scope` is what the API client needs for the request.

    Raises `Unauthenticated` where the token is refused, `Unavailable` where it may work later, and `Rejected`
    where it will not.
    """
    status = response.status
    told = json_object(response)
    if status in {200, 201, 202} and not _wrong(told):
        if not told:
            raise BadAnswer("Falcon's answer is none")
        return told
    _passing(response, now, "Falcon")
    if status == 401:
        raise Unauthenticated("Falcon refuses the token (401)")
    if status == 403:
        raise Forbidden(f"the API client may not: it needs the scope {scope} (403)")
    if status == 404:
        raise Missing("Falcon has no such host or alert (404)")
    raise Rejected(f"Falcon does not take the request ({_wrong(told) or status})")


def _passing(response: HttpResponse, now: int, who: str) -> None:
    """Raise `Unavailable` for what passes by itself, with the wait that the answer asks for."""
    status = response.status
    if status in {408, 425, 429}:
        limited = Limited(f"{who} answered {status}", _wait(response, now))
        limited.unsent = True  # that is, nothing was done
        raise limited
    if status >= 500:
        error = BadAnswer(f"{who} answered {status}")
        error.retry_after = _wait(response, now)
        raise error


def _wait(response: HttpResponse, now: int) -> float:
    """Return the seconds to wait: until `X-Ratelimit-RetryAfter` (epoch seconds), or `Retry-After`."""
    text = response.headers.get("x-ratelimit-retryafter", "").strip()
    if re.fullmatch(r"[0-9]{9,11}", text):
        return min(max(int(text) - now / 10**9, 1.0), LONGEST_WAIT)
    return min(retry_after(response) or 1.0, LONGEST_WAIT)


def _wrong(told: Mapping[str, object]) -> int:
    """Return the code of the first error that an answer tells beside its status; 0 where it tells none."""
    errors = told.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    code = first.get("code") if isinstance(first, dict) else None
    return (code if isinstance(code, int) and 0 < code < 1000 else 500) if first is not None else 0


def _resources(told: Mapping[str, object]) -> list[Mapping[str, Any]]:
    found = told.get("resources")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _request(
    config: FalconConfig, access: str, method: str, path: str, body: Mapping[str, object] | None = None
) -> HttpRequest:
    headers = {"Authorization": f"Bearer {access}", "Accept": "application/json"}
    headers |= {"Content-Type": "application/json"} if body is not None else {}
    data = orjson.dumps(body) if body is not None else b""
    return HttpRequest(method, config.base + path, headers, data, config.timeout)
