"""The record of events in Redis, for several servers. The only module that imports redis.

Sorted sets: the events by number, which is the order that every server follows, and their numbers by the moment at
which they become known, by which old ones are found. A script appends at once, so that no server sees number 11 before
number 10. Where Redis lost its data, the mark of the log is another one, and servers read from the beginning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import redis

from treadle.errors import TreadleError
from treadle.online.log import LogError, Part
from treadle.online.state import to_physical

TIMEOUT_S = 1.0  # of a connection and of an answer: predictions wait for it when Redis is away

# KEYS: count, events, moments, mark. ARGV: a new mark, then event and moment of each.
_APPEND = """
redis.call('SET', KEYS[4], ARGV[1], 'NX')
local many = (#ARGV - 1) / 2
local first = redis.call('INCRBY', KEYS[1], many) - many + 1
for place = 1, many do
  local number = string.format('%d', first + place - 1)
  redis.call('ZADD', KEYS[2], number, number .. ':' .. ARGV[2 * place])
  redis.call('ZADD', KEYS[3], ARGV[2 * place + 1], number)
end
return first
"""
# KEYS: events, moments. ARGV: the moment before which events are removed.
_FORGET = """
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 5000)) do
  redis.call('ZREMRANGEBYSCORE', KEYS[1], number, number)
  redis.call('ZREM', KEYS[2], number)
end
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
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
            )
            self._redis.ping()
        except (redis.RedisError, ValueError) as error:
            raise TreadleError(f"serving.events.url: no Redis answers: {error}; start one, or name another") from error
        prefix = f"{{treadle:{name}}}"  # braces: one slot of a cluster
        self._count, self._events, self._moments, self._mark_key = (
            f"{prefix}:{part}" for part in ("count", "events", "moments", "mark")
        )
        self._mark: str | None = None
        self._append = self._redis.register_script(_APPEND)
        self._forget = self._redis.register_script(_FORGET)

    def append(self, feed: str, rows: Sequence[Mapping[str, Any]], known_at: Sequence[int | None]) -> int:
        """One script."""
        pairs = zip(rows, known_at, strict=True)
        given: list[Any] = [os.urandom(8).hex()]
        for row, moment in pairs:
            if moment is not None:
                given += [json.dumps([feed, moment, row]), moment]
        try:
            keys = [self._count, self._events, self._moments, self._mark_key]
            return int(self._append(keys=keys, args=given))
        except redis.RedisError as error:
            raise LogError(f"Redis does not record the events: {error}") from error

    def read(self, *, after: int, since: datetime | None = None) -> Iterator[Part]:
        """From the beginning, where this is another log than before."""
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.get(self._mark_key)
                pipeline.zrangebyscore(self._events, f"({after}", "+inf", withscores=True)
                mark, found = pipeline.execute()
            if self._mark not in (None, mark):
                found = self._redis.zrangebyscore(self._events, "-inf", "+inf", withscores=True)
        except redis.RedisError as error:
            raise LogError(f"Redis does not give the events: {error}") from error
        self._mark = mark or self._mark
        moment = None if since is None else to_physical(since)
        read = ((int(number), *json.loads(text.partition(":")[2])) for text, number in found)
        kept = (event for event in read if moment is None or event[2] >= moment)
        for feed, events in groupby(kept, key=lambda event: str(event[1])):
            own = list(events)
            yield Part(feed, [row for *_, row in own], own[-1][0])

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
        """Some at a time, so that no request waits long."""
        try:
            self._forget(keys=[self._events, self._moments], args=[to_physical(before)])
        except redis.RedisError as error:
            raise LogError(f"Redis does not remove old events: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
