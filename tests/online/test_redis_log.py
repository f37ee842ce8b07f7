"""Events in a real Redis: several servers agree, and Redis may be gone for a while, or come back empty."""

import shutil
import socket
import subprocess
import time
from datetime import datetime

import pytest

from treadle.errors import TreadleError
from treadle.online.log import LogError, SqliteLog
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
    rows, moments = make_rows(3, 1, 2)

    assert log.append("a", rows, moments) == 1
    assert log.append("b", *make_rows(9)) == 4
    assert log.append("a", [{"hour": 0}], [None]) == 5  # it never becomes known
    assert log.append("a", *make_rows(5)) == 5

    assert [(part.feed, len(part.rows), part.last) for part in log.read(after=0)] == [
        ("a", 3, 3),
        ("b", 1, 4),
        ("a", 1, 5),
    ]
    assert read_hours(log, after=2) == [2, 9, 5]
    assert read_hours(log, after=5) == []
    since = MOMENT.replace(microsecond=3)
    assert read_hours(log, after=0, since=since) == [3, 9, 5]
    assert log.find_newest(upto=MOMENT.replace(microsecond=7)) == to_physical(MOMENT) + 5
    assert log.find_newest(upto=MOMENT) is None
    log.forget(before=since)
    assert read_hours(log, after=0) == [3, 9, 5]
    assert log.append("a", *make_rows(6)) == 6


def test_two_servers_see_each_others_events_and_one_that_was_gone_catches_up(server):
    from treadle.online.redis_log import RedisLog

    first, second = (RedisLog(server.url, name="m") for _ in range(2))
    first.append("a", *make_rows(1))
    assert read_hours(second, after=0) == [1]

    server.stop()
    with pytest.raises(LogError, match="Redis does not record the events"):
        first.append("a", *make_rows(2))
    with pytest.raises(LogError, match="Redis does not give the events"):
        read_hours(second, after=1)
    server.start()

    assert second.append("a", *make_rows(3)) == 2
    assert read_hours(first, after=1) == [3]
    first.close()
    second.close()


def test_a_redis_that_comes_back_empty_is_read_from_its_beginning(server):
    from treadle.online.redis_log import RedisLog

    log, client = RedisLog(server.url, name="m"), redis.Redis.from_url(server.url)
    log.append("a", *make_rows(1, 2, 3))
    assert read_hours(log, after=0) == [1, 2, 3]
    client.flushall()

    assert read_hours(log, after=3) == []
    log.append("a", *make_rows(4))
    assert read_hours(log, after=3) == [4]
    log.append("a", *make_rows(5))
    assert read_hours(log, after=1) == [5]
    log.close()
    client.close()


def test_models_have_logs_of_their_own(server):
    from treadle.online.redis_log import RedisLog

    first, second = RedisLog(server.url, name="m"), RedisLog(server.url, name="other")
    first.append("a", *make_rows(1))
    assert read_hours(second, after=0) == []
    first.close()
    second.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "http://x"])
def test_where_no_redis_answers_it_is_said_at_the_start(url):
    from treadle.online.redis_log import RedisLog

    with pytest.raises(TreadleError, match=r"serving.events.url: no Redis answers"):
        RedisLog(url, name="m")
