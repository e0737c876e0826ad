"""Limits in Redis: `core.limits` as one script, so that a request is counted in one atomic call.

All numbers are whole and stay below 2**53, so that Lua's doubles hold them exactly: levels in millionths of a
unit, times in microseconds by the server's own clock, one clock for all processes. A bucket is a string,
`level seen`, under `sentinel:limit:{key}:bucket`; the hash tag puts the buckets of a key into one slot of a
cluster, as a script needs them. A key is forgotten once its bucket is empty, which says the same as no key.

It uses what Redis 7, Valkey 8 and 9 and ElastiCache Serverless have alike. The server may forget the script
at any time (SCRIPT FLUSH, a restart, a failover): then it is sent along with the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sentinel.core.limits import MILLION, Bucket, Verdict, verdict
from sentinel.errors import Unavailable

if TYPE_CHECKING:
    import redis

# For each of KEYS, ARGV holds: rate; burst, cost in millionths of a unit. `%.0f` since Lua's own way to make
# text of a number keeps 14 digits. The answer is (admitted, now, the level before of each bucket).
SCRIPT = b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local levels, back, admitted = {}, {}, 1
for i, key in ipairs(KEYS) do
  local rate, burst, cost = ARGV[3 * i - 2], ARGV[3 * i - 1] + 0, ARGV[3 * i] + 0
  local level, seen = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  level, seen = (level or 0) + 0, (seen or now) + 0
  level = math.max(0, level - math.max(0, now - seen) * rate)
  levels[i], back[i] = level, now < seen
  if level + math.min(cost, burst) > burst then admitted = 0 end
end
for i, key in ipairs(KEYS) do
  local rate, taken = ARGV[3 * i - 2], admitted * ARGV[3 * i]
  if taken > 0 or back[i] then
    local level = levels[i] + taken
    redis.call('SET', key, string.format('%.0f %.0f', level, now), 'PX', math.ceil(level / rate / 1000) + 1)
  end
end
return {admitted, now, unpack(levels)}
"""
DIGEST = sha1(SCRIPT).hexdigest()  # noqa: S324 - the name that Redis gives to a script

# Braces would end the hash tag early, and white space makes keys hard to read.
_PLAIN = ":@+/"


class RedisLimits:
    """`ports_doors.Limits` on one client, which must not send anything twice. Threads may share it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
        """Take from all buckets of `key` or from none, in one round trip."""
        admitted, _, levels = self.counted(key, buckets)
        return verdict(admitted, levels, buckets)

    def counted(self, key: str, buckets: Sequence[Bucket]) -> tuple[bool, int, list[int]]:
        """Take, and return (admitted, the server's time in microseconds, the level before of each bucket)."""
        from redis.exceptions import NoScriptError, RedisClusterException, RedisError

        if not key:
            raise ValueError("limits need a key")
        told: list[str | int] = [name_of(key, bucket.name) for bucket in buckets]
        for bucket in buckets:
            told += [bucket.rate, bucket.burst * MILLION, bucket.cost * MILLION]
        client: Any = self._client
        try:
            try:
                answer = client.evalsha(DIGEST, len(buckets), *told)
            except NoScriptError:
                answer = client.eval(SCRIPT, len(buckets), *told)
        except (RedisError, RedisClusterException) as error:
            # Whatever it is, nobody learns here whether the request is within its limits.
            raise Unavailable(f"the limits' counter does not answer: {type(error).__name__}") from error
        return bool(answer[0]), answer[1], answer[2:]


def name_of(key: str, bucket: str) -> str:
    """Return the name under which a bucket is stored.

    >>> name_of("checkout/trial", "bytes")
    'sentinel:limit:{checkout/trial}:bytes'
    >>> name_of("a}b c", "bytes")
    'sentinel:limit:{a%7Db%20c}:bytes'
    """
    return f"sentinel:limit:{{{quote(key, _PLAIN, errors='surrogatepass')}}}:{bucket}"
