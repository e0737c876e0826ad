"""One-time links by which a person approves from wherever they are: made for one author, and used once.

A link is as good as its bearer: who has it decides in the author's name. So making one takes the keys that
sign access tokens, it counts for an hour unless told otherwise, and the lineage tells who had it made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.core.approval_links import LONGEST, Link, read, sign
from sentinel.core.approvals import Approver, Asked, Verdict
from sentinel.core.states import State
from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unauthenticated
from sentinel.ports import Tasks
from sentinel.usecases.approve import SEEN, USED, Decision

if TYPE_CHECKING:
    from sentinel.core.tokens import SigningKey
    from sentinel.usecases.approvers import Approvers
    from sentinel.usecases.directory import Directory

HOUR = 3600


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes links. `key` gives what signs at a time, `clock` is epoch nanoseconds, `url` the page's API."""

    tasks: Tasks
    approvers: Approvers
    key: Callable[[int], SigningKey]
    issuer: str
    url: str
    clock: Callable[[], int]

    def make(self, task_id: str, author: str, maker: str, within: int = HOUR) -> dict[str, object]:
        """Return a link for an author to decide on what a task asks now, within so many seconds.

        It ends when the approval does. Raises `Missing`, `Conflict` where the task asks nothing, `Forbidden`
        where the author is not asked or `maker` made what is asked, `Malformed`, and `Unavailable`.
        """
        if not 0 < within <= LONGEST:
            raise Malformed(f"a link counts for 1 to {LONGEST:,} seconds")
        task = self.tasks.get(task_id)
        if task is None:
            raise Missing("there is no such task")
        if not self.url:
            raise Malformed("no links are made here: set SENTINEL_APPROVE_URL to where the webhook API is")
        asked = Asked.of(task.asked)
        if asked is None or task.state is not State.AWAITING_APPROVAL:
            raise Conflict(f"task {task.id} is {task.state}, and asks for no approval")
        if maker in asked.makers:  # who makes a link has it, and would be somebody else by it
            raise Forbidden(f"{maker} made what is asked: somebody else makes links to approve it")
        approver = self.person(author)
        if not approver.among(asked.by):
            raise Forbidden(f"{author} is not asked: {', '.join(asked.by)} are")
        now = self.clock() // SECOND
        until = min(now + within, asked.until // SECOND)
        link = Link(task.id, asked.digest, approver.id, maker, secrets.token_urlsafe(16), until)
        token = sign(link, self.issuer, now, self.key(now))
        return {"url": f"{self.url.rstrip('/')}/approve#{token}", "for": approver.id, "until": until}

    def person(self, author: str) -> Approver:
        """Return an author. Raises `Missing` where there is none."""
        try:
            return self.approvers.linked(author)
        except Unauthenticated as error:
            raise Missing(f"{error}: links are for authors, see `sentinel authors ls`") from None


@dataclass(frozen=True, slots=True)
class LinkReader:
    """Takes links. `clock` is in epoch nanoseconds."""

    tasks: Tasks
    approvers: Approvers
    directory: Directory
    issuer: str
    clock: Callable[[], int]

    def open(self, token: str) -> tuple[Link, Approver]:
        """Return what a link says and whom it is for. Raises `Unauthenticated`, `Unavailable`."""
        now = self.clock() // SECOND
        try:
            link = read(token, self.directory.signing_keys(), self.issuer, now)
        except Unauthenticated:
            self.directory.refresh_jwks()  # its key may be newer than what is known here
            link = read(token, self.directory.signing_keys(), self.issuer, now)
        return link, self.approvers.linked(link.approver)

    def check(self, link: Link, approver: Approver, found: dict[str, object]) -> None:
        """Hold a link against what is shown, before anybody decides.

        Raises `Conflict` where it is for something else or was used, `Forbidden` where its author is not
        asked any more.
        """
        task = self.tasks.get(link.task)
        asked = Asked.of(task.asked) if task is not None else None
        if asked is None or link.id in asked.used:
            raise Conflict(USED)
        if not approver.among(asked.by):
            raise Forbidden(f"{approver.id} is not asked: {', '.join(asked.by)} are")
        if link.digest != found["digest"]:
            raise Conflict(SEEN.replace("look again", "ask for another link"))


def decision(link: Link, approver: Approver, verdict: Verdict, why: str) -> Decision:
    """Return what is said by a link."""
    return Decision(approver, verdict, link.digest, why, link=link.id, maker=link.maker)
