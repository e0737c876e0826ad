"""What passes the proxy: paths that mean one thing, and headers that nobody can mistake."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel.core.forwarding import back, clean_path, forwarded, onward, via
from sentinel.errors import Malformed


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ""),
        ("items", "items"),
        ("items/", "items/"),
        ("items/a%20b", "items/a%20b"),
        ("items/a b", "items/a%20b"),
        ("items/ü/%c3%bc", "items/%C3%BC/%C3%BC"),
        ("a;v=1/b,c:@!$&'()*+=~-._", "a;v=1/b,c:@!$&'()*+=~-._"),
        ("a?b#c", "a%3Fb%23c"),
        ("...a/.well-known/a..b", "...a/.well-known/a..b"),
        ("100%25", "100%25"),
    ],
)
def test_paths_that_pass(path: str, found: str) -> None:
    """Encoded and decoded spellings of one path become one; nothing of it becomes a query."""
    assert clean_path(path) == found


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a/./b",
        "%2e%2e/a",
        "%2E./a",
        ".%2e/a",
        "%252e%252e/a",
        "%25252e/a",
        "a%2fb",
        "a%2Fb",
        "..%2fa",
        "a%5cb",
        "a\\..\\b",
        "..%5c",
        "..;/a",
        "..;x=1/a",
        ";/a",
        "%2e%2e;/a",
        ". ./a",
        ".. /a",
        "..%20/a",
        "..%c2%a0/a",
        "%c0%ae%c0%ae/a",
        "%c0%af",
        "%ff",
        "．．/a",
        "‥/a",
        "a／..／b",
        "/a",
        "//a",
        "a//b",
        "a%",
        "a%2",
        "a%zz",
        "a%00",
        "a\0",
        "a%0d%0aHost: x",
        "a\r\nHost: x",
        "a%09",
        "a%7f",
        "a\x85",
        "a%c2%85",
        "x" * 4097,
    ],
)
def test_paths_that_do_not(path: str) -> None:
    """Traversal in every disguise, encoded slashes, two layers of encoding, control characters."""
    with pytest.raises(Malformed):
        clean_path(path)


_ODD = st.sampled_from(
    [
        "..",
        ".",
        "%2e",
        "%2E",
        "%252e",
        "%2f",
        "/",
        "\\",
        "%5c",
        ";",
        " ",
        "%20",
        "%00",
        "%0d%0a",
        "\r\n",
        "%",
        "a",
        "?",
        "#",
    ]
)


@given(st.one_of(st.text(max_size=40), st.lists(_ODD, max_size=8).map("".join)))
@example("a%25%32%65")
def test_what_passes_stays_below(path: str) -> None:
    """Whatever comes: what passes is printable ASCII, stable, and goes nowhere when decoded again."""
    try:
        found = clean_path(path)
    except Malformed:
        return
    assert re.fullmatch(r"(?:[A-Za-z0-9!$&'()*+,;=:@~._/-]|%[0-9A-F]{2})*", found)
    assert clean_path(found) == found
    text = found
    for _ in range(3):
        for segment in re.split(r"[/\\]", unicodedata.normalize("NFKC", text)):
            assert segment.partition(";")[0].strip() not in {".", ".."}
        assert not re.search(r"[\x00-\x1f\x7f\\]", text)
        text = unquote(text)
    assert found.count("/") == text.count("/")


def test_what_an_upstream_must_not_get() -> None:
    """Secrets, claims of identity, hop-by-hop headers and what `Connection` names are left out."""
    gone = {
        "authorization": "Bearer x",
        "client-cert": ":x:",
        "connection": "close, X-Gone, sentinel-service",
        "content-length": "1",
        "cookie": "a=b",
        "expect": "100-continue",
        "forwarded": "for=1.2.3.4",
        "host": "x",
        "keep-alive": "1",
        "proxy": "http://evil",
        "proxy-authorization": "x",
        "sentinel-request-id": "x",
        "sentinel-service": "admin",
        "sentinel_service": "admin",
        "te": "trailers",
        "trailer": "x",
        "transfer-encoding": "chunked",
        "upgrade": "h2c",
        "x-forwarded-client-cert": "x",
        "x-forwarded-for": "1.2.3.4",
        "x-gone": "1",
        "x-http-method-override": "DELETE",
        "x-mtls": "x",
        "x-original-url": "/admin",
        "x.forwarded.for": "x",
        "x_forwarded_for": "1.2.3.4",
        "-x": "1",
        "x-": "1",
        "": "1",
        "x y": "1",
        "x:y": "1",
    }
    kept = {"accept": "*/*", "content-type": "text/plain", "accept-encoding": "gzip", "if-match": '"x"'}
    assert onward({**gone, **kept}, {}, ["x-mtls"]) == kept


def test_headers_that_come_again() -> None:
    """Lists are joined in order; two values where one makes sense are refused."""
    assert onward({"accept": "b"}, {"accept": ["a", "b"]}) == {"accept": "a, b"}
    with pytest.raises(Malformed, match="content-type came 2 times"):
        onward({"content-type": "b"}, {"content-type": ["a", "b"]})
    assert onward({"connection": "b", "a": "1", "b": "1"}, {"connection": ["a", "b"]}) == {}


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7f", "a\x0b", "ü", "€"])
def test_values_that_are_refused(value: str) -> None:
    """Line breaks, control characters and what is not ASCII are no header's value, and are not quoted."""
    with pytest.raises(Malformed) as refused:
        onward({"x-thing": value}, {})
    assert value not in str(refused.value)
    with pytest.raises(Malformed):
        onward({"x-thing": "a"}, {"x-thing": [value, "a"]})


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=6))
def test_whatever_passes_is_clean(headers: dict[str, str]) -> None:
    """Names are letters, digits and hyphens, values printable; no name of ours is among them."""
    told = {name.lower(): value for name, value in headers.items()}
    for found in (back(told), _onward(told)):
        for name, value in found.items():
            assert re.fullmatch(r"[a-z0-9-]+", name)
            assert re.fullmatch(r"[\t\x20-\x7e]*", value)
            assert not name.startswith("sentinel-")


