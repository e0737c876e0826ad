"""Signs a checkpoint of every chain: a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import sealing
from sentinel.entrypoints.aws import invoked

handler = invoked("seal", bootstrap, sealing.seal)
