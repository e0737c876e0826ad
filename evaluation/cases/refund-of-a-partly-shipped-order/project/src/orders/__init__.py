"""Orders from payment to delivery."""
