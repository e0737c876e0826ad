"""Carries out the steps that call other systems: woken by dispatch and by a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("work_action", bootstrap, workers.worker("action"))
