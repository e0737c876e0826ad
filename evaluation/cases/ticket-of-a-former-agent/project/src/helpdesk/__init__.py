"""Assigns tickets to the agents of a help desk."""
