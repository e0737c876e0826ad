"""Certificates of Amazon SNS, fetched over TLS from SNS itself and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from sentinel.core import sns
from sentinel.errors import Forbidden, Unavailable
from sentinel.ports import Http, HttpRequest

HOSTS: Final = ("*.amazonaws.com", "*.amazonaws.com.cn")  # of which `certificate_url` leaves those of SNS
KEPT: Final = 24 * 3600.0  # seconds: their content never changes, the name says which it is
MOST: Final = 32  # of them: a region has one or two
TIMEOUT: Final = 4.0  # seconds


class SnsCertificates:
    """Keeps `ports_doors.Certificates`. `http` must allow SNS's hosts; `monotonic` is in seconds.

    Safe to share between threads: two may fetch the same at once, which harms nothing.
    """

    def __init__(self, http: Http, monotonic: Callable[[], float]) -> None:
        self._http = http
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, bytes]] = {}

    def get(self, url: str) -> bytes:
        """See `ports_doors.Certificates`."""
        if not sns.certificate_url(url):
            raise Forbidden("certificates are fetched from sns.REGION.amazonaws.com only")
        now = self._monotonic()
        with self._lock:
            since, pem = self._kept.get(url, (0.0, b""))
        if pem and now - since < KEPT:
            return pem
        pem = self._fetch(url)
        with self._lock:
            while len(self._kept) >= MOST and url not in self._kept:
                del self._kept[next(iter(self._kept))]
            self._kept[url] = (now, pem)
        return pem

    def _fetch(self, url: str) -> bytes:
        answer = self._http.send(HttpRequest("GET", url, timeout=TIMEOUT))
        if (
            answer.status != 200
            or len(answer.body) > sns.MAX_PEM
            or b"-----BEGIN CERTIFICATE-----" not in answer.body
        ):
            raise Unavailable(f"SNS gave no certificate but status {answer.status}", 10.0)
        return answer.body
