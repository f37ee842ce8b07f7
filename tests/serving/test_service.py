"""The bundle that answers is replaced while requests go on; the process ends, or is killed, without harm."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import httpx
import orjson
import polars as pl
import pytest

from runs import ROOT
from served import make_bundle, open_client, save_run
from treadle.champions.bundles import digest_bundle
from treadle.champions.ledger import Decision, append
from treadle.config.serving import read_serving
from treadle.errors import TreadleError
from treadle.problems import ConfigError
from treadle.serving.log import scan_log
from treadle.serving.server import read_token
from treadle.serving.service import Service, Source


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another bundle for the same rows."""
    return save_run(make_bundle("adult", num_rows=400), tmp_path_factory.mktemp("other"))


def take(bundle, run):
    """Put another bundle into the folder of a run, the card last."""
    shutil.rmtree(run / "bundle")
    shutil.copytree(bundle / "bundle", run / "bundle")


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def make_service(run, *overrides):
    return Service(Source(str(run), ROOT), read_serving(overrides, root=ROOT), count_waiting=lambda: 0)


def test_another_bundle_takes_the_place_of_the_old_one_while_it_is_asked(copy, other, rows):
    with open_client(copy, "serving.reload=null", f"serving.log.folder={copy}/log") as client:
        service, found, done = client.application.service, [], threading.Event()

        def ask():
            while not done.is_set():
                found.append(client.post("/predict", content=orjson.dumps(rows[0])))

        thread = threading.Thread(target=ask)
        thread.start()
        first = service.current.digest
        take(other, copy)
        assert service.reload()
        seen = len(found)
        while len(found) < seen + 5:
            time.sleep(0.01)
        done.set()
        thread.join()

        assert {answer.status_code for answer in found} == {200}
        assert [answer.json()["bundle"] for answer in (found[0], found[-1])] == [first, service.current.digest]
        assert first != service.current.digest
    recorded = scan_log(copy / "log").collect()
    assert sorted(recorded["id"]) == sorted(f"{answer.json()['id']}.0" for answer in found)
    assert recorded["bundle"].n_unique() == 2


def test_a_damaged_bundle_changes_nothing_and_says_so(copy, other, rows, caplog):
    service = make_service(copy)
    before = service.current
    take(other, copy)
    (weights,) = copy.glob("bundle/network.pt")
    weights.write_bytes(weights.read_bytes()[:-1])

    assert not service.reload()
    assert not service.reload()

    assert service.current is before
    assert "network.pt is damaged" in service.fault
    assert len(caplog.records) == 1
    assert "treadle_reload_failures_total 1.0" in service.metrics.write().decode()
    shutil.copy(other / "bundle" / "network.pt", weights)
    assert service.reload(again=True)
    assert service.fault is None


def test_a_fault_is_over_once_the_old_bundle_is_back(copy, run):
    service = make_service(copy)
    shutil.rmtree(copy)
    assert not service.reload()
    assert "no bundle" in service.fault
    shutil.copytree(run, copy)

    assert not service.reload()

    assert service.fault is None


def test_the_champion_is_followed_forward_and_back(run, other, tmp_path):
    for name, made in {"first": run, "second": other}.items():
        shutil.copytree(made, tmp_path / "runs" / name)
    digests = {name: digest_bundle(tmp_path / "runs" / name) for name in ("first", "second")}

    def decide(name, action, *, expected):
        decision = Decision("2026-01-01T00:00:00Z", action, digests[name], f"runs/{name}", {}, {}, None, "me")
        append("people", decision, expected=expected, root=tmp_path)

    decide("first", "promote", expected=None)
    service = Service(Source("champion", tmp_path), read_serving([], root=ROOT), count_waiting=lambda: 0)
    seen = [service.current.digest]
    assert not service.reload()
    decide("second", "promote", expected=digests["first"])
    assert service.reload()
    seen.append(service.current.digest)
    decide("first", "rollback", expected=digests["second"])
    assert service.reload()

    assert [*seen, service.current.digest] == [digests["first"], digests["second"], digests["first"]]
    assert service.name == "people"


