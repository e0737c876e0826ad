"""An emulator without anything deployed, once a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployed.emulator import Emulator, run_folder


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """Run one emulator for these tests."""
    with run_folder() as folder:
        made = Emulator(folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()
