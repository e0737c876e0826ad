"""What of a request and of an answer passes through the proxy: paths and headers, made clean.

Names of headers are in lower case. Two sides must never read one request differently, so whatever could be
read in two ways is refused or left out: paths that change under decoding, names that a server would fold
into another name, values with line breaks. Sources: RFC 9110 (5.5, 5.6.2, 7.6), RFC 3986 (3.3, 5.2.4),
RFC 7239 (`Forwarded`), RFC 9440 (`Client-Cert`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import quote, unquote_to_bytes

from sentinel.errors import Malformed

MAX_PATH = 4_096  # characters of a path behind the upstream's own
NAME = "sentinel"  # what we call ourselves in `Via`

# RFC 9110, 7.6.1, and what older software sends in its place.
_HOP = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What the connection to the other side sets itself.
_CONNECTION = frozenset({"content-length", "expect", "host"})
# A caller's secrets, which are meant for Sentinel. Cookies are of a host name, and all upstreams share ours.
_SECRETS = frozenset({"authorization", "cookie", "cookie2"})
# Who somebody is, as a proxy in front of an upstream says it: here only Sentinel does.
_CLAIMS = frozenset(
    {
        "cf-connecting-ip",
        "client-cert",
        "client-cert-chain",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "proxy",
        "remote-user",
        "true-client-ip",
        "x-client-cert",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-host",
        "x-http-host-override",
        "x-real-ip",
        "x-remote-user",
        "x-user",
    }
)
_CLAIMING = ("sentinel-", "x-amzn-mtls-", "x-forwarded-", "x-ssl-", "ssl-client-", "x-client-cert-")
# What makes an upstream see another method or another path than was checked.
_REROUTING = frozenset({"x-http-method", "x-http-method-override", "x-method-override", "x-rewrite-url"})
_REROUTING_BY = ("x-original-", "x-accel-", "x-sendfile")
# Of an answer: what speaks for the whole host name, which is ours, or sends the client elsewhere.
_OF_THE_HOST = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "content-location",
        "expect-ct",
        "location",
        "nel",
        "public-key-pins",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "x-content-type-options",
    }
)
# Of which one value makes sense; two would be read differently by different servers (RFC 9110, 5.3).
_SINGLE = frozenset(
    {
        "content-range",
        "content-type",
        "date",
        "from",
        "if-modified-since",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "origin",
        "range",
        "referer",
        "user-agent",
        "x-request-id",
    }
)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,126}[a-z0-9])?")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_FOLDED = re.compile(r"\r?\n[ \t]+")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN = "!$&'()*+,;=:@~-._%"  # pchar of RFC 3986, and the % of what is encoded already


def clean_path(path: str) -> str:
    """Return the path behind an upstream's own, encoded: it names one thing, below that path.

    `path` may be percent-encoded or, as some gateways hand it over, decoded. Raises `Malformed` for
    segments `.` and `..` in any disguise, empty segments but the last, backslashes, control characters,
    encoded slashes, what is encoded twice, and what is not UTF-8.

    >>> clean_path("items/a%20b/ü")
    'items/a%20b/%C3%BC'
    >>> clean_path("items/%2e%2e/admin")
    Traceback (most recent call last):
    ...
    sentinel.errors.Malformed: the path has a segment that leads elsewhere
    """
    if len(path) > MAX_PATH:
        raise Malformed(f"the path is over {MAX_PATH} characters")
    for found in _PERCENT.finditer(path):
        if found[1] is None:
            raise Malformed("the path has a % that encodes nothing")
    try:
        plain = unquote_to_bytes(path).decode()
    except UnicodeError:
        raise Malformed("the path is not UTF-8") from None
    if plain.count("/") != path.count("/"):
        raise Malformed("the path has an encoded slash; it could be read in two ways")
    if any(found[1] for found in _PERCENT.finditer(plain)):
        raise Malformed("the path is encoded twice; it could be read in two ways")
    for text in (plain, unicodedata.normalize("NFKC", plain)):
        _check_segments(text)
    return _PERCENT.sub(lambda found: found[0].upper(), quote(path, safe=_PLAIN + "/"))


def _check_segments(plain: str) -> None:
    if "\\" in plain or any(unicodedata.category(each) == "Cc" for each in plain):
        raise Malformed("the path has a backslash or a control character")
    segments = plain.split("/")
    if "" in segments[:-1]:
        raise Malformed("the path has an empty segment")
    for segment in segments:
        # Some servers cut `;parameters`, some trailing blanks and dots, before they look at a segment.
        if segment and not segment.partition(";")[0].strip(" .\u00a0"):
            raise Malformed("the path has a segment that leads elsewhere")


def onward(
    headers: Mapping[str, str], repeated: Mapping[str, Sequence[str]], withheld: Collection[str] = ()
) -> dict[str, str]:
    """Return the headers of a request that an upstream gets from the client.

    Names with anything but letters, digits and inner hyphens are left out: gateway interfaces fold others
    together, so that `Sentinel_Service` would count as `Sentinel-Service`. `withheld` are more names to
    leave out. Raises `Malformed` for a value that is not printable ASCII, and for two values where one
    makes sense; other names that came again become one list.
    """
    dropped = _HOP | _CONNECTION | _SECRETS | _CLAIMS | _REROUTING | _named(headers, repeated) | set(withheld)
    found = {}
    for name, value in headers.items():
        if name in dropped or not _NAME.fullmatch(name) or name.startswith(_CLAIMING + _REROUTING_BY):
            continue
        values = repeated.get(name, (value,))
        if name in _SINGLE and len(values) > 1:
            raise Malformed(f"the header {name} came {len(values)} times; it may come once")
        if not all(map(_VALUE.fullmatch, values)):
            raise Malformed(
                f"the header {name} has characters beyond printable ASCII, which are not passed on"
            )
        found[name] = ", ".join(each.strip(" \t") for each in values)
    return found


def back(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that the client gets from an upstream.

    Left out are hop-by-hop headers, what speaks for our host name (cookies, HSTS), where to go next
    (`Location` is the caller's part), and whatever no header may have.
    """
    dropped = _HOP | _CONNECTION | _OF_THE_HOST | _named(headers, {})
    found = {}
    for name, value in headers.items():
        text = _FOLDED.sub(" ", value).strip(" \t")
        if name in dropped or name.startswith("sentinel-"):
            continue
        if _NAME.fullmatch(name) and _VALUE.fullmatch(text):
            found[name] = text
    return found


