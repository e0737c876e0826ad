"""The action `falcon.contain_host`: cut a host off the network, but for Falcon itself, until that is lifted.

Containing is asynchronous: Falcon takes the wish and the host's sensor carries it out when it is online. The
step is done when Falcon says that the host is contained. It is done only as people have approved it.
"""

from __future__ import annotations

from sentinel.actions.falcon_containment import Containment


class ContainHost(Containment):
    """Contains."""

    name = "falcon.contain_host"
    action = "contain"
    start = "normal"
    wanted = "contained"
