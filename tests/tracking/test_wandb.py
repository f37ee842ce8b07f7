"""The record in W&B: real runs, read back from disk, and synced to a server on this machine. T… names the trap."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import loopback_server
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import WandbTracker
from treadle.tracking import Membership, Recorded, wandb, write_setting
from wandb_record import (
    find_ended,
    find_records,
    read_config,
    read_exit_code,
    read_history,
    read_records,
    read_summary,
)

pytestmark = pytest.mark.fast_cases(8)

CONFIG = {"name": "n", "seed": 0, "model": {"width": 8, "dropout": None, "sizes": [1, 2]}, "flag": False}
# Where another process finds this file, and what it imports.
PLACES = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
ABOUT = {"git": {"commit": "abc", "changed": True}, "changes": "+x", "packages": {"torch": "2"}}


def open_record(folder, *, signature="s", config=None, mode="offline", membership=None, **keys):
    settings = WandbTracker(mode=mode, project="treadle", entity=None, tags=["test"], upload_bundle=True, **keys)
    shown = {"name": "n", "config": config or CONFIG, "about": ABOUT, "membership": membership}
    recorded = Recorded(folder=RunFolder(folder), root=folder, signature=signature, **shown)
    return wandb.open_record(recorded, settings=settings)


def log_epochs(record, epochs):
    for epoch in epochs:
        record.log({"valid/loss": 1 / (epoch + 1), "epoch": float(epoch)}, step=10 * epoch)


def expected(epochs):
    return [{"valid/loss": 1 / (epoch + 1), "epoch": float(epoch), "_step": 10 * epoch} for epoch in epochs]


def test_a_record_holds_history_config_and_summary(tmp_path):
    """T9 and T20: plain containers, null kept, provenance beside the experiment."""
    with open_record(tmp_path) as record:
        log_epochs(record, range(1, 4))
        record.summarize({"model/auroc": 0.7512345678901234})

    (folder,) = find_ended(tmp_path)
    config = read_config(folder)
    assert read_history(folder) == expected(range(1, 4))
    assert {key: value for key, value in config.items() if key != "_wandb"} == {**CONFIG, "treadle": ABOUT}
    assert read_summary(folder)["model/auroc"] == 0.7512345678901234
    assert read_exit_code(folder) == 0


def test_two_records_in_one_process_stay_two(tmp_path):
    """T9."""
    for name in ("a", "b"):
        with open_record(tmp_path / name, config={"name": name}) as record:
            record.log({name: 1.0}, step=1)

    assert_two_records(tmp_path)


def test_two_records_open_at_the_same_time_stay_two(tmp_path):
    """T9."""
    names = ("a", "b")
    with open_record(tmp_path / "a", config={"name": "a"}) as a, open_record(tmp_path / "b", config={"name": "b"}) as b:
        for name, record in zip(names, (a, b), strict=True):
            record.log({name: 1.0}, step=1)

    assert_two_records(tmp_path)


def assert_two_records(place):
    folders = [find_ended(place / name)[0] for name in ("a", "b")]
    assert len({folder.name.rsplit("-", 1)[1] for folder in folders}) == 2
    assert [read_config(folder)["name"] for folder in folders] == ["a", "b"]
    assert [read_history(folder) for folder in folders] == [[{"a": 1.0, "_step": 1}], [{"b": 1.0, "_step": 1}]]


@pytest.mark.sampled_cases(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"WANDB_RUN_ID": "samesame", "WANDB_RESUME": "must", "WANDB_REINIT": "return_previous"},
        {"WANDB_RUN_ID": "a/b", "WANDB_RESUME": "bogus", "WANDB_DIR": "other", "WANDB_CONFIG_PATHS": "none.yaml"},
        {"WANDB_RUN_ID": "", "WANDB_MODE": "", "WANDB_PROJECT": "", "WANDB_TAGS": "", "WANDB_INIT_TIMEOUT": ""},
        {"WANDB_RESUME_FROM": "other?_step=3"},
        {"WANDB_FORK_FROM": "other?_step=3"},
        {"WANDB_SWEEP_ID": "other", "WANDB_SWEEP_PARAM_PATH": "sweep.yaml"},
    ],
    ids=lambda variables: "+".join(name.removeprefix("WANDB_").lower() for name in variables),
)
def test_the_environment_neither_merges_records_nor_changes_them(tmp_path, variables):
    """T9. In a process of its own, for W&B reads the environment once."""
    (tmp_path / "sweep.yaml").write_text("wandb_version: 1\nname: {value: other}\n")
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_wandb import *\n"
        "for name in ('a', 'b'):\n"
        "    with open_record(Path(sys.argv[1]) / name, config={'name': name}) as record:\n"
        "        record.log({name: 1.0}, step=1)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *PLACES]
    subprocess.run(command, env={**os.environ, **variables}, cwd=tmp_path, check=True, timeout=60)

    assert_two_records(tmp_path)
    for name in ("a", "b"):
        (run,) = [r.run for r in read_records(find_ended(tmp_path / name)[0]) if r.WhichOneof("record_type") == "run"]
        assert (run.project, run.display_name, run.sweep_id) == ("treadle", "n", "")


HELD = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_TAGS": "ci, test,nightly",
    "WANDB_RUN_GROUP": "folds",
    "WANDB_JOB_TYPE": "train",
    "WANDB_NAME": "my run",
    "WANDB_NOTES": "why",
}


def read_run(folder):
    return read_record_of_run(find_ended(folder)[0])


def read_record_of_run(record):
    (run,) = [r.run for r in read_records(record) if r.WhichOneof("record_type") == "run"]
    return run


@pytest.mark.slow
def test_variables_of_w_and_b_hold_as_documented(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_wandb import *\n"
        "for mode in ('online', 'disabled'):\n"
        "    with open_record(Path(sys.argv[1]) / mode, mode=mode, group='own', job_type='own') as record:\n"
        "        record.log({'x': 1.0}, step=1)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *PLACES]
    environment = {**os.environ, **HELD, "WANDB_MODE": "offline"}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=60)

    run = read_run(tmp_path / "online")  # which WANDB_MODE keeps offline
    assert (run.project, run.entity, run.run_group, run.job_type) == ("theirs", "team", "folds", "train")
    assert (run.display_name, run.notes, list(run.tags)) == ("my run", "why", ["test", "ci", "nightly"])
    assert not (tmp_path / "disabled").exists()


def test_the_configuration_names_group_job_type_and_tags(tmp_path):
    with open_record(tmp_path, group="folds", job_type="train") as record:
        record.log({"x": 1.0}, step=1)

    run = read_run(tmp_path)
    assert (run.project, run.run_group, run.job_type, list(run.tags)) == ("treadle", "folds", "train", ["test"])


def test_a_record_keeps_its_place_in_a_sweep_when_it_is_opened_again(tmp_path, monkeypatch):
    """As `treadle evaluate` does with a trial, which the sweep has trained."""
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    setting = write_setting({"model.width": "16", "+model.extra": "1e-3"})
    for membership in (Membership(setting, "california-0123abcd", "search"), None):
        with open_record(tmp_path, membership=membership, group="folds") as record:
            record.log({"x": 1.0}, step=1)

    runs = [(read_record_of_run(folder), read_config(folder)) for folder in find_ended(tmp_path)]
    assert [(run.run_group, run.job_type) for run, _ in runs] == [("california-0123abcd", "search")] * 2
    assert [config["sweep"]["setting"] for _, config in runs] == ["model.extra=1e-3 model.width=16"] * 2


@pytest.mark.slow
def test_another_training_in_the_folder_leaves_the_sweep(tmp_path):
    for signature, membership in (("one", Membership("width=16", "sweep", "search")), ("two", None)):
        with open_record(tmp_path, signature=signature, membership=membership) as record:
            record.log({"x": 1.0}, step=1)

    first, second = find_ended(tmp_path)
    assert (read_record_of_run(first).run_group, read_record_of_run(second).run_group) == ("sweep", "")
    assert "sweep" not in read_config(second)


def test_wandb_mode_disabled_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with open_record(tmp_path, mode="online") as record:
        log_epochs(record, [1])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"WANDB_MODE": "bogus"},
            "^WANDB_MODE: must be online, offline or disabled, found 'bogus'; correct or unset it$",
        ),
        ({"WANDB_INIT_TIMEOUT": "abc"}, "^WANDB_INIT_TIMEOUT: W&B does not accept 'abc': .*number"),
        ({"WANDB_BASE_URL": "localhost:8080"}, "^WANDB_BASE_URL: W&B does not accept 'localhost:8080'"),
        ({"WANDB_PROJECT": "a/b"}, "^WANDB_PROJECT: W&B does not accept 'a/b'"),
        ({"WANDB_TAGS": "t" * 80}, "^WANDB_TAGS: W&B does not accept 'ttt"),
        ({"WANDB_API_KEY": " secret "}, "^WANDB_API_KEY: W&B does not accept its value: [^\n]*whitespace"),
        ({"WANDB_PROJECT": "a/b", "WANDB_QUIET": "perhaps"}, "^WANDB_PROJECT: .*\nWANDB_QUIET: "),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, dict) else "",
)
def test_a_variable_that_w_and_b_cannot_take_is_named(tmp_path, monkeypatch, variables, told):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(TreadleError, match=told) as caught, open_record(tmp_path):
        pass
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [True, False])
def test_system_metrics_are_measured_where_they_are_wanted(tmp_path, wanted):
    with open_record(tmp_path, system_metrics=wanted) as record:
        record.log({"x": 1.0}, step=1)
        time.sleep(3)

    kinds = {r.WhichOneof("record_type") for r in read_records(find_ended(tmp_path)[0])}
    assert ("stats" in kinds) == wanted


@pytest.mark.slow
def test_the_same_signature_goes_on_and_another_begins_anew(tmp_path):
    """T10."""
    ids = []
    for signature, epochs in (("one", range(1, 3)), ("one", range(1, 5)), ("two", range(1, 2))):
        with open_record(tmp_path, signature=signature) as record:
            ids.append(record.id)
            log_epochs(record, epochs)

    histories = [read_history(folder) for folder in find_ended(tmp_path)]  # a step that is held is not taken twice
    assert ids[0] == ids[1] != ids[2]
    assert histories == [expected(range(1, 3)), expected(range(3, 5)), expected(range(1, 2))]


def test_a_curve_is_y_over_x(tmp_path):
    rows = [{"fpr": 0.0, "tpr": 0.0}, {"fpr": 0.5, "tpr": 0.9}, {"fpr": 1.0, "tpr": 1.0}]
    with open_record(tmp_path) as record:
        log_epochs(record, [1])
        record.log_curve(name="roc", x="fpr", y="tpr", rows=rows)

    history = read_history(find_ended(tmp_path)[0])[1:]
    assert history == [{"roc/fpr": r["fpr"], "roc/tpr": r["tpr"], "_step": 11 + i} for i, r in enumerate(rows)]


def test_a_curve_is_not_added_twice(tmp_path):
    for value in (0.5, 0.5, 0.7):
        with open_record(tmp_path) as record:
            record.log_curve(name="roc", x="fpr", y="tpr", rows=[{"fpr": 0.0, "tpr": value}])

    histories = [read_history(folder) for folder in find_ended(tmp_path)]
    assert [[row["roc/tpr"] for row in history] for history in histories] == [[0.5], [], [0.7]]


@pytest.mark.slow
def test_a_page_is_kept_once_as_media(tmp_path):
    for text in ("<p>one</p>", "<p>one</p>", "<p>two</p>"):
        with open_record(tmp_path) as record:
            record.log_page(text, name="report")

    folders = find_ended(tmp_path)
    kinds = [[row["report._type"] for row in read_history(folder)] for folder in folders]
    assert kinds == [["html-file"], [], ["html-file"]]
    pages = [page.read_text() for folder in folders for page in folder.rglob("*.html")]
    assert sorted(pages) == ["<p>one</p>", "<p>two</p>"]


def test_a_failure_finishes_the_record_and_passes_on(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), open_record(tmp_path) as record:  # noqa: PT012
        log_epochs(record, [1])
        raise RuntimeError("boom")

    (folder,) = find_ended(tmp_path)
    assert read_exit_code(folder) == 1
    assert read_history(folder) == expected([1])


def test_offline_keeps_no_copy_of_the_bundle(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "weights").write_bytes(b"w")
    with open_record(tmp_path) as record:
        record.log_bundle(tmp_path / "bundle", name="b")

    kinds = {r.WhichOneof("record_type") for r in read_records(find_ended(tmp_path)[0])}
    assert kinds.isdisjoint({"artifact", "use_artifact", "request"})
    assert not list((tmp_path / "wandb").rglob("weights"))


def test_disabled_keeps_nothing(tmp_path):
    with open_record(tmp_path, mode="disabled") as record:
        log_epochs(record, [1])
        record.summarize({"x": 1.0})
        record.log_curve(name="roc", x="a", y="b", rows=[{"a": 0.0, "b": 0.0}])
        record.log_bundle(tmp_path, name="b")

    assert record.id is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_neither_the_import_nor_disabled_tracking_imports_wandb(tmp_path):
    code = (
        "import sys; from pathlib import Path; from treadle.tracking import Recorded, wandb; "
        "from treadle.experiment.run_folder import RunFolder; "
        "from treadle.experiment.spec import WandbTracker\n"
        "s = WandbTracker(mode='disabled', project='p', entity=None, tags=[], upload_bundle=False)\n"
        f"root = Path({str(tmp_path)!r})\n"
        "run = Recorded(folder=RunFolder(root), root=root, name='n', signature='s', config={}, about={})\n"
        "with wandb.open_record(run, settings=s) as t:\n"
        "    t.log({'x': 1.0}, step=1)\n"
        "assert 'wandb' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_killed_run_loses_nothing_that_it_logged(tmp_path):
    """T21."""
    code = (
        "import sys, time; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_wandb import *\n"
        "with open_record(Path(sys.argv[1])) as record:\n"
        "    log_epochs(record, range(1, 30)); print('logged', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *PLACES], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "logged\n"
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    (folder,) = find_records(tmp_path)
    assert read_history(folder) == expected(range(1, 30))
    assert read_exit_code(folder) is None


# --- to a server -----------------------------------------------------------------------------------------


@pytest.fixture
def server():
    with loopback_server.serve() as (url, received):
        yield url, received


def to_server(url, tmp_path):
    """The environment of a process that talks to that server, and keeps its caches to itself."""
    caches = {f"WANDB_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CACHE", "DATA", "CONFIG")}
    return {**os.environ, **caches, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40}


def sync(url, folders, *, tmp_path):
    command = [str(Path(sys.executable).with_name("wandb")), "sync", *map(str, folders)]
    environment = to_server(url, tmp_path)
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=60)


def read_arrived(received, run_id):
    rows = received.history(run_id)
    return [{key: value for key, value in row.items() if not key.startswith("_") or key == "_step"} for row in rows]


def test_a_synced_record_arrives_whole(tmp_path, server):
    url, received = server
    with open_record(tmp_path) as record:
        log_epochs(record, range(1, 6))
        record.summarize({"model/auroc": 0.7512345678901234})

    sync(url, find_ended(tmp_path), tmp_path=tmp_path)

    summary = {key: value for key, value in received.summary(record.id).items() if not key.startswith("_")}
    assert read_arrived(received, record.id) == expected(range(1, 6))
    assert received.config(record.id) == {**CONFIG, "treadle": ABOUT}
    assert summary == {"valid/loss": 1 / 6, "epoch": 5.0, "model/auroc": 0.7512345678901234}
    assert received.files[record.id]["exitcode"] == 0


def test_a_failed_record_arrives_as_failed(tmp_path, server):
    url, received = server
    with pytest.raises(RuntimeError, match="boom"), open_record(tmp_path) as record:  # noqa: PT012
        log_epochs(record, [1])
        raise RuntimeError("boom")

    sync(url, find_ended(tmp_path), tmp_path=tmp_path)

    assert received.files[record.id]["exitcode"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at the end", "newest named first", "after each opening"])
def test_a_continued_record_arrives_as_one_run(tmp_path, server, when):
    """T10 and T11: offline, resumed offline, synced later, by one command in any order or step by step."""
    url, received = server
    for epochs in (range(1, 4), range(1, 7)):
        with open_record(tmp_path) as record:
            log_epochs(record, epochs)
        folders = find_ended(tmp_path)
        if when == "after each opening":
            sync(url, [tmp_path / "wandb"], tmp_path=tmp_path)

    if when == "at the end":
        sync(url, [tmp_path / "wandb"], tmp_path=tmp_path)
    elif when == "newest named first":
        sync(url, reversed(folders), tmp_path=tmp_path)

    assert list(received.runs) == [record.id]
    assert read_arrived(received, record.id) == expected(range(1, 7))


@pytest.mark.slow
def test_online_a_continued_record_and_the_bundle_arrive(tmp_path, server):
    url, received = server
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "weights").write_bytes(b"w")
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_wandb import *\n"
        "folder = Path(sys.argv[1])\n"
        "for epochs in (range(1, 4), range(1, 7)):\n"
        "    with open_record(folder, mode='online') as record:\n"
        "        log_epochs(record, epochs)\n"
        "with open_record(folder, mode='online') as record:\n"
        "    record.log_bundle(folder / 'bundle', name='b')\n"
    )

    command = [sys.executable, "-c", code, str(tmp_path), *PLACES]
    subprocess.run(command, env=to_server(url, tmp_path), cwd=tmp_path, check=True, capture_output=True, timeout=60)

    (run_id,) = received.runs
    assert read_arrived(received, run_id) == expected(range(1, 7))
    assert received.config(run_id) == {**CONFIG, "treadle": ABOUT}
    assert received.committed == ["b"]
    assert received.uploads["weights"] == b"w"


FILES = {"bundle.json": b'{"files": {}}', "weights": b"w"}
PROMOTE = """
import shutil, sys
sys.path[:0] = sys.argv[2:]
from test_wandb import *
from treadle.champions.bundles import digest_bundle, find_bundle, find_folder
from treadle.champions.ledger import Decision, append
from treadle.gate.announce import announce, describe_upload

