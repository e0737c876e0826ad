"""Reads the statements that banks send, and adds them up."""
