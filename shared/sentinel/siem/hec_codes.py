"""The codes of Splunk's HTTP Event Collector, from its page "Troubleshoot HTTP Event Collector"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODES: Final[Mapping[int, str]] = {
    0: "success",
    1: "token disabled",
    2: "token is required",
    3: "invalid authorization",
    4: "invalid token",
    5: "no data",
    6: "invalid data format",
    7: "incorrect index",
    8: "internal server error",
    9: "server is busy",
    10: "data channel is missing",
    11: "invalid data channel",
    12: "event field is required",
    13: "event field cannot be blank",
    14: "acknowledgement is disabled",
    15: "error in handling indexed fields",
    16: "query string authorization is not enabled",
    18: "queues are full",
    19: "acknowledgement service is down",
    20: "queues are full and acknowledgement service is down",
    21: "invalid token",
    22: "token disabled",
    23: "server is shutting down",
    24: "accepted; queue is approaching its capacity",
    25: "accepted; acknowledgement queue is approaching its capacity",
    26: "queue is at capacity",
    27: "acknowledgement queue is at capacity",
}
