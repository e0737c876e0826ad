"""Proxy: a request that was let in goes to one of the deployment's upstreams, and the answer comes back.

Where to is the deployment's list alone: a caller chooses a name from it and a path below that upstream's own.
Nothing is tried twice, no redirect is followed, and bodies are passed on as they are, still encoded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urljoin, urlsplit

from sentinel.core import forwarding, trace, urls
from sentinel.core.upstreams import Upstream
from sentinel.errors import BadAnswer, Forbidden, Malformed, Missing, TimedOut, TooLarge, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
MAX_QUERY = 8_192  # characters, encoded
MAX_HEADERS = 100
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request to pass on. `path` is what stands behind the upstream's name, as the client sent it.

    `queries` has all values of each query parameter, decoded; `headers` and `repeated` are as in
    `entrypoints.web.Request`. `scheme` is what the client spoke with us, https or http.
    """

    method: str
    upstream: str
    path: str
    service: str
    request_id: str
    address: str = ""
    scheme: str = "https"
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeated: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Proxy:
    """The use case. `http` reaches the hosts of `upstreams` only, and reads a byte more than `max_bytes`.

    `seconds` bounds an exchange with an upstream, `max_bytes` a body, either way. `withheld` are names of
    headers, in lower case, that no upstream gets: the one that carries certificates, where there is one.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        http: Http,
        seconds: float,
        max_bytes: int,
        withheld: Collection[str] = (),
    ) -> None:
        self._upstreams = upstreams
        self._http = http
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._withheld = frozenset(withheld)

    def passed(self, call: Call) -> HttpResponse:
        """Pass a request on and return the answer, clean; header names in lower case.

        Raises `Missing` for an upstream that is not listed, `Malformed` and `TooLarge` for a request that
        cannot be passed on; `Unavailable` where the upstream cannot be reached, `TimedOut` where it took too
        long, `BadAnswer` where it broke off, redirects elsewhere or says too much.
        """
        upstream = self._upstreams.get(call.upstream)
        if upstream is None:
            raise Missing("there is no upstream of this name; SENTINEL_PROXY lists them")
        request = self._request(upstream, call)
        return self._answer(upstream, request.url, self._send(upstream, request))

    def _request(self, upstream: Upstream, call: Call) -> HttpRequest:
        if call.method not in METHODS:
            raise Malformed(f"the method is one of {', '.join(METHODS)}")
        if len(call.body) > self._max_bytes:
            raise TooLarge(f"the body is over {self._max_bytes} bytes; this is as much as is passed on")
        url = upstream.url(forwarding.clean_path(call.path))
        query = _query(call.queries)
        headers = self._headers(call)
        return HttpRequest(
            call.method, f"{url}?{query}" if query else url, headers, call.body, float(self._seconds)
        )

    def _headers(self, call: Call) -> dict[str, str]:
        if len(call.headers) > MAX_HEADERS:
            raise Malformed(f"the request has over {MAX_HEADERS} headers")
        headers = forwarding.onward(call.headers, call.repeated, self._withheld)
        headers["via"] = forwarding.via(headers.get("via", ""))
        if not _REQUEST_ID.fullmatch(headers.get("x-request-id", "")):
            headers["x-request-id"] = call.request_id
        headers |= forwarding.forwarded(call.address, call.headers.get("host", ""), call.scheme)
        headers |= {"sentinel-service": _header_text(call.service), "sentinel-request-id": call.request_id}
        return {name: value for name, value in {**headers, **_traced(headers, call)}.items() if value}

    def _send(self, upstream: Upstream, request: HttpRequest) -> HttpResponse:
        name = upstream.name
        try:
            return self._http.send(request)
        except TimedOut:
            raise TimedOut(f"the upstream {name} did not answer within {self._seconds} s") from None
        except BadAnswer:
            raise BadAnswer(f"the upstream {name} broke off or did not answer in HTTP") from None
        except Unavailable as error:
            raise Unavailable(f"the upstream {name} cannot be reached", error.retry_after) from None
        except Forbidden:
            # It was allowed by name, so its name resolves to what is never called: metadata services.
            raise BadAnswer(f"the upstream {name} has an address that is never called") from None

    def _answer(self, upstream: Upstream, url: str, answer: HttpResponse) -> HttpResponse:
        if len(answer.body) > self._max_bytes:
            raise BadAnswer(f"the upstream {upstream.name} answered with over {self._max_bytes} bytes")
        if not 200 <= answer.status <= 599:
            raise BadAnswer(f"the upstream {upstream.name} answered with a status that is none")
        headers = forwarding.back(answer.headers)
        headers["via"] = forwarding.via(headers.get("via", ""))
        if "location" in answer.headers:
            location = _location(upstream, url, answer.headers["location"])
            if location:
                headers["location"] = location
            elif 300 <= answer.status <= 399:
                raise BadAnswer(
                    f"the upstream {upstream.name} redirects to another place; it is not followed"
                )
        return HttpResponse(answer.status, headers, answer.body)


def _query(queries: Mapping[str, Sequence[str]]) -> str:
    pairs: Iterable[tuple[str, str]] = ((name, value) for name, values in queries.items() for value in values)
    text = urlencode(list(pairs), quote_via=quote, errors="replace")
    if len(text) > MAX_QUERY:
        raise Malformed(f"the query is over {MAX_QUERY} characters")
    return text


def _header_text(service: str) -> str:
    """Return a service id for a header: percent-encoded where it has more than ASCII."""
    return quote(service, safe="._:@+-")


def _traced(headers: Mapping[str, str], call: Call) -> dict[str, str]:
    found = None if "traceparent" in call.repeated else trace.parse(headers.get("traceparent", ""))
    if found is None:
        return {"traceparent": trace.started(call.request_id).header(), "tracestate": ""}
    return {"traceparent": found.header(), "tracestate": trace.state(headers.get("tracestate", ""))}


def _location(upstream: Upstream, url: str, location: str) -> str:
    """Return where an answer points as a path of ours; "" where that is not below the same upstream.

    Paths are those of our own API, so that a client that follows comes back through this door.
    """
    try:
        parts = urls.parse(urljoin(url, location))
        own = urlsplit(upstream.url(""))
        below = parts.path.removeprefix(own.path)
        if (parts.scheme, parts.hostname, _port(parts.scheme, parts.port)) != (
            own.scheme,
            own.hostname,
            _port(own.scheme, own.port),
        ) or not parts.path.startswith(own.path):
            return ""
        path = forwarding.clean_path(below)
    except (ValueError, Malformed):
        return ""
    query = f"?{parts.query}" if parts.query else ""
    return f"/v1/proxy/{upstream.name}/{path}{query}"


def _port(scheme: str, port: int | None) -> int:
    return port or (443 if scheme == "https" else 80)
