"""Bills subscriptions."""
