"""A challenger answers beside the champion, and whatever it does, no answer is late or lost for it."""

import os
import shutil
import signal
import textwrap
import time

import orjson
import pytest

from faulty import Faulty
from served import ROOT, make_bundle, open_client, save_run
from treadle.champions.bundles import digest_bundle
from treadle.champions.ledger import Decision, append, read_history
from treadle.config.serving import read_serving
from treadle.errors import TreadleError
from treadle.serving import shadow as shadow_module
from treadle.serving.challenger import Answered, Challenger, Failed, Ready
from treadle.serving.feeds import read_clock
from treadle.serving.log import scan_log
from treadle.serving.metrics import Metrics
from treadle.serving.service import Service, Source
from treadle.serving.shadow import Asked, Shadow


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return save_run(make_bundle("adult", num_rows=400), tmp_path_factory.mktemp("other") / "other")


def wait_for(condition, *, seconds=60):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)


@pytest.mark.slow
def test_each_answer_is_recorded_beside_that_of_the_challenger(run, other, rows, tmp_path):
    import treadle

    overrides = [f"serving.log.folder={tmp_path}/log", f"serving.shadow.bundle={other}"]
    with open_client(run, *overrides) as client:
        shadow = client.application.service.shadow
        wait_for(lambda: shadow.digest is not None, seconds=240)  # its process gives way to all others
        answer = client.post("/predict", content=orjson.dumps(rows[:20])).json()
        wait_for(lambda: 'outcome="answered"} 20.0' in get_metrics(client), seconds=120)
        assert "shadow_error" not in client.get("/health/ready").json()

    own, beside = (scan_log(folder).collect().sort("id") for folder in (tmp_path / "log", tmp_path / "log" / "shadow"))
    assert own["id"].to_list() == beside["id"].to_list() == sorted(f"{answer['id']}.{place}" for place in range(20))
    assert own["bundle"].unique().to_list() == [digest_bundle(run)]
    assert beside["bundle"].unique().to_list() == [digest_bundle(other)]
    assert beside.columns == ["id", "time", "bundle", "ms", "engine", "probability"]
    wanted = treadle.load(other).predict(rows[:20])["probability"].to_list()
    places = [int(name.rpartition(".")[2]) for name in beside["id"]]
    assert beside["probability"].to_list() == pytest.approx([wanted[place] for place in places], abs=1e-6)


def get_metrics(client):
    return client.get("/metrics").text


# --- faults, by challengers that are made for them; each is a process of its own, as the real one

FAULTY = """
    import os, time
    from treadle.serving.challenger import Answered, Failed, Ready

    def run(kind, connection):
        if kind == "absent":
            connection.send(Failed("TreadleError: it is damaged"))
            return
        connection.send(Ready("f" * 64, {}, frozenset({"age"})))
        while True:
            try:
                batch = connection.recv()
            except EOFError:
                return
            if kind == "raises":
                connection.send(Failed("ZeroDivisionError: division by zero"))
            elif kind == "hangs":
                time.sleep(1_000)
            elif kind == "dies":
                os._exit(9)
            elif kind == "dated":  # has no prediction where a row comes with the moment of another one
                pairs = zip(batch.rows, batch.moments, strict=True)
                connection.send(Answered([{} if row["age"] == moment else None for row, moment in pairs], 0.001))
            else:
                time.sleep(0.05 * (kind == "slow"))
                connection.send(Answered([{} for _ in batch.rows], 0.001))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A shadow of a faulty challenger, and its metrics."""
    (tmp_path / "faulty_challenger.py").write_text(textwrap.dedent(FAULTY))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shadow_module, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(shadow_module, "WAIT_S", 0.05)
    started = []

    def start(kind, *, queue=50, seconds=0.5):
        metrics = Metrics(count_waiting=lambda: 0)
        spec = read_serving([f"serving.shadow.queue={queue}", f"serving.shadow.seconds={seconds}"], root=ROOT).shadow
        made = Shadow(
            find=lambda: ("f" * 64, Faulty(kind)),
            open_log=lambda _: None,
            spec=spec,
            batch_rows=10,
            model="m",
            metrics=metrics,
        )
        started.append(made)
        return made, metrics

    yield start
    for made in started:
        made.close()


def count(metrics, outcome):
    text = metrics.write().decode()
    lines = [line for line in text.splitlines() if f'outcome="{outcome}"' in line and "_total" in line]
    return sum(float(line.split()[-1]) for line in lines)


def offer(shadow, number):
    began = time.perf_counter()
    for place in range(number):
        shadow.offer([Asked(str(place), {"age": 1, "more": "x"}, None)])
    return time.perf_counter() - began


FAULTS = {
    "raises": ("failed", "ZeroDivisionError"),
    "hangs": ("late", "longer than 0.5 s"),
    "dies": ("lost", "its process died"),
}


