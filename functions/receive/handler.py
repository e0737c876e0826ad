"""Takes webhooks in, says who may send them, and takes log events: `/hooks/...` and `/services/collector`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("receive", bootstrap)
