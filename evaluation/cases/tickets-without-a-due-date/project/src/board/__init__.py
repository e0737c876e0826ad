"""A board of tickets."""
