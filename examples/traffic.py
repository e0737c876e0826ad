"""Customers for the shop in `examples.checkout`: most buy, some find its bugs.

python -m examples.traffic http://127.0.0.1:8090
"""

from __future__ import annotations

import json
import random
import sys
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CUSTOMERS = 60
_SKUS = ("tea", "cup", "pot", "strainer")


def post(url: str, value: object) -> tuple[int, dict[str, Any]]:
    """Post JSON; return the status and the answer."""
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def customer(url: str, number: int, seed: int) -> int:
    """Fill a cart and pay; return the status of the checkout."""
    luck = random.Random(seed * 1000 + number)
    cart = post(f"{url}/carts", {})[1]["cart"]
    hurry = number % 12 == 5  # takes the voucher and forgets to take anything else
    for _ in range(0 if hurry else luck.randint(1, 3)):
        post(f"{url}/carts/{cart}/items", {"sku": luck.choice(_SKUS), "quantity": luck.randint(1, 3)})
    currency = "JPY" if number % 8 == 3 else luck.choice(("EUR", "USD", "GBP"))
    voucher = "WELCOME5" if hurry or luck.random() < 0.2 else None
    return post(f"{url}/carts/{cart}/checkout", {"currency": currency, "voucher": voucher})[0]


def drive(url: str, customers: int = CUSTOMERS, seed: int = 1) -> Counter[int]:
    """Send customers, six at a time, while somebody counts the stock; return how often each status came."""
    with ThreadPoolExecutor(7) as pool:
        stock = pool.submit(post, f"{url}/stocktaking", {"seconds": 0.4})
        found = Counter(pool.map(lambda number: customer(url, number, seed), range(customers)))
        stock.result()
    return found


if __name__ == "__main__":
    for status, count in sorted(drive(sys.argv[1]).items()):
        sys.stdout.write(f"{status}: {count}\n")
