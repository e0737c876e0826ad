"""Delivers the ledger to sinks, all that deliveries ask for: a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import deliver
from sentinel.entrypoints.aws import invoked

handler = invoked("deliver", bootstrap, deliver.run)
