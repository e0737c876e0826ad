"""URLs of other people's servers: what is taken for one, in documents and in requests."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def parse(url: str) -> SplitResult:
    """Take an http or https URL apart. Raises `ValueError` that says what to change and never quotes it.

    >>> parse("https://hec.example.com:8088/services").hostname
    'hec.example.com'
    >>> parse("https://me:secret@example.com/")
    Traceback (most recent call last):
    ValueError: the URL holds a user or a password; credentials come from a secret
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL holds blanks, line breaks or characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the URL cannot be read") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or "%" in host or "\\" in url or port == 0:
        raise ValueError("the URL begins with https:// or http:// and names a host")
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user or a password; credentials come from a secret")
    return parts


def safe_for_secrets(parts: SplitResult) -> bool:
    """Whether a secret may travel there: over TLS, or not beyond this machine."""
    return parts.scheme == "https" or parts.hostname in _LOOPBACK
