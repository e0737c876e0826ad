"""Reports the response times of a service."""
