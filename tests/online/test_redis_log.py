"""Events in a real Redis: several servers agree, and Redis may be gone for a while, or come back empty."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime

import pytest

from treadle.errors import TreadleError
from treadle.online.log import PART, START, LogError, ReplacedError, SqliteLog
from treadle.online.state import to_physical

redis = pytest.importorskip("redis")
MOMENT = datetime(2013, 6, 3)  # noqa: DTZ001 - tables are in UTC without a zone
SERVER = shutil.which("redis-server")


def find_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A redis-server of its own, which may be stopped and started."""

    def __init__(self, folder):
        self.port, self.folder, self.process = find_port(), folder, None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        command = [SERVER, "--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes"]
        self.process = subprocess.Popen([*command, "--appendfsync", "always"], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        for _ in range(500):
            try:
                client.ping()
                break
            except redis.RedisError:
                time.sleep(0.02)
        client.close()

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    if SERVER is None:
        pytest.skip("there is no redis-server")
    made = Server(tmp_path)
    made.start()
    yield made
    made.stop()


def make_rows(*hours):
    return [{"hour": hour} for hour in hours], [to_physical(MOMENT) + hour for hour in hours]


def read_hours(log, **arguments):
    return [row["hour"] for part in log.read(**arguments) for row in part.rows]


@pytest.fixture(params=["sqlite", "memory", "redis"])
def log(request, tmp_path):
    if request.param == "redis":
        from treadle.online.redis_log import RedisLog

        made = RedisLog(request.getfixturevalue("server").url, name="m")
    else:
        made = SqliteLog(tmp_path / "events.db" if request.param == "sqlite" else None)
    yield made
    made.close()


def test_every_log_keeps_events_in_the_order_in_which_they_came(log):
    first, second = log.append("a", *make_rows(3, 1, 2)), log.append("b", *make_rows(9))
    never = log.append("a", [{"hour": 0}], [None])  # it never becomes known
    last = log.append("a", *make_rows(5))

    assert first.before == START
    assert second.before == first.last
    assert never == (second.last, second.last)
    assert last.before == second.last
    parts = [(part.feed, len(part.rows), part.last.number) for part in log.read(after=START)]
    assert parts == [("a", 3, 3), ("b", 1, 4), ("a", 1, 5)]
    assert read_hours(log, after=first.last) == [9, 5]
    assert read_hours(log, after=last.last) == []
    since = MOMENT.replace(microsecond=3)
    assert read_hours(log, after=START, since=since) == [3, 9, 5]
    assert log.find_newest(upto=MOMENT.replace(microsecond=7)) == to_physical(MOMENT) + 5
    assert log.find_newest(upto=MOMENT) is None
    log.forget(before=since)
    assert read_hours(log, after=START) == [3, 9, 5]
    assert log.append("a", *make_rows(6)).before == last.last
    assert read_hours(log, after=first.last) == [9, 5, 6]


def test_many_events_are_read_in_parts_and_forgotten_by_one_call(log):
    rows, moments = make_rows(*range(3 * PART))
    for start in range(0, len(rows), PART):
        log.append("a", rows[start : start + PART], moments[start : start + PART])

    assert [len(part.rows) for part in log.read(after=START)] == [PART] * 3
    assert read_hours(log, after=START) == list(range(3 * PART))
    log.forget(before=MOMENT.replace(microsecond=3 * PART - 2))
    assert read_hours(log, after=START) == [3 * PART - 2, 3 * PART - 1]


def test_two_servers_see_each_others_events_and_one_that_was_gone_catches_up(server):
    from treadle.online.redis_log import RedisLog

    first, second = (RedisLog(server.url, name="m") for _ in range(2))
    taken = first.append("a", *make_rows(1))
    assert read_hours(second, after=START) == [1]

    server.stop()
    with pytest.raises(LogError, match="Redis does not say that it records the events"):
        first.append("a", *make_rows(2))
    with pytest.raises(LogError, match="Redis does not give the events"):
        read_hours(second, after=taken.last)
    server.start()

    assert second.append("a", *make_rows(3)).before == taken.last
    assert read_hours(first, after=taken.last) == [3]
    first.close()
    second.close()


def test_events_whose_answer_did_not_come_are_recorded_once(server, monkeypatch):
    """Redis is stopped while it has the call, and goes on when the client has given up and asks again."""
    from treadle.online import redis_log

    monkeypatch.setattr(redis_log, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(redis_log, "RETRIES", 10)
    log = redis_log.RedisLog(server.url, name="m")
    first = log.append("a", *make_rows(1))
    server.process.send_signal(signal.SIGSTOP)
    threading.Timer(0.8, server.process.send_signal, [signal.SIGCONT]).start()

    second = log.append("a", *make_rows(2, 3))
    third = log.append("a", *make_rows(4))

    assert (second.before, third.before) == (first.last, second.last)
    assert read_hours(log, after=START) == [1, 2, 3, 4]
    log.close()


@pytest.mark.parametrize("num_later", [0, 1, 2, 5])
def test_a_redis_that_was_restored_from_an_older_copy_is_noticed_however_far_it_has_come(server, num_later):
    from treadle.online.redis_log import RedisLog

    log, client = RedisLog(server.url, name="m"), redis.Redis.from_url(server.url)
    copied = log.append("a", *make_rows(1, 2, 3))
    copy = {key: client.dump(key) for key in client.scan_iter()}
    lost = log.append("a", *make_rows(4, 5))
    for key, value in copy.items():
        client.restore(key, 0, value, replace=True)
    if num_later:
        assert log.append("a", *make_rows(*range(6, 6 + num_later))).before == copied.last

    with pytest.raises(ReplacedError, match="restored from a copy"):
        read_hours(log, after=lost.last)
    assert read_hours(log, after=copied.last) == list(range(6, 6 + num_later))
    log.close()
    client.close()


def test_a_redis_that_comes_back_empty_is_noticed(server):
    from treadle.online.redis_log import RedisLog

    log, client = RedisLog(server.url, name="m"), redis.Redis.from_url(server.url)
    lost = log.append("a", *make_rows(1, 2, 3))
    client.flushall()

    with pytest.raises(ReplacedError, match="it was emptied"):
        read_hours(log, after=lost.last)
    assert log.append("a", *make_rows(4)).before == START
    assert read_hours(log, after=START) == [4]
    log.close()
    client.close()


def test_models_have_logs_of_their_own(server):
    from treadle.online.redis_log import RedisLog

    first, second = RedisLog(server.url, name="m"), RedisLog(server.url, name="other")
    first.append("a", *make_rows(1))
    assert read_hours(second, after=START) == []
    first.close()
    second.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "http://x"])
def test_where_no_redis_answers_it_is_said_at_the_start(url):
    from treadle.online.redis_log import RedisLog

    with pytest.raises(TreadleError, match=r"serving.events.url: no Redis answers"):
        RedisLog(url, name="m")
