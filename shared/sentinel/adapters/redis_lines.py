"""The lines of a stream in Redis: their keys, and two scripts to look at all of them in one round trip.

XREADGROUP counts hints for each stream that it is given, and fails where one has no group. From outside, an
equal part of many lines would be several round trips, or more hints than were asked for. The scripts ask only
the lines that hold something, as much of each as is its part, and make a group where a line has none. They
use what Redis 7, Valkey and ElastiCache Serverless have alike; the server may forget them at any time, and
then they are sent along with the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from sentinel.core.lines import lines_of

if TYPE_CHECKING:
    import redis

# What a script answers of a line: {line, id, task, id, task ...}. A message that is not ours has "" for a
# task, which nobody has.
_TELL = b"""
local found = {}
local function tell(line, rows)
  local told = {line}
  for i, row in ipairs(rows) do
    local task, fields = '', row[2]
    for j = 1, #fields, 2 do
      if fields[j] == 'task' then task = fields[j + 1] end
    end
    told[2 * i], told[2 * i + 1] = row[1], task
  end
  found[#found + 1] = told
end
-- A key of another type holds no hints: whoever put it there stops no other line.
local function size(line)
  local many = redis.pcall('XLEN', line)
  return type(many) == 'number' and many or 0
end
"""

# KEYS: lines, in the order in which they are to be served. ARGV: group, consumer, how many, how many lines a
# priority has. A line may be told of more than once: one that gave all it was asked for may hold more, and is
# asked again once the others had their part. XLEN also counts hints that somebody has, so that a line may
# give nothing; it is then left alone.
TAKE = (
    _TELL
    + b"""
local left, row = ARGV[3] + 0, ARGV[4] + 0
local function read(lines, part)
  local told = {'GROUP', ARGV[1], ARGV[2], 'COUNT', part, 'STREAMS'}
  for i, line in ipairs(lines) do
    told[6 + i], told[6 + #lines + i] = line, '>'
  end
  local answer = redis.pcall('XREADGROUP', unpack(told))
  if answer and answer.err and string.find(answer.err, 'NOGROUP', 1, true) then
    for _, line in ipairs(lines) do redis.pcall('XGROUP', 'CREATE', line, ARGV[1], '0') end
    answer = redis.pcall('XREADGROUP', unpack(told))
  end
  return answer or {}
end
for first = 1, #KEYS, row do
  local open = {}
  for i = first, first + row - 1 do
    if size(KEYS[i]) > 0 then open[#open + 1] = KEYS[i] end
  end
  while left > 0 and #open > 0 do
    local part, asked, later = math.max(1, math.floor(left / #open)), {}, {}
    for i, line in ipairs(open) do
      if i <= left then asked[i] = line else later[#later + 1] = line end
    end
    local answer = read(asked, part)
    if answer.err then return answer end
    for _, each in ipairs(answer) do
      tell(each[1], each[2])
      left = left - #each[2]
      if #each[2] == part then later[#later + 1] = each[1] end
    end
    open = later
  end
  if left == 0 then break end
end
return found
"""
)

# KEYS: what an earlier version kept its hints in, then all lines. ARGV: group, consumer, idle milliseconds,
# how many, the number of the key to go on at, the cursor there. The answer is where to go on (0: the end),
# the cursor there, and what was claimed. Its steps are bounded: a server does nothing else meanwhile. A
# former stream is emptied and not deleted, since the cache's user may not delete keys.
CLAIM = (
    _TELL
    + b"""
local left, at, cursor = ARGV[4] + 0, ARGV[5] + 0, ARGV[6]
if at == 1 then
  if size(KEYS[1]) > 0 then redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', 0) end
  at = 2
end
for _ = 1, 2 * #KEYS do
  if at > #KEYS then return {0, '0-0', found} end
  local answer = {'0-0', {}}
  if size(KEYS[at]) > 0 then
    answer = redis.pcall('XAUTOCLAIM', KEYS[at], ARGV[1], ARGV[2], ARGV[3], cursor, 'COUNT', left)
    if answer.err then
      if not string.find(answer.err, 'NOGROUP', 1, true) then return answer end
      answer = {'0-0', {}}
    end
  end
  if #answer[2] > 0 then tell(KEYS[at], answer[2]) end
  left, cursor = left - #answer[2], answer[1]
  if cursor == '0-0' then at = at + 1 end
  if left <= 0 then break end
end
return {at, cursor, found}
"""
)

_NAMES = {script: sha1(script).hexdigest() for script in (TAKE, CLAIM)}  # noqa: S324 - as Redis names scripts


def key_of(line: str) -> bytes:
    """Name the key of a line; the hash tag keeps all lines of a stream together.

    >>> key_of("action:high.3")
    b'sentinel:{action}:high.3'
    """
    stream, _, place = line.partition(":")
    return f"sentinel:{{{stream}}}:{place}".encode()


def line_at(key: bytes) -> str:
    """Return the line of a key."""
    stream, _, place = key.decode().removeprefix("sentinel:{").partition("}:")
    return f"{stream}:{place}"


@cache
def keys_of(stream: str, priority: str) -> list[bytes]:
    """Name the keys of all lines that have one priority, by share."""
    return [key_of(line) for line in lines_of(stream, priority)]


def fit(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes]:
    """Return those of some keys that are streams, or none yet; one round trip."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.xlen(key)
    answers = zip(keys, pipe.execute(raise_on_error=False), strict=True)
    return [key for key, answer in answers if not wrong(answer)]


def wrong(answer: object) -> bool:
    """Say whether an answer or an error is that a key holds something else than a stream."""
    return isinstance(answer, Exception) and str(answer).startswith("WRONGTYPE")


def called(
    client: redis.Redis, script: bytes, keys: Sequence[bytes], args: Sequence[bytes | str | int]
) -> Any:
    """Run a script by its name, or whole where the server does not know it. All keys are in one slot."""
    from redis.exceptions import NoScriptError

    to: Any = client
    try:
        return to.evalsha(_NAMES[script], len(keys), *keys, *args)
    except NoScriptError:
        return to.eval(script, len(keys), *keys, *args)