@pytest.mark.parametrize(
    ("asked", "message"),
    [("[agee]", "no column 'agee'. Did you mean 'age'?"), ("[age,race]", "'race' is private")],
)
def test_columns_that_cannot_be_recorded_are_refused(tmp_path, asked, message):
    bundle = make_bundle("adult", num_rows=300)
    bundle.columns["race"] = bundle.columns["race"].model_copy(update={"private": True})
    from treadle.serving.service import _choose_columns

    with pytest.raises(TreadleError, match=message.replace("?", r"\?")):
        _choose_columns(asked.strip("[]").split(","), bundle)
    assert "race" not in _choose_columns(None, bundle)
    assert _choose_columns(["age"], bundle) == ["age"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["serving.prot=1"], "serving.port"),
        (["serving.port=x"], "serving.port: must be"),
        (["serving.log.share=2"], "serving.log.share"),
        (["model=mlp"], "a server reads serving"),
    ],
    ids=str,
)
def test_what_a_server_cannot_read_is_refused(overrides, message):
    with pytest.raises((TreadleError, ConfigError), match=message):
        read_serving(overrides, root=ROOT)


@pytest.mark.slow
def test_a_project_without_the_group_has_what_ships(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    config = tmp_path / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("  - serving: default\n", ""))

    assert read_serving(["serving.port=1"], root=tmp_path).port == 1


def test_other_machines_need_a_token(tmp_path):
    (tmp_path / "token").write_text("word\n")
    (tmp_path / "empty").write_text("\n")

    local, known = read_serving([], root=ROOT), {"TREADLE_TOKEN": "word"}

    def read(environment, **values):
        return read_token(local.model_copy(update=values), environment)

    assert read({}) is None
    assert read(known) == "word"
    assert read({}, token_file=str(tmp_path / "token")) == "word"
    assert read(known, host="0.0.0.0") == "word"  # noqa: S104 - nothing listens there
    assert read({}, host="0.0.0.0", allow_anonymous=True) is None  # noqa: S104 - as above
    for host in ("0.0.0.0", "example.org", "::"):  # noqa: S104 - as above
        with pytest.raises(TreadleError, match="lets other machines connect"):
            read({}, host=host)
    with pytest.raises(TreadleError, match="empty"):
        read({}, token_file=str(tmp_path / "empty"))
    with pytest.raises(TreadleError, match="cannot read"):
        read({}, token_file=str(tmp_path / "none"))


@pytest.mark.slow
def test_a_server_needs_no_library_of_training():
    code = "import sys, treadle.serving.server; print(sorted({name.partition('.')[0] for name in sys.modules}))"

    names = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert "'uvicorn'" in names
    for name in ("pytorch_lightning", "lightning", "wandb", "dvc", "optuna", "matplotlib", "sklearn", "scipy"):
        assert f"'{name}'" not in names


def start(run, *overrides):
    """A server process, and a client of it, once it answers."""
    command = [sys.executable, "-m", "treadle", "serve", str(run), "serving.port=0", *overrides]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process.stdout as output:
        line = output.readline()
    return process, httpx.Client(base_url=line.split()[-1].removesuffix("/docs"), timeout=60)


def load_until_dead(client, rows, answered):
    """Ask again and again; keep the ids of the answers."""
    while True:
        try:
            answered.append(client.post("/predict", content=orjson.dumps(rows[:3])).json()["id"])
        except (httpx.HTTPError, json.JSONDecodeError):
            return


@pytest.mark.slow
def test_a_killed_server_leaves_a_log_that_can_be_read_and_an_ended_one_answers_what_it_accepted(run, rows, tmp_path):
    log = tmp_path / "log"
    process, client = start(run, f"serving.log.folder={log}")
    answered = []
    thread = threading.Thread(target=load_until_dead, args=(client, rows, answered))
    thread.start()
    time.sleep(2.5)
    killed_after = len(answered)
    process.kill()
    thread.join()
    process.wait()
    client.close()

    recorded = scan_log(log).collect()
    assert killed_after > 3
    assert recorded["id"].is_unique().all()
    assert set(recorded["id"]) <= {f"{name}.{place}" for name in answered for place in range(3)}
    assert len(recorded) > 0
    assert all(pl.read_parquet(file).height for file in log.glob("**/*.parquet"))

    process, client = start(run, f"serving.log.folder={log}")
    codes = []
    threads = [
        threading.Thread(target=lambda: codes.append(client.post("/predict", content=orjson.dumps(rows)).status_code))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()

    assert process.wait(60) == 0
    client.close()
    assert codes == [200] * 4
    after = scan_log(log).collect()
    assert len(after) == len(recorded) + 4 * len(rows)
    assert after["id"].is_unique().all()
    assert not list((log / "recent").iterdir())
