"""The action `alert.reply`: tell whoever told an alert what came of it, and resolve or mute it there.

Each kind of account looks for what an earlier attempt left before it acts; how, and what is left to chance
where two workers are at it in the same moment, is said in its file. The text of every reply carries the mark
of its effect, so that what comes twice can be told. An alert that tells what we did is never replied to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sentinel.accounts import AccountConfig
from sentinel.accounts.replying import Ending, Later, Refused, Replied, Reply, Replying, Unclear
from sentinel.actions.following import number, refused
from sentinel.actions.reply_talk import Leader, Would
from sentinel.core import replies, urls
from sentinel.core.recipes import Duration, Name
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Missing, Rejected, Unavailable
from sentinel.ports import Http, Secrets

LONGEST_MUTE = 24 * 3600 * SECOND
PATIENCE = 120 * SECOND  # until what a product does not show is not there
LOOK = 30 * SECOND
MOST_LOOKS = 30


class ReplyInputs(BaseModel):
    """A step's `with`. `comment` takes expressions; `link` is the recipe's own, and shown as a link."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Name
    comment: str = Field(default="", max_length=20_000)
    link: str = Field(default="", max_length=500)
    resolve: bool = False
    mute: Duration | None = Field(default=None, ge=60 * SECOND, le=LONGEST_MUTE)
    unmute: bool = False

    @field_validator("comment", mode="before")
    @classmethod
    def _text(cls, comment: object) -> object:
        return str(comment) if isinstance(comment, int | float) else comment

    @field_validator("link")
    @classmethod
    def _link(cls, link: str) -> str:
        if link and urls.parse(link).scheme != "https":
            raise ValueError("a link begins with https://")
        return link

    @model_validator(mode="after")
    def _one(self) -> ReplyInputs:
        if sum((self.resolve, self.mute is not None, self.unmute)) > 1:
            raise ValueError("a step does one of resolve, mute and unmute; no kind of account does two")
        return self

    def reply(self, run: StepRun, account: Replying, now: int) -> Reply:
        """Return the reply. Raises `Malformed` where the task has no alert that is replied to."""
        asked = number(run.done, "asked")
        return Reply(
            key=run.key,
            mark=replies.mark(run.key),
            text=replies.text_of(run, self.comment, self.link),
            alert=replies.told(run.entries, account.webhook),
            task=run.task.id,
            recipe=run.task.recipe,
            now=now,
            resolve=self.resolve,
            mute=self.mute or 0,
            unmute=self.unmute,
            again=run.resumed or run.task.tries > 0,
            sure=0 < asked <= now - PATIENCE,
        )


class AlertReply:
    """Replies through the ports; `accounts` gives those that are set up now. `clock` in epoch nanoseconds."""

    name = "alert.reply"
    stream = "siem"
    forms: ClassVar[Mapping[str, Form]] = {"comment": Form.JSON}
    model: ClassVar[type[BaseModel]] = ReplyInputs

    def __init__(
        self,
        http: Http,
        secrets: Secrets,
        accounts: Callable[[], Mapping[str, AccountConfig]],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._leader = Leader(http, clock)
        self._secrets = secrets
        self._accounts = accounts
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its account is there and can do it shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say whether it resolves, mutes or unmutes: a comment only tells people."""
        return any(inputs.get(name) for name in ("resolve", "mute", "unmute"))

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what would be said of which alert, where, and what would be done to it there."""
        inputs = _inputs(run.step.with_)
        account = answering(self._accounts(), inputs.to, inputs)
        reply = inputs.reply(run, account, 0)
        return {
            "account": inputs.to,
            "kind": account.kind,
            "alert": {"source": reply.alert.source, "fingerprint": reply.alert.fingerprint},
            "text": reply.text,
            "resolve": inputs.resolve,
            "mute_seconds": reply.mute // SECOND,
            "unmute": inputs.unmute,
        }

    def perform(self, run: StepRun) -> Outcome:
        """Reply; done when the product has all of it."""
        now = self._clock()
        try:
            ending = self._lead(run, now, acting=True)
        except Unavailable as error:
            return Again(str(error), None)
        except Rejected as error:
            return Failed(str(error))
        return _outcome(run, ending, now)

    def probe(self, run: StepRun) -> Probed:
        """Look for the reply where its product shows it."""
        ending = self._lead(run, self._clock(), acting=False, again=True)
        if isinstance(ending, Would):
            blind = "the product cannot be asked whether it has the reply"
            return Unknown(blind) if ending.blind else Nothing()
        if isinstance(ending, Later):
            raise Unavailable(ending.reason, (ending.after or SECOND) / SECOND)
        return Done(ending.facts) if isinstance(ending, Replied) else Unknown(ending.reason)

    def _lead(self, run: StepRun, now: int, *, acting: bool, again: bool = False) -> Ending | Would:
        inputs = _inputs(run.step.with_)
        account = answering(self._accounts(), inputs.to, inputs)
        reply = inputs.reply(run, account, now)
        if again:
            reply = replace(reply, again=True, sure=False)
        return self._leader.lead(run, account, self._secrets.get(account.token), reply, acting=acting)


def answering(accounts: Mapping[str, AccountConfig], name: str, inputs: ReplyInputs) -> Replying:
    """Return the account that a step replies to. Raises `Rejected` where there is none that can do it."""
    account = accounts.get(name)
    if account is None:
        raise Missing(f"there is no account {name!r}; push an account document that has it")
    if not isinstance(account, Replying):
        raise Malformed(f"{name} is an account of the kind {account.kind}, which takes no replies")
    wanted = {"resolve": inputs.resolve, "mute": inputs.mute is not None, "unmute": inputs.unmute}
    for verb in (verb for verb, asked in wanted.items() if asked and verb not in account.verbs):
        able = ", ".join(sorted(account.verbs)) or "comment only"
        raise Malformed(f"an account of the kind {account.kind} cannot {verb}; it can: {able}")
    return account


def problem(accounts: Mapping[str, AccountConfig], with_: Mapping[str, Any]) -> str:
    """Return why a step's account is none that can do what it asks for; "" where it can."""
    try:
        inputs = _inputs(with_)
        answering(accounts, inputs.to, inputs)
    except Rejected as error:
        return str(error)
    return ""


def _outcome(run: StepRun, ending: Ending | Would, now: int) -> Outcome:
    if isinstance(ending, Replied):
        return Done(ending.facts)
    if isinstance(ending, Refused):
        return Failed(ending.reason)
    asked, looks = number(run.done, "asked"), number(run.done, "looks") + 1
    if isinstance(ending, Unclear) and looks <= MOST_LOOKS:
        return Again(ending.reason, LOOK, {"asked": asked or now, "looks": looks}, unsure=True)
    if isinstance(ending, Later):
        # What was perhaps done a moment ago is waited for anew.
        done = {"asked": now, "looks": looks} if ending.unsure and asked and looks <= MOST_LOOKS else {}
        return Again(ending.reason, ending.after, done, unsure=ending.unsure)
    return Failed(f"given up after {MOST_LOOKS} looks for what was sent", unsure=True)


def _inputs(inputs: Mapping[str, Any]) -> ReplyInputs:
    try:
        return ReplyInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(AlertReply.name, error) from None