root = Path(sys.argv[1])
run = root / "runs" / "flights-1"
with open_record(root, mode="online") as record:
    record.log_bundle(run / "bundle", name=run.name)
decision = Decision("t", "promote", digest_bundle(run), "runs/flights-1", {}, describe_upload(run), None, "me")
history = append("flights", decision, expected=None, root=root)
print(announce(history, root=root))
(run / "bundle").rename(root / "aside")
print(find_bundle("flights@champion", root=root))
(run / "resolved.yaml").rename(root / "resolved.yaml.aside")
print(announce(history, root=root))
(root / "resolved.yaml.aside").rename(run / "resolved.yaml")
print(find_folder("wandb:treadle/flights-1:v0", root=root))

other = run / "bundle"
other.mkdir()
(other / "bundle.json").write_text("{}")
decision = Decision("t", "promote", digest_bundle(run), "runs/flights-1", {}, {}, None, "me")
try:
    announce(append("flights", decision, expected=digest_bundle(root / "aside"), root=root), root=root)
except Exception as error:
    print(error)
"""


@pytest.mark.slow
def test_a_registry_names_the_champion_whose_bundle_is_found_there(root, tmp_path, server):
    url, received = server
    run = tmp_path / "runs" / "flights-1"
    (run / "bundle").mkdir(parents=True)
    for name, content in FILES.items():
        (run / "bundle" / name).write_bytes(content)
    text = (root / "resolved.yaml").read_text().replace("mode: offline", "mode: online\n  registry: model")
    (run / "resolved.yaml").write_text(text.replace("upload_bundle: false", "upload_bundle: true"))

    command = [sys.executable, "-c", PROMOTE, str(tmp_path), *PLACES]
    done = subprocess.run(
        command, env=to_server(url, tmp_path), cwd=tmp_path, check=False, capture_output=True, text=True, timeout=90
    )

    assert done.returncode == 0, done.stderr
    collection, found, again, named, refusal, retry = done.stdout.splitlines()
    assert collection == again == "wandb-registry-model/flights"  # also where the run is gone
    assert received.links == [("firm/wandb-registry-model/flights", "flights-1", ["champion"])] * 2
    assert found == named == str(tmp_path / "runs" / ".champions" / hashlib.sha256(FILES["bundle.json"]).hexdigest())
    assert {file.name: file.read_bytes() for file in Path(found).iterdir()} == FILES
    assert "has the decision, and the registry does not" in refusal
    assert "is not the bundle" in refusal
    assert retry == "`treadle promote runs/flights-1` tries again"
