"""Sheets of stock for hand scanners."""
