"""Serves files, whole or in part."""
