"""What Sentinel works with in the example: a shop that fails, a collector that is told, rules and recipes.

The documents name ports 8088 and 8090. Where one is taken, a free one is used and written in its place.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from examples.checkout.server import PORT as SHOP_PORT
from examples.checkout.server import ShopServer
from examples.loopback_hec import Collector, Server
from examples.shop_repository import ShopRepository
from sentinel.bootstrap import App
from sentinel.cli import document_checks, documents

HERE = Path(__file__).resolve().parent
HEC_PORT = 8088
SECRET = "hec-token"  # noqa: S105 - a secret's name
PATHS = (HERE / "rules", HERE / "recipes", HERE / "sinks.yaml")

Made = TypeVar("Made")


class Desk:
    """The servers around Sentinel. `home` is Sentinel's folder: the collector's token is a secret there."""

    def __init__(
        self,
        home: Path,
        ports: tuple[int, int] = (HEC_PORT, SHOP_PORT),
        repository: ShopRepository | None = None,
    ) -> None:
        token = _token(home / "secrets" / SECRET)
        folder = home / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        self.repository = repository or ShopRepository(home)
        self.hec = _first(lambda port: Server(Collector(token), port), ports[0])
        self.shop = _first(lambda port: ShopServer(folder, port), ports[1])

    def open(self) -> None:
        """Begin to serve."""
        self.hec.start()
        self.shop.start()

    def close(self) -> None:
        """Stop serving."""
        self.shop.stop()
        self.hec.shutdown()
        self.hec.server_close()

    def push(self, app: App) -> list[dict[str, object]]:
        """Check the example's rules, recipes and sinks and push them."""
        found, problems = documents.read([*PATHS, *self.repository.documents()])
        ports = {
            b"127.0.0.1:%d" % HEC_PORT: b"127.0.0.1:%d" % self.hec.server_address[1],
            b"127.0.0.1:%d" % SHOP_PORT: b"127.0.0.1:%d" % self.shop.server_address[1],
        }
        for default, actual in ports.items():
            found = [dataclasses.replace(each, body=each.body.replace(default, actual)) for each in found]
        problems += document_checks.check(app, found)
        if problems:
            raise SystemExit("\n".join(problems))
        return documents.push(app, found)


def _first(make: Callable[[int], Made], port: int) -> Made:
    try:
        return make(port)
    except OSError:
        return make(0)


def _token(path: Path) -> str:
    """Return the collector's token, made on the first run."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()
