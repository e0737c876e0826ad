"""What can go wrong with rates.

    TransportError      one try failed
      Timeout           the service did not answer in time; it may the next time
      Refused           the service does not take the request; asking again is no use
    RateUnavailable     there is no rate for now: convert later
"""

from __future__ import annotations


class TransportError(Exception):
    """One try failed."""


class Timeout(TransportError):
    """The service did not answer in time."""


class Refused(TransportError):
    """The service does not take the request, now or later."""


class RateUnavailable(Exception):
    """There is no rate for now."""
