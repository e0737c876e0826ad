"""What a recipe allows the patches of its tasks, and what they may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sentinel.core.recipe_fields import Glob, Strict

if TYPE_CHECKING:  # recipes are read by functions that never judge a patch
    from sentinel.core.patch_policy import Policy


class PatchPolicy(Strict):
    """The `policy` of a recipe. Costs are of one task, all of its candidates and corrections together."""

    paths: tuple[Glob, ...] = Field(default=("src/**", "tests/**"), min_length=1, max_length=50)
    max_files: int = Field(default=10, ge=1, le=100)
    max_changed_lines: int = Field(default=200, ge=1, le=5_000)
    max_cost_usd: float = Field(default=2.0, ge=0, le=1_000)
    max_tokens: int = Field(default=400_000, ge=1_000, le=10_000_000)
    context_tokens: int = Field(default=24_000, ge=4_000, le=400_000)
    candidates: int = Field(default=2, ge=1, le=5)
    mutants: float = Field(default=0.8, ge=0, le=1)

    def gate(self, infrastructure: tuple[str, ...] = ()) -> Policy:
        """Return what the gate judges by; a repository's own `infrastructure` is added."""
        from sentinel.core.patch_policy import Policy

        return Policy(self.paths, infrastructure, self.max_files, self.max_changed_lines)
