"""The client library of Sentinel: logs are on disk before the call returns, and are sent exactly once."""
