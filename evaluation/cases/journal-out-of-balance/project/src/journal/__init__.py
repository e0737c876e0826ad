"""Keeps a journal of double entries."""
