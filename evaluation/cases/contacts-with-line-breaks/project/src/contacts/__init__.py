"""Imports contacts that were exported from spreadsheets."""