def _onward(headers: dict[str, str]) -> dict[str, str]:
    try:
        return onward(headers, {})
    except Malformed:
        return {}


def test_what_a_client_does_not_get_back() -> None:
    """Cookies and policies of our host name, hop-by-hop headers, and ours from anybody but us."""
    gone = {
        "alt-svc": "h3",
        "connection": "x-inner",
        "content-length": "5",
        "keep-alive": "5",
        "location": "http://inner/",
        "sentinel-request-id": "forged",
        "set-cookie": "a=b",
        "strict-transport-security": "max-age=1",
        "transfer-encoding": "chunked",
        "x-inner": "1",
        "x-bad": "a\x00b",
    }
    kept = {"content-type": "text/html", "content-encoding": "gzip", "etag": '"x"', "x-folded": "a b"}
    assert back({**gone, **kept, "x-folded": "a\r\n  b"}) == kept


@pytest.mark.parametrize(
    ("address", "host", "value"),
    [
        ("192.0.2.1", "api.example.com", "for=192.0.2.1;host=api.example.com;proto=https"),
        (
            "2001:db8::1",
            "api.example.com:8443",
            'for="[2001:db8::1]";host="api.example.com:8443";proto=https',
        ),
        ("", 'a";for=evil', 'host="a\\";for=evil";proto=https'),
        ("192.0.2.1", "a\r\nb", "for=192.0.2.1;proto=https"),
    ],
)
def test_forwarded(address: str, host: str, value: str) -> None:
    """RFC 7239: addresses of version 6 in brackets, quotes where they are needed, nothing that breaks out."""
    assert forwarded(address, host, "https")["forwarded"] == value


def test_via_grows_at_its_end() -> None:
    """RFC 9110, 7.6.3: each intermediary adds itself behind the others."""
    assert via() == "1.1 sentinel"
    assert via("1.0 fred") == "1.0 fred, 1.1 sentinel"
