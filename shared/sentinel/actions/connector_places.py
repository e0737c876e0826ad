"""Where a connector leads, for people to read: a host, a bucket, a file; never a secret or a whole URL."""

from __future__ import annotations

from sentinel import siem
from sentinel.accounts.account import AccountConfig, Checkable
from sentinel.core import urls
from sentinel.ports import FileAppend, HttpRequest
from sentinel.ports_sinks import ObjectPut
from sentinel.siem.sink import Batch, Item, Notice, SinkConfig

SAMPLE = Notice(
    t=1_700_000_000_000_000_000,
    service="sample",
    chain="sample/0",
    seq=0,
    rule="sample",
    title="A sample, which is never sent",
    level="informational",
    task="sample",
    recipe="sample",
    key="00" * 32,
    entry=b'{"message": "a sample"}',
)


def of_sink(config: SinkConfig) -> str:
    """Return where a sink's requests go to, by one that is made and not sent."""
    it = siem.make(config)
    request = it.request(Batch("", (Item(SAMPLE.id, it.encode(SAMPLE)),)))
    if isinstance(request, HttpRequest):
        return _host(request.url)
    if isinstance(request, FileAppend):
        return request.path
    if isinstance(request, ObjectPut):
        return f"s3://{request.bucket}"
    return f"{request.host}:{request.port}"


def of_account(config: AccountConfig) -> str:
    """Return where an account is asked, or the first URL of its configuration; "" where there is none."""
    if base := getattr(config, "base", ""):
        return _host(base)
    if isinstance(config, Checkable):
        return _host(config.check("").request.url)
    told = config.model_dump().values()
    return next((_host(each) for each in told if isinstance(each, str) and each.startswith("http")), "")


def _host(url: str) -> str:
    return urls.parse(url).netloc  # which has no user: `parse` refuses one
