"""Celery: `connect()` where the application is made. Tasks' entries have `task_id`, `task` and the trace.

Celery takes the root logger's handlers away when a worker starts; ours is put back. A worker's processes each
have their own log on disk, and send what is in it when they end.
"""

from __future__ import annotations

import logging
from typing import Any

from ._context import context, current_context, parse_traceparent
from ._install import installed
from .handler import SentinelHandler

_running: dict[str, context] = {}


def connect() -> None:
    """Have the signals of Celery call us. Again, it does nothing more."""
    from celery import signals  # type: ignore[import-untyped] # it has no types

    signals.before_task_publish.connect(_publish, dispatch_uid="sentinel-publish")
    signals.task_prerun.connect(_begin, dispatch_uid="sentinel-begin")
    signals.task_postrun.connect(_end, dispatch_uid="sentinel-end")
    signals.after_setup_logger.connect(_attach, dispatch_uid="sentinel-logger")
    signals.after_setup_task_logger.connect(_attach, dispatch_uid="sentinel-task-logger")
    signals.worker_process_shutdown.connect(_flush, dispatch_uid="sentinel-process")
    signals.worker_shutdown.connect(_flush, dispatch_uid="sentinel-worker")


def _publish(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Send the trace with the task."""
    told = current_context()
    if headers is not None and "trace_id" in told and "span_id" in told:
        headers.setdefault("traceparent", f"00-{told['trace_id']}-{told['span_id']}-01")


def _begin(task_id: str = "", task: Any = None, **_: Any) -> None:
    header = getattr(getattr(task, "request", None), "traceparent", None)
    within = context(task_id=task_id, task=getattr(task, "name", ""), **parse_traceparent(header))
    within.__enter__()
    _running[task_id] = within


def _end(task_id: str = "", **_: Any) -> None:
    within = _running.pop(task_id, None)
    if within is not None:
        within.__exit__(None, None, None)


def _attach(logger: logging.Logger | None = None, **_: Any) -> None:
    """Give a logger that Celery has set up our handler, if it reaches none."""
    at = logger
    while at is not None:
        if any(isinstance(each, SentinelHandler) for each in at.handlers):
            return
        at = at.parent if at.propagate else None
    if logger is not None:
        logger.addHandler(SentinelHandler(client=installed()))


def _flush(**_: Any) -> None:
    client = installed()
    client.flush(client.options.exit_seconds)
