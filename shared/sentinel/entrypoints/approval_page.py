"""The page that a one-time link opens.

It is static: the link's token is in the fragment, which no browser sends, and the page's script posts it to
where the page came from. What is shown is what strangers wrote, so it is only ever put in as text, which was
made by the server (`core.legible`) and is shown in the order of its characters. The policy
allows this one script and this one style sheet by their hashes, connections to the page's own origin, and
nothing else.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem }
dt { font-weight: 600 }
dd { margin: 0; overflow-wrap: anywhere }
section { border: 1px solid; border-radius: .5rem; padding: 0 1rem; margin: 1rem 0 }
pre { overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }
dd, pre { direction: ltr; unicode-bidi: bidi-override }
label, textarea { display: block; width: 100%; box-sizing: border-box }
h2 { font-size: 1.15rem; overflow-wrap: anywhere }
h3, summary { font-size: 1rem; font-weight: 600; margin: .75rem 0 .25rem }
section p { margin: 0 }
pre { margin: 0 0 1rem; padding: .5rem; border-radius: .25rem; background: rgb(128 128 128 / 12%);
  font-size: .875rem }
button { font: inherit; font-weight: 600; min-height: 2.75rem; padding: .5rem 1.5rem }
button { margin: 1rem 1rem 1rem 0; border: 2px solid; border-radius: .5rem; background: none }
#approve { color: light-dark(#116329, #7ee787) }
#refuse { color: light-dark(#a40e26, #ff9492) }
button { cursor: pointer }
button:disabled { opacity: .5; cursor: default }
#status, #said { font-weight: 600 }
[hidden] { display: none }
"""

SCRIPT: Final = """
"use strict";
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const by = (id) => document.getElementById(id);
const say = (text, where = "status") => {
  const end = /[.\\u2026]$/.test(text) ? "" : ".";
  by(where).textContent = text[0].toUpperCase() + text.slice(1) + end;
};

async function post(body) {
  const answer = await fetch(location.pathname, {
    method: "POST", body: JSON.stringify({token, ...body}), headers: {"Content-Type": "application/json"},
    cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
  });
  const found = await answer.json();
  if (!answer.ok) { throw new Error(found.message || "this did not work"); }
  return found;
}

function put(parent, kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  parent.append(made);
  return made;
}

function row(name, text) { put(by("about"), "dt", name); put(by("about"), "dd", text); }

function show(found) {
  const {recipe, cause} = found.shown;
  row("You are", found.for);
  if (found.message) { row("Message", found.message); }
  const because = cause.title || cause.schedule || cause.rule;
  if (because) { row("Because of", because + (cause.level ? " (" + cause.level + ")" : "")); }
  const entries = (cause.entries || []).map((each) => each.chain + " " + each.seq);
  if (entries.length > 10) { entries.splice(10, entries.length, "\\u2026"); }
  if (entries.length) { row("Entries", entries.join(", ")); }
  row("Recipe", recipe.id + " version " + recipe.version + (recipe.author ? " by " + recipe.author : ""));
  row("Task", found.task);
  row("Needs", found.needs + " of " + found.by.join(", "));
  row("Approved by", found.approvals.map((each) => each.who).join(", ") || "nobody yet");
  row("Until", new Date(found.until / 1e6).toLocaleString([], {dateStyle: "long", timeStyle: "long"}));
  row("Digest", found.digest);
  for (const step of found.told.steps) {
    const section = put(by("steps"), "section", "");
    put(section, "h2", step.title);
    put(section, "p", step.how);
    for (const [name, text] of step.parts) { put(section, "h3", name); put(section, "pre", text); }
  }
  const more = put(by("steps"), "details", "");
  put(more, "summary", "What set it off, and what was done before");
  put(more, "pre", found.told.before);
  const already = found.approvals.some((each) => each.who === found.for);
  const asks = "This is what would be done. Your link is for one decision.";
  say(already ? "You have approved this already. " + asks : asks);
  by("form").hidden = false;
}

async function decide(verdict) {
  const why = by("why").value.trim();
  if (verdict === "refuse" && !why) { say("Say why you refuse it.", "said"); by("why").focus(); return; }
  for (const each of document.querySelectorAll("button")) { each.disabled = true; }
  say("Sending\\u2026", "said");
  try {
    const found = await post({verdict, why});
    by("form").hidden = true;
    say("You said: " + verdict + ". The task is " + found.state +
        (found.missing ? " and waits for " + found.missing : "") + ".");
    scrollTo(0, 0);
  } catch (error) {
    for (const each of document.querySelectorAll("button")) { each.disabled = false; }
    say(error.message, "said");
  }
}

/* Another link that is put into the same tab is another question. */
addEventListener("hashchange", () => location.reload());
by("approve").addEventListener("click", () => decide("approve"));
by("refuse").addEventListener("click", () => decide("refuse"));
if (token) { post({look: true}).then(show, (error) => say(error.message)); }
else { say("This page needs the whole link that you were given."); }
"""

PAGE: Final = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Approve</title>
<style>{STYLE}</style>
<h1>Approve or refuse</h1>
<p id="status" role="status">Looking up what is asked&hellip;</p>
<dl id="about"></dl>
<div id="steps"></div>
<form id="form" hidden>
<label for="why">Why (it is kept with the task; needed to refuse)</label>
<textarea id="why" maxlength="500" rows="2"></textarea>
<button id="approve" type="button">Approve</button>
<button id="refuse" type="button">Refuse</button>
<p id="said" role="status"></p>
</form>
<noscript>This page needs JavaScript; or use the command <code>sentinel tasks approve</code>.</noscript>
<script>{SCRIPT}</script>
</html>
"""


def _allowed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_allowed(SCRIPT)}",
        f"style-src {_allowed(STYLE)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