@pytest.mark.parametrize(("kind", "outcome", "told"), [(kind, *told) for kind, told in FAULTS.items()], ids=FAULTS)
def test_a_challenger_that_fails_is_counted_and_goes_on_or_starts_again(start, kind, outcome, told):
    shadow, metrics = start(kind)
    wait_for(lambda: shadow.digest is not None)

    assert offer(shadow, 5) < 0.4, "waiting for the challenger would take half a second"
    wait_for(lambda: count(metrics, outcome) == 5)
    assert told in shadow.fault
    wait_for(lambda: shadow.is_ready)
    offer(shadow, 2)
    wait_for(lambda: count(metrics, outcome) == 7)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted_and_nothing_waits(start):
    shadow, metrics = start("slow", queue=50)
    wait_for(lambda: shadow.is_ready)

    assert offer(shadow, 2_000) < 5, "waiting for the challenger would take ten seconds"

    wait_for(lambda: count(metrics, "dropped") + count(metrics, "answered") + count(metrics, "refused") == 2_000)
    assert count(metrics, "dropped") > 1_800


def test_each_row_of_a_batch_is_asked_as_of_its_own_moment(start):
    shadow, metrics = start("dated")
    wait_for(lambda: shadow.is_ready)

    for place in range(40):
        shadow.offer([Asked(str(place), {"age": place}, place)])

    wait_for(lambda: count(metrics, "answered") + count(metrics, "refused") == 40)
    assert count(metrics, "answered") == 40


def test_a_challenger_that_cannot_be_loaded_is_told_and_asked_nothing(start):
    shadow, metrics = start("absent")
    wait_for(lambda: shadow.fault is not None)

    offer(shadow, 5)
    assert "it is damaged" in shadow.fault
    assert "shadow_rows_total{" not in metrics.write().decode()


def test_a_process_that_is_stopped_from_outside_is_no_harm(start):
    """As a host without memory does it; SIGSTOP is a process that does not even read."""
    shadow, metrics = start("good")
    wait_for(lambda: shadow.is_ready)
    offer(shadow, 3)
    wait_for(lambda: count(metrics, "answered") == 3)
    first = shadow.process_id
    os.kill(first, signal.SIGSTOP)
    offer(shadow, 3)
    wait_for(lambda: count(metrics, "late") == 3)
    wait_for(lambda: shadow.is_ready and shadow.process_id != first)
    offer(shadow, 3)
    wait_for(lambda: count(metrics, "answered") == 6)


# --- which challenger


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "needs serving.log.folder"),
        (["serving.log.folder={tmp}/log", "serving.events.store=memory"], "set serving.events.store=sqlite"),
    ],
    ids=["no log", "events in memory"],
)
def test_a_shadow_that_could_not_work_is_refused(run, other, tmp_path, overrides, message):
    given = [text.format(tmp=tmp_path) for text in [*overrides, f"serving.shadow.bundle={other}"]]
    with pytest.raises(TreadleError, match=message):
        Service(Source(str(run), ROOT), read_serving(given, root=ROOT), count_waiting=lambda: 0)


def test_the_challenger_of_the_ledger_is_followed_until_it_is_stopped(run, other, tmp_path):
    for name, made in {"first": run, "second": other}.items():
        shutil.copytree(made, tmp_path / "runs" / name)
    champion, challenger = (digest_bundle(tmp_path / "runs" / name) for name in ("first", "second"))

    def decide(action, evidence, *, expected):
        decision = Decision("2026-01-01T00:00:00Z", action, champion, "runs/first", {}, evidence, None, "me")
        append("people", decision, expected=expected, root=tmp_path)

    decide("promote", {}, expected=None)
    given = [f"serving.log.folder={tmp_path}/log", "serving.shadow.bundle=challenger"]
    service = Service(Source("champion", tmp_path), read_serving(given, root=ROOT), count_waiting=lambda: 0)
    source = Source("challenger", tmp_path)
    assert service._find_challenger(source) is None  # noqa: SLF001 - what its thread asks
    decide("challenge", {"challenger": challenger, "run": "runs/second"}, expected=champion)
    digest, told = service._find_challenger(source)  # noqa: SLF001
    assert digest == challenger
    assert told.source.find() == tmp_path / "runs" / "second"
    decide("stop", {}, expected=champion)
    assert service._find_challenger(source) is None  # noqa: SLF001
    assert read_history("people", root=tmp_path).list_champions() == [champion]
    service.close()


def test_the_process_says_what_it_reads_and_answers(other, rows):
    """As the process runs it, over a connection of this one."""
    import multiprocessing
    import threading

    here, there = multiprocessing.Pipe()
    serving = read_serving([], root=ROOT)
    thread = threading.Thread(target=lambda: Challenger(Source(str(other), ROOT), serving.events, "m").answer(there))
    thread.start()
    ready = here.recv()
    assert isinstance(ready, Ready)
    assert {"age", "workclass"} <= ready.wanted
    from treadle.serving.challenger import Batch

    here.send(Batch([rows[0], {}], [read_clock(), read_clock()]))
    answered = here.recv()
    assert isinstance(answered, Answered)
    assert answered.predictions[0].keys() == {"probability"}
    assert answered.predictions[1] is None
    here.send(Batch([1], [read_clock()]))
    assert here.recv().predictions == [None]
    here.send(Batch(None, None))
    assert isinstance(here.recv(), Failed)
    here.close()
    thread.join()
