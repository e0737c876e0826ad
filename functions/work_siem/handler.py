"""Carries out the steps that tell SIEMs: woken by dispatch and by a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("work_siem", bootstrap, workers.worker("siem"))
