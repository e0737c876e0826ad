"""What the system does, one verb a module, written against the ports alone."""
