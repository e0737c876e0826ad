"""The shop's own repository, made in Sentinel's folder: what a patch is made for, and who is asked for one.

Where a provider's key is in the environment (`ANTHROPIC_API_KEY` or `OPENAI_API_KEY`) its model is asked, and
the key is kept as a secret of the home; else the answers are from a file, and said to be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRET = "model.example"  # noqa: S105 - a secret's name
ANSWERS = "answers.json"
# By the variable that has a key: the kind, the API's host, and a model with its prices by `EXAMPLE_MODEL`.
PROVIDERS = {
    "ANTHROPIC_API_KEY": ("anthropic", "api.anthropic.com", "claude-sonnet-5-5"),
    "OPENAI_API_KEY": ("openai", "api.openai.com", "gpt-6.1-terra"),
}
_WHO = ("-c", "user.name=Shop", "-c", "user.email=shop@example.com", "-c", "commit.gpgsign=false")
_DATE = "2026-11-01T09:00:00+00:00"


class ShopRepository:
    """The repository below `home`, made on the first run. `off` says why no patch is made, or nothing."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.path = home.resolve() / "repositories" / "checkout"
        self.off = _why_not()
        self.asked = next((name for name in PROVIDERS if os.environ.get(name)), "")
        if not (self.path / ".git").is_dir():
            self._make()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that a model is asked at; none where nobody is."""
        return (PROVIDERS[self.asked][1],) if self.asked else ()

    def documents(self) -> Iterator[Path]:
        """Write the documents of the repository and the model; yield them, the rule and the recipe."""
        yield HERE / "patching" / "crash.yml"
        if not self.off:
            yield HERE / "patching" / "patch-checkout.yaml"
        folder = self._home / "documents"
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / "repositories.yaml"
        place.write_text(
            "repositories:\n"
            f"  checkout: {{kind: local, name: shop/checkout, path: {str(self.path)!r}, roots: [src]}}\n"
        )
        yield place
        models = folder / "models.yaml"
        models.write_text(f"models:\n  desk: {self._model()}\n")
        yield models

    def _model(self) -> str:
        if not self.asked:
            shutil.copyfile(HERE / "patching" / ANSWERS, self._home / ANSWERS)
            return f"{{kind: scripted, file: {ANSWERS}}}"
        kind, _, model = PROVIDERS[self.asked]
        key = self._home / "secrets" / SECRET
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_text(os.environ[self.asked])
        model = os.environ.get("EXAMPLE_MODEL", model)
        return f"{{kind: {kind}, model: {model}, key: {SECRET}, prices: {{input: 5, output: 25}}}}"

    def _make(self) -> None:
        """Make the repository with one commit: the code that the shop runs, and its tests."""
        shutil.copytree(HERE / "patching" / "repository", self.path, dirs_exist_ok=True)
        package = self.path / "src" / "checkout"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        shutil.copyfile(HERE / "checkout" / "pricing.py", package / "pricing.py")
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("add", "--all")
        self._git(*_WHO, "commit", "--quiet", "--message=What a cart costs")

    def _git(self, *words: str) -> None:
        dates = {"GIT_AUTHOR_DATE": _DATE, "GIT_COMMITTER_DATE": _DATE}
        apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            cwd=self.path,
            env={**os.environ, **dates, **apart},
            check=True,
            capture_output=True,
        )


def _why_not() -> str:
    """Say why no patch could be proven on this machine; "" where one could."""
    from sentinel.adapters.sandbox_bwrap import here
    from sentinel.errors import Unavailable

    try:
        here()
    except Unavailable as error:
        return str(error)
    return ""
