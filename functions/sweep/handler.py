"""Looks after tasks whose time has come: a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("sweep", bootstrap, workers.sweep)
