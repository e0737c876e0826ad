"""Imports contacts from exports of other systems."""
