"""Carries out the steps that propose changes to repositories: woken by dispatch and by a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import workers
from sentinel.entrypoints.aws import invoked

handler = invoked("work_git", bootstrap, workers.worker("git"))
