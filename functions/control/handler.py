"""Shows a service its chains and tasks, and does what people want done to tasks."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("control", bootstrap)
