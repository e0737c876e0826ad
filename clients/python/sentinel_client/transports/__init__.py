"""Where entries go, one file a transport."""
