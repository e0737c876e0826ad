"""Sentinel: seals logs and alerts into a tamper-evident chain and acts on them by replayable rules."""
