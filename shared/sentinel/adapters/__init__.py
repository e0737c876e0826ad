"""All input and output. Each module implements a port against one real thing."""
