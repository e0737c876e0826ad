"""The workers of patches start when there is something that patches are made for, and cost nothing before."""

from __future__ import annotations

from pathlib import Path

from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.local.home import names_of_patches


def test_a_repository_or_a_model_has_them_start(tmp_path: Path) -> None:
    """Neither a missing catalog nor other documents do."""
    assert not names_of_patches(tmp_path)
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.push("rule", "r", b"title: x")
    assert not names_of_patches(tmp_path)
    catalog.push("model", "models", b"models: {}")
    assert names_of_patches(tmp_path)
    catalog.close()
