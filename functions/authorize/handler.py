"""Decides who comes in: the REQUEST authorizer of the service API."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.authorizer import authorizer

handler = authorizer("authorize", bootstrap)
