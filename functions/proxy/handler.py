"""Passes requests on to upstreams: `ANY /v1/proxy/{upstream}/{path+}`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("proxy", bootstrap)