def _named(headers: Mapping[str, str], repeated: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the names that `Connection` lists: headers of this connection alone (RFC 9110, 7.6.1)."""
    values: Iterable[str] = repeated.get("connection", (headers.get("connection", ""),))
    return {name.strip(" \t").lower() for value in values for name in value.split(",")}


def via(received: str = "") -> str:
    """Return `Via` with ourselves at its end (RFC 9110, 7.6.3)."""
    return f"{received}, 1.1 {NAME}" if received else f"1.1 {NAME}"


def forwarded(address: str, host: str, scheme: str) -> dict[str, str]:
    """Return `Forwarded` (RFC 7239) and the older headers that say the same. Unknown parts are left out.

    >>> forwarded("2001:db8::1", "api.example.com", "https")["forwarded"]
    'for="[2001:db8::1]";host=api.example.com;proto=https'
    """
    told = {"for": f"[{address}]" if ":" in address else address, "host": host, "proto": scheme}
    known = {name: value for name, value in told.items() if value and _VALUE.fullmatch(value)}
    headers = {"forwarded": ";".join(f"{name}={_quoted(value)}" for name, value in known.items())}
    if "for" in known:
        headers["x-forwarded-for"] = address
    if "host" in known:
        headers["x-forwarded-host"] = host
    headers["x-forwarded-proto"] = scheme
    return headers


def _quoted(value: str) -> str:
    if _TOKEN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
