from edge.settings import load

load({"HOSTNAME": "edge-7f9c", "EDGE_UPSTREAM_TIMEOUT": "45s", "EDGE_CACHE_FOR": "1h30m", "EDGE_TRACING": "off"})
