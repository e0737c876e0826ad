"""The pure core: no clock, no environment, no randomness, no I/O, no logging. Time and ids are arguments."""
