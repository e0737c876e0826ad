"""Where the real inputs are: a folder beside the checkout that is not part of the repository."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def need(*parts: str) -> Path:
    """Return a path below the real inputs, or skip the test with the reason."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the real inputs: {'/'.join(parts)} is not beside this checkout")
    return path
