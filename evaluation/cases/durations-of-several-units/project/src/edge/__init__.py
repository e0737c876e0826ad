"""A reverse proxy for the edge."""
