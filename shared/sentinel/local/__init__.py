"""The local runner: the same handlers on one machine. Never part of a Lambda layer."""
