"""Who the users of a tenant are and what they may do."""
