"""Approvers: who somebody is that approves, and whether a recipe asks for more of them than there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core.access import Author
from sentinel.core.approval_statements import Statement, opened
from sentinel.core.approvals import ACTION, SERVICE, Approver, How
from sentinel.core.recipes import Recipe
from sentinel.core.signing import valid
from sentinel.errors import Forbidden, Unauthenticated
from sentinel.usecases.authors import Authors, named


@dataclass(frozen=True, slots=True)
class Approvers:
    """Knows people by the registry's authors. `clock` is in epoch nanoseconds.

    `required` says that the deployment requires signatures, so that nobody's mere word counts.
    """

    authors: Authors
    clock: Callable[[], int]
    required: bool = False

    def signed(self, envelope: object) -> tuple[Approver, Statement]:
        """Return who signed an approval, and what it says.

        Raises `Malformed`, `Unauthenticated`, and `Unavailable` as the registry does.
        """
        known = self._valid()
        name, statement = opened(envelope, {each.id: each.public for each in known.values()})
        return Approver(name, How.SIGNED, frozenset(known[name].groups)), statement

    def linked(self, author_id: str) -> Approver:
        """Return the author that a link was made for. Raises `Unauthenticated` where there is none."""
        found = self._valid().get(author_id)
        if found is None:
            raise Unauthenticated(f"there is no author {author_id} here, or its time is over")
        return Approver(found.id, How.LINK, frozenset(found.groups))

    def operator(self, name: str) -> Approver:
        """Return somebody by the word of who runs the command here.

        Raises `Forbidden` where more than a word can be had: signatures are required, or the name is that of
        an author or of a group of authors, who have keys, or of a service.
        """
        if self.required:
            raise Forbidden("this deployment requires signatures: approve with --key")
        if name.startswith(SERVICE):
            raise Forbidden("a service approves by the API, with its own certificate and token")
        # Whose key is trusted no more has no word instead of it.
        if any(named(name, each.id, *each.groups) for each in self.authors.everyone()):
            raise Forbidden(f"{name} is an author, or a group of authors, who have keys: approve with --key")
        return Approver(name, How.OPERATOR)

    def removed(self) -> frozenset[str]:
        """Return the authors who are trusted no more, for what they approved before neither."""
        return frozenset(each.id for each in self.authors.everyone() if each.removed)

    def _valid(self) -> dict[str, Author]:
        known = self.authors.listing()
        keys = valid(known, self.clock() / 1_000_000_000)
        return {each.id: each for each in known if each.id in keys}


def service(service_id: str) -> Approver:
    """Return a service as an approver."""
    return Approver(f"{SERVICE}{service_id}", How.SERVICE)


def unreachable(
    recipe: Recipe, authors: Iterable[Author], *, required: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the approval steps that nobody can satisfy: the step's index, and why.

    An entry of `by` that is no author, group or service yet may be anybody's, unless signatures are
    `required`: then it is nobody's.
    """
    known = list(authors)
    for index, step in enumerate(recipe.steps):
        if step.uses != ACTION:
            continue
        members, strangers = _members(step.with_, known)
        needs = int(step.with_.get("needs", 1))
        if strangers and not required:
            continue
        if len(members) < needs:
            unknown = f"; there is no author or group {', '.join(sorted(strangers))}" if strangers else ""
            yield index, f"needs: {needs} of {len(members)} approvers can never be reached{unknown}"
        elif members <= {recipe.author}:
            yield index, f"by: {recipe.author} is the recipe's author and does not approve it alone"


def _members(inputs: Mapping[str, Any], authors: Iterable[Author]) -> tuple[set[str], set[str]]:
    """Return who may approve, and the entries that name nobody who is known."""
    members: set[str] = set()
    strangers: set[str] = set()
    for name in inputs["by"]:
        found = {each.id for each in authors if name == each.id or name in each.groups}
        members |= found or ({name} if name.startswith(SERVICE) else set())
        strangers |= set() if found or name.startswith(SERVICE) else {name}
    return members, strangers
