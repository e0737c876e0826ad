"""Keeps the baskets of a shop."""
