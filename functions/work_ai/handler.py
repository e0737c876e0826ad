"""Carries out the stages that ask models: woken by dispatch and by a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("work_ai", bootstrap, workers.worker("ai"))
