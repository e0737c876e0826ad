"""The head of a request, before anything else counts: what two servers could read differently is refused.

aiohttp's parser is strict, but takes some heads that a proxy in front of us might understand otherwise, and
then one of the two sees a second request in what is a body for the other (RFC 9112, 11.2). Since any web page
in a browser can send requests to a loopback address, the service API also refuses hosts that are not loopback
names (DNS rebinding) and foreign origins.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11
from multidict import CIMultiDict

from sentinel.local.refusals import Refusal

MAX_HEAD = 10_240  # bytes of all headers of a request, as at API Gateway

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")


def check(request: web.BaseRequest, scheme: str) -> None:
    """Refuse a request by its head. `scheme` is what an `Origin` begins with; "": senders do not matter."""
    if request.version not in {HttpVersion10, HttpVersion11}:
        raise Refusal(400, "Malformed", "this is no request in HTTP/1.1")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEAD:
        raise Refusal(431, "TooLarge", f"the headers are over {MAX_HEAD} bytes")
    _check_coding(request)
    if scheme:
        check_sender(request.headers, scheme)


def _check_coding(request: web.BaseRequest) -> None:
    """Refuse transfer codings beside chunked (RFC 9112, 6.1), and any in HTTP/1.0, which knows none."""
    coding = request.headers.get("Transfer-Encoding")
    if coding is None:
        return
    if request.version == HttpVersion10:
        raise Refusal(400, "Malformed", "HTTP/1.0 has no Transfer-Encoding")
    if coding.lower() != "chunked":
        raise Refusal(400, "Malformed", "the one transfer coding here is chunked")


def check_sender(headers: CIMultiDict[str] | Any, scheme: str = "http") -> None:
    """Refuse what a web page made a browser send. Raises the refusal.

    A page that had its name point here sends that name as `Host`; one that posts across origins sends
    its own as `Origin`.
    """
    host = headers.get("Host", "")
    if not _is_loopback(host):
        raise Refusal(421, "Misdirected", "Host must be a loopback name: localhost, 127.0.0.1 or [::1]")
    origin = headers.get("Origin")
    if origin is not None and origin != f"{scheme}://{host}":
        raise Refusal(403, "Forbidden", "requests of other origins are not taken")


def _is_loopback(host: str) -> bool:
    """Say whether a `Host` (RFC 9110, 7.2: a name and perhaps a port, no more) is this machine's."""
    found = _HOST.fullmatch(host)
    name = found[1].strip("[]").lower() if found is not None else ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
