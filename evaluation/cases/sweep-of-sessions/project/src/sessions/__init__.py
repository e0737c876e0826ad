"""Keeps the sessions of users who are signed in."""
