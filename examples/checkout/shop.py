"""The shop: carts in SQLite, prices in several currencies, vouchers, payment at a bank that is not reliable.

Its failures are real, and left in: those of `pricing`, and a checkout while the stock is counted runs into
SQLite's lock.
"""

from __future__ import annotations

import logging
import sqlite3
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from examples.checkout.pricing import PRICES, RATES, converted, price

TRIES = 3
LOCK_SECONDS = 0.15

log = logging.getLogger("checkout.shop")


class Refused(Exception):
    """Something that the customer can change."""


class Shop:
    """One shop on one SQLite file; `bank` is the address that takes payments."""

    def __init__(self, path: Path, bank: str) -> None:
        self._path = path
        self._bank = bank
        self.careful = False
        with closing(self._connect()) as db:
            db.executescript(
                "PRAGMA journal_mode = WAL;"
                "CREATE TABLE IF NOT EXISTS items (cart TEXT, sku TEXT, quantity INTEGER);"
                "CREATE TABLE IF NOT EXISTS orders (cart TEXT PRIMARY KEY, cents INTEGER, currency TEXT);"
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None)

    def open_cart(self) -> str:
        """Return a new cart's id."""
        return uuid4().hex[:12]

    def add(self, cart: str, sku: str, quantity: int) -> None:
        """Put something into a cart."""
        if sku not in PRICES or quantity < 1:
            raise Refused("there is no such thing")
        with closing(self._connect()) as db:
            db.execute("INSERT INTO items VALUES (?, ?, ?)", (cart, sku, quantity))

    def check_out(self, cart: str, currency: str, voucher: str | None) -> int:
        """Pay for a cart; return the price in cents of `currency`."""
        if self.careful and currency not in RATES:
            log.warning("currency refused", extra={"cart": cart, "event": "currency-refused"})
            raise Refused("this currency is not taken")
        with closing(self._connect()) as db:
            items = db.execute("SELECT sku, quantity FROM items WHERE cart = ?", (cart,)).fetchall()
            if self.careful and not items:
                raise Refused("the cart is empty")
            cents = converted(price(items, voucher), currency)
            self._pay(cart, cents, currency)
            db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (cart, cents, currency))
        log.info("paid", extra={"cart": cart, "cents": cents, "currency": currency, "event": "paid"})
        return cents

    def _pay(self, cart: str, cents: int, currency: str) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                body = f"{cart} {cents} {currency}".encode()
                with urllib.request.urlopen(self._bank, body, timeout=1) as answer:
                    answer.read()
            except (urllib.error.URLError, OSError) as error:
                facts = {"cart": cart, "attempt": attempt, "event": "payment-retry"}
                log.warning("the bank did not take the payment: %s", error, extra=facts)
                time.sleep(0.01 * attempt)
            else:
                return
        log.error("payment given up", extra={"cart": cart, "event": "payment-given-up"})
        raise Refused("the bank does not answer")

    def count_stock(self, seconds: float) -> None:
        """Count what is sold, with the whole database locked for as long as it takes."""
        with closing(self._connect()) as db:
            db.execute("BEGIN EXCLUSIVE")
            db.execute("SELECT sku, sum(quantity) FROM items GROUP BY sku").fetchall()
            time.sleep(seconds)
            db.execute("COMMIT")
