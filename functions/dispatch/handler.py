"""Hints workers at tasks that became queued: the tasks' change feed."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import feeds
from sentinel.entrypoints.aws import stream

handler = stream("dispatch", bootstrap, feeds.dispatch)
