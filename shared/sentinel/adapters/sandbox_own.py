"""A sandbox in which programs that name no environment have that of Sentinel: an example needs no other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sentinel.core.proving import Limits, Ran
from sentinel.ports_patches import Sandbox


def never() -> bool:
    """Say that nothing is to stop."""
    return False


@dataclass(frozen=True, slots=True)
class OwnEnvironment:
    """See `ports_patches.Sandbox`."""

    sandbox: Sandbox

    def run(
        self,
        files: Sequence[tuple[str, str, bytes]],
        command: Sequence[str],
        limits: Limits,
        *,
        environment: str = "",
        variables: Sequence[tuple[str, str]] = (),
        bring: Sequence[str] = (),
        stopped: Callable[[], bool] = never,
    ) -> Ran:
        """Run a command; see `ports_patches.Sandbox`."""
        return self.sandbox.run(
            files,
            command,
            limits,
            environment=environment or sys.prefix,
            variables=variables,
            bring=bring,
            stopped=stopped,
        )
