"""What a message to people says of a task: a fixed form, filled with short fields of which none is trusted.

A rule's title may come from a stranger's rule and a service's name from a sender; a channel must show them as
they are and act on nothing in them: no link, no mention, no format, no second line.
"""

from __future__ import annotations

from collections.abc import Callable

from sentinel.core.masking import mask, printable
from sentinel.core.steps import StepRun

FIELD = 150  # characters of a field
QUOTED = 3  # entries that are quoted
QUOTE = 300  # characters of a quoted entry


def _as_code(text: str) -> str:
    """Show a text in Slack as it is: in a code span, of which nothing is a link or a mention.

    Slack reads `&`, `<` and `>` even there ("Formatting text for app surfaces": these three are escaped).
    A backtick would end the span; and a server that is like Slack may look for `@channel` everywhere.

    >>> _as_code("<!channel> `a` & b")
    "`&lt;!channel&gt; 'a' &amp; b`"
    """
    shown = text.replace("`", "'").replace("@", "@\u200b")
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"`{shown}`" if shown else "-"


def slack(run: StepRun, note: str, *, quote: bool) -> str:
    """Return the message in Slack's mrkdwn."""
    return _message(run, note, quote=quote, shown=_as_code, bold="*")


def plain(run: StepRun, note: str, *, quote: bool) -> str:
    """Return the message as plain text."""
    return _message(run, note, quote=quote, shown=lambda text: text or "-", bold="")


def subject(run: StepRun) -> str:
    """Return one line of at most 100 printable ASCII characters, which is what SNS takes for a subject."""
    line = f"Sentinel {_cause(run, 'level')}: {_cause(run, 'title') or _cause(run, 'rule')}"
    return line.encode("ascii", "replace").decode()[:100].strip()


def _message(run: StepRun, note: str, *, quote: bool, shown: Callable[[str], str], bold: str) -> str:
    services = sorted({each.chain.rpartition("/")[0] or each.chain for each in run.entries})
    more = f" and {len(services) - 3} more" if len(services) > 3 else ""
    told = ", ".join(shown(_short(each)) for each in services[:3]) or "-"
    lines = [
        f"{bold}Sentinel{bold} {shown(_cause(run, 'level'))} {shown(_cause(run, 'title'))}",
        f"rule {shown(_cause(run, 'rule'))}, service {told}{more}, entries {len(run.entries)}",
        f"task {shown(run.task.id)}, recipe {shown(_short(run.task.recipe))}",
    ]
    if note:
        lines.append(shown(printable(note)))
    if quote:
        lines += [shown(mask(each.entry, QUOTE)) for each in run.entries[:QUOTED]]
    return "\n".join(lines)


def _cause(run: StepRun, name: str) -> str:
    return _short(str(run.task.cause.get(name, "")))


def _short(text: str) -> str:
    line = printable(text[:1000])
    return line if len(line) <= FIELD else f"{line[: FIELD - 1]}…"
