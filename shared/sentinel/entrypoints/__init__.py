"""Where the outside world's shapes become ours: requests, events, errors to statuses."""
