"""What can go wrong with privacy: a policy that cannot be, and an entry that could not be masked."""

from __future__ import annotations


class BadPolicy(ValueError):
    """The policy, or a key file that it names, is not as it has to be. The message says what to mend."""


class NotMasked(Exception):
    """An entry could not be masked, so it must not be written: it is dropped and counted as `masking`."""
