"""Benchmarks, one a module: `python -m benchmarks.<name> [--json]` prints figures and their targets."""
