"""What mutants of the changed lines prove: that tests would notice if these lines did something else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.junit import belongs
from sentinel.core.mutants import Mutant
from sentinel.core.proven import reason
from sentinel.core.proving import Reason


@dataclass(frozen=True, slots=True)
class Noticed:
    """Mutants, and whether some test noticed each."""

    tried: Sequence[tuple[Mutant, bool]]

    @property
    def count(self) -> int:
        """How many were noticed."""
        return sum(noticed for _, noticed in self.tried)

    @property
    def share(self) -> float:
        """How many of all were noticed, 0 to 1; where there were none, all."""
        return self.count / len(self.tried) if self.tried else 1.0

    @property
    def survivors(self) -> list[Mutant]:
        """Those that were not."""
        return [mutant for mutant, noticed in self.tried if not noticed]

    @property
    def untested(self) -> list[str]:
        """The lines of which no mutant was noticed."""
        lines: dict[tuple[str, int], bool] = {}
        for mutant, noticed in self.tried:
            place = (mutant.path, mutant.line)
            lines[place] = lines.get(place, False) or noticed
        return [f"{path}:{line}" for (path, line), noticed in lines.items() if not noticed]

    @property
    def boundaries(self) -> list[str]:
        """The lines of which a boundary was moved and not noticed."""
        return sorted({f"{each.path}:{each.line}" for each in self.survivors if each.boundary})

    @property
    def guards(self) -> list[str]:
        """The lines of checks that no test sees refuse anything."""
        return sorted({f"{each.path}:{each.line}" for each in self.survivors if each.guard})


def reasons(noticed: Noticed, least: float) -> Iterator[Reason]:
    """Yield what speaks against a patch: what no test cares for, or too small a share."""
    if noticed.untested:
        lines = noticed.untested
        yield reason("unnoticed", f"no test notices what {len(lines)} lines do: {', '.join(lines[:5])}")
    if noticed.boundaries:
        some = ", ".join(noticed.boundaries[:5])
        yield reason("unnoticed", f"no test notices whether the boundary is in or out: {some}")
    if noticed.guards:
        yield reason("unnoticed", f"no test sees what is refused here: {', '.join(noticed.guards[:5])}")
    if noticed.share < least:
        some = "; ".join(each.told for each in noticed.survivors[:5])
        yield reason("unnoticed", f"{noticed.count} of {len(noticed.tried)} mutants are noticed, not {some}")


def order_of(tests: Mapping[str, str], path: str, new: Collection[str]) -> list[str]:
    """Return files of tests in the order in which they likely notice a change of the file at a path.

    >>> order_of({"tests/test_a.py": "import a", "tests/test_b.py": "import b"}, "src/b.py", ())
    ['tests/test_b.py', 'tests/test_a.py']
    """
    name = path.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")[2]
    brought = {each for each in tests if any(belongs(test, each) for test in new)}
    return sorted(tests, key=lambda each: (each not in brought, name not in tests[each], each))
