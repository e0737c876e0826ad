"""A fixture of pytest, `sentinel_log`: name this module in `pytest_plugins`, and tests have what they log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .testing import Captured, capture


@pytest.fixture
def sentinel_log() -> Iterator[Captured]:
    """Capture what the test logs."""
    with capture() as log:
        yield log
