"""Certificates of Amazon SNS, fetched over TLS from SNS itself and kept.

Anybody can name a certificate, and so have one looked for: a process looks for a few in a minute, no more.
Those that are kept are of use meanwhile. What a name stands for never changes, so none is fetched twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from sentinel.core import sns
from sentinel.errors import Forbidden, Unavailable
from sentinel.ports import Http, HttpRequest

HOSTS: Final = ("*.amazonaws.com", "*.amazonaws.com.cn")  # of which `certificate_url` leaves those of SNS
MOST: Final = 64  # certificates that are kept, those used last
FETCHES: Final = 10  # in `WINDOW`
WINDOW: Final = 60.0  # seconds
TIMEOUT: Final = 4.0  # seconds


class SnsCertificates:
    """Keeps `ports_doors.Certificates`. `http` must allow SNS's hosts; `monotonic` is in seconds.

    Safe to share between threads: two may fetch the same at once, which harms nothing.
    """

    def __init__(self, http: Http, monotonic: Callable[[], float]) -> None:
        self._http = http
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._fetches: deque[float] = deque(maxlen=FETCHES)

    def get(self, url: str) -> bytes:
        """See `ports_doors.Certificates`."""
        if not sns.certificate_url(url):
            raise Forbidden("certificates are fetched from sns.REGION.amazonaws.com only")
        with self._lock:
            pem = self._kept.get(url)
            if pem is not None:
                self._kept.move_to_end(url)
                return pem
            self._count()
        pem = self._fetch(url)
        with self._lock:
            self._kept[url] = pem
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return pem

    def _count(self) -> None:
        """Count one fetch. Raises `Unavailable` where it would be one too many."""
        now = self._monotonic()
        if len(self._fetches) == FETCHES and now - self._fetches[0] < WINDOW:
            raise Unavailable("too many certificates of SNS were asked for", WINDOW)
        self._fetches.append(now)

    def _fetch(self, url: str) -> bytes:
        answer = self._http.send(HttpRequest("GET", url, timeout=TIMEOUT))
        pem = answer.body
        if answer.status != 200 or len(pem) > sns.MAX_PEM or b"-----BEGIN CERTIFICATE-----" not in pem:
            raise Unavailable(f"SNS gave no certificate but status {answer.status}", 10.0)
        return pem
