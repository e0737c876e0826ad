"""The action `falcon.lift_containment`: let a contained host back on the network.

It needs approval like containing: what brought the host there may still be on it.
"""

from __future__ import annotations

from sentinel.actions.falcon_containment import Containment


class LiftContainment(Containment):
    """Lifts."""

    name = "falcon.lift_containment"
    action = "lift_containment"
    start = "contained"
    wanted = "normal"
