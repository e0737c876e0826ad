"""Rotates secrets as Secrets Manager asks, and each day what is old; publishes the trust store."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.rotation import secret_rotation

handler = secret_rotation("rotate", bootstrap)
