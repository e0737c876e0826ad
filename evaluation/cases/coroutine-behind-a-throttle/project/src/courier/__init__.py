"""Sends notifications over mail, text messages and web hooks."""
