"""Tells what campaigns cost and bring."""
