"""Shows a service its chains and tasks: the `GET` routes."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("control", bootstrap)
