"""Carries out the stages that read repositories and prove patches: woken by dispatch and by a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("work_read", bootstrap, workers.worker("read"))
