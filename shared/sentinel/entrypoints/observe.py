"""What a call leaves behind: structured log lines and metrics. Powertools in Lambda, plain logging elsewhere.

Log lines name services, chains and counts; never an entry, a token or a secret.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@functools.cache
def _in_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


@functools.cache
def _logger(function: str) -> Any:
    """Send the package's log lines through Powertools' JSON formatter."""
    from aws_lambda_powertools.logging import Logger

    logger = Logger(service=function)
    ours = logging.getLogger("sentinel")
    ours.handlers = logger.handlers
    ours.setLevel(logger.log_level)
    ours.propagate = False
    return logger


@functools.cache
def _metrics(function: str) -> Any:
    from aws_lambda_powertools.metrics import Metrics

    return Metrics(namespace="Sentinel", service=function)


@contextmanager
def call(function: str, context: Any) -> Iterator[None]:
    """Wrap one invocation: tie its log lines to the request, and flush its metrics at the end."""
    if not _in_lambda():
        yield
        return
    _logger(function).structure_logs(append=True, function_request_id=context.aws_request_id)
    try:
        yield
    finally:
        metrics = _metrics(function)
        if metrics.metric_set:
            metrics.flush_metrics()


def count(function: str, name: str, value: float) -> None:
    """Add to a counter of this function, for example the entries stored. Free where nobody collects."""
    if _in_lambda():
        _metrics(function).add_metric(name=name, unit="Count", value=value)


def tampered(function: str, error: Exception) -> None:
    """Tell whoever is on call that a stored chain does not verify."""
    logging.getLogger("sentinel").critical("tampered: %s", error)
    count(function, "tampered", 1)
