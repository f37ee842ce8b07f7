"""The record of events in Redis, for several servers. The only module that imports redis.

Sorted sets: the events by number, which is the order that every server follows; their numbers by the moment at which
they become known, by which old ones are found; and the marks of appends, by the number of their last event. A script
appends at once, so that no server sees number 11 before number 10, and an append that is sent again, since its answer
did not come, is found by its mark. A mark that is gone tells that Redis was emptied or restored from an older copy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from treadle.errors import TreadleError
from treadle.online.log import PART, Appended, LogError, Part, Place, ReplacedError
from treadle.online.state import to_physical

TIMEOUT_S = 1.0  # of a connection and of an answer: predictions wait for it when Redis is away
RETRIES, PAUSE_S = 1, 0.1  # of a call that has no answer; no call does anything twice
MARKS = 100_000  # of the newest appends, which are kept
FORGET = 1_000  # events that one call removes: no other call waits longer

# KEYS: count, events, moments, marks. ARGV: mark, number of marks that are kept, then event and moment of each.
_APPEND = """
local many = (#ARGV - 2) / 2
local last = tonumber(redis.call('ZSCORE', KEYS[4], ARGV[1]))
if not last then
  last = redis.call('INCRBY', KEYS[1], many)
  for place = 1, many do
    local number = string.format('%d', last - many + place)
    redis.call('ZADD', KEYS[2], number, number .. ':' .. ARGV[2 * place + 1])
    redis.call('ZADD', KEYS[3], ARGV[2 * place + 2], number)
  end
  if many > 0 then
    redis.call('ZADD', KEYS[4], last, ARGV[1])
    redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - ARGV[2])
  end
end
local before = string.format('%d', last - many)
return {last, redis.call('ZRANGEBYSCORE', KEYS[4], before, before)[1] or ''}
"""
# KEYS: events, marks. ARGV: number and mark of the last event that was read, and how many are read at most.
_READ = """
if ARGV[2] ~= '' and not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  return false
end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[3])
local mark = ARGV[2]
if #found > 0 then
  mark = redis.call('ZRANGEBYSCORE', KEYS[2], string.match(found[#found], '^%d+'), '+inf', 'LIMIT', 0, 1)[1] or ''
end
return {mark, found}
"""
# KEYS: events, moments. ARGV: the moment before which events are removed, and how many at most.
_FORGET = """
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, number in ipairs(found) do
  redis.call('ZREMRANGEBYSCORE', KEYS[1], number, number)
  redis.call('ZREM', KEYS[2], number)
end
return #found
"""


class RedisLog:
    """A log in Redis.

    Args:
        url: such as `redis://127.0.0.1:6379/0`.
        name: of the model; servers with the same one share the events.

    Raises:
        TreadleError: the URL is none, or nothing answers there.
    """

    def __init__(self, url: str, *, name: str) -> None:
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(ConstantBackoff(PAUSE_S), RETRIES),
                decode_responses=True,
            )
            self._redis.ping()
        except (redis.RedisError, ValueError) as error:
            raise TreadleError(f"serving.events.url: no Redis answers: {error}; start one, or name another") from error
        prefix = f"{{treadle:{name}}}"  # braces: one slot of a cluster
        self._count, self._events, self._moments, self._marks = (
            f"{prefix}:{part}" for part in ("count", "events", "moments", "marks")
        )
        self._append = self._redis.register_script(_APPEND)
        self._read = self._redis.register_script(_READ)
        self._forget = self._redis.register_script(_FORGET)

    def append(self, feed: str, rows: Sequence[Mapping[str, Any]], known_at: Sequence[int | None]) -> Appended:
        """One script, which an answer that is lost does not repeat."""
        mark = os.urandom(8).hex()
        pairs = zip(rows, known_at, strict=True)
        records = [(json.dumps([feed, moment, row]), moment) for row, moment in pairs if moment is not None]
        given = [part for record in records for part in record]
        keys = [self._count, self._events, self._moments, self._marks]
        try:
            last, before = self._append(keys=keys, args=[mark, MARKS, *given])
        except redis.RedisError as error:
            raise LogError(f"Redis does not say that it records the events: {error}") from error
        previous = Place(last - len(records), before)
        return Appended(previous, Place(last, mark) if records else previous)

    def read(self, *, after: Place, since: datetime | None = None) -> Iterator[Part]:
        """In parts, so that no answer is large."""
        moment = None if since is None else to_physical(since)
        while records := self._fetch(after):
            after = records[-1][0]
            kept = (record for record in records if moment is None or record[2] >= moment)
            for feed, events in groupby(kept, key=lambda record: record[1]):
                own = list(events)
                yield Part(feed, [row for *_, row in own], own[-1][0])

    def _fetch(self, after: Place) -> list[tuple[Place, str, int, dict[str, Any]]]:
        """The next events: place, table, moment, row."""
        try:
            answer: Any = self._read(keys=[self._events, self._marks], args=[*after, PART])
        except redis.RedisError as error:
            raise LogError(f"Redis does not give the events: {error}") from error
        if answer is None:
            raise ReplacedError("Redis holds other events than before: it was emptied, or restored from a copy")
        mark, texts = answer
        pairs = (text.split(":", 1) for text in texts)
        return [(Place(int(number), mark), *json.loads(record)) for number, record in pairs]

    def find_newest(self, *, upto: datetime) -> int | None:
        """The first from the end."""
        try:
            found: Any = self._redis.zrevrangebyscore(
                self._moments, to_physical(upto), "-inf", start=0, num=1, withscores=True
            )
        except redis.RedisError as error:
            raise LogError(f"Redis does not give the events: {error}") from error
        return int(found[0][1]) if found else None

    def forget(self, *, before: datetime) -> None:
        """Some at a time, so that no other call waits long, until none is left."""
        arguments = [to_physical(before), FORGET]
        try:
            while self._forget(keys=[self._events, self._moments], args=arguments) == FORGET:
                pass
        except redis.RedisError as error:
            raise LogError(f"Redis does not remove old events: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
