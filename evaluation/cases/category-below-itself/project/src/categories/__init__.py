"""Imports the categories of suppliers."""
