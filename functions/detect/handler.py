"""Matches new segments against the rules and creates tasks: the ledger's change feed."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import feeds
from sentinel.entrypoints.aws import stream

handler = stream("detect", bootstrap, feeds.detect)
