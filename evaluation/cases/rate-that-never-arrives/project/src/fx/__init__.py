"""Converts invoices into euros."""
