"""Takes orders from the webhooks of shops."""
