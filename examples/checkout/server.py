"""The shop's web server and its bank, both real HTTP servers on 127.0.0.1.

    python -m examples.checkout.server --sentinel https://127.0.0.1:8787 --home .sentinel

POST /carts, POST /carts/ID/items {sku, quantity}, POST /carts/ID/checkout {currency, voucher},
POST /stocktaking {seconds}, POST /incidents (the shop becomes careful).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from examples.checkout.shipping import handler_for
from examples.checkout.shop import Refused, Shop
from sentinel.cli.clients import local_credentials

PORT = 8090
log = logging.getLogger("checkout.http")


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing on standard error: the shop logs through logging."""

    def body(self) -> bytes:
        """Read the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self, status: int, value: object) -> None:
        """Answer with JSON."""
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class _Bank(_Quiet):
    """Takes four payments of five, says 503 to some, and hangs up on others."""

    server: BankServer

    def do_POST(self) -> None:
        self.body()
        luck = self.server.luck.random()
        if luck < 0.15:
            self.answer(503, {"error": "busy"})
        elif luck < 0.25:
            self.close_connection = True
        else:
            self.answer(200, {"taken": True})


class BankServer(ThreadingHTTPServer):
    """The bank. `seed` makes its moods repeatable."""

    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Bank)
        self.luck = random.Random(seed)


class _Till(_Quiet):
    server: ShopServer

    def do_POST(self) -> None:
        parts = self.path.strip("/").split("/")
        cart = parts[1] if len(parts) == 3 else ""
        raw = self.body()
        try:
            given = json.loads(raw or b"{}")
            self._route(parts, cart, given)
        except Refused as refusal:
            self.answer(422, {"error": str(refusal)})
        except Exception:
            log.exception("unhandled", extra={"cart": cart, "path": self.path})
            self.answer(500, {"error": "internal"})

    def _route(self, parts: list[str], cart: str, given: dict[str, Any]) -> None:
        shop = self.server.shop
        if parts == ["carts"]:
            self.answer(201, {"cart": shop.open_cart()})
        elif cart and parts[2] == "items":
            shop.add(cart, given["sku"], given["quantity"])
            self.answer(200, {})
        elif cart and parts[2] == "checkout":
            cents = shop.check_out(cart, given["currency"], given.get("voucher"))
            self.answer(200, {"cents": cents})
        elif parts == ["stocktaking"]:
            shop.count_stock(given["seconds"])
            self.answer(200, {})
        elif parts == ["incidents"]:
            self.server.incidents[str(self.headers.get("Idempotency-Key"))] = given
            shop.careful = True
            self.answer(201, {"careful": True})
        else:
            self.answer(404, {"error": "nothing here"})


class ShopServer(ThreadingHTTPServer):
    """The shop behind a socket on 127.0.0.1; `port` 0 takes a free one. `incidents` are those it was told."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, seed: int = 1) -> None:
        super().__init__(("127.0.0.1", port), _Till)
        self.bank = BankServer(seed)
        bank = f"http://127.0.0.1:{self.bank.server_address[1]}/pay"
        self.shop = Shop(folder / "shop.db", bank)
        self.incidents: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where the shop is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Serve in threads until `stop`."""
        for server in (self, self.bank):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        for server in (self, self.bank):
            server.shutdown()
            server.server_close()


def main() -> None:
    """Serve until Ctrl-C, logging to Sentinel."""
    parser = argparse.ArgumentParser(prog="python -m examples.checkout.server", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--sentinel", default="https://127.0.0.1:8787", help="the gateway's address")
    parser.add_argument("--home", type=Path, default=Path(".sentinel"), help="the folder of Sentinel's data")
    chosen = parser.parse_args()
    credentials = local_credentials(chosen.home, chosen.sentinel, "checkout")
    handler = handler_for(chosen.sentinel, "checkout", credentials, chosen.home)
    logging.basicConfig(level="INFO", handlers=[handler, logging.StreamHandler()])
    with tempfile.TemporaryDirectory() as folder:
        server = ShopServer(Path(folder), chosen.port)
        server.start()
        log.info("open at %s", server.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            server.stop()
            handler.close()


if __name__ == "__main__":
    main()
