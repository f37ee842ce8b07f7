"""The pipeline under real DVC, in copies of one fresh copy of this repository. T… names the trap."""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from runs import WIDE, treadle
from treadle.experiment.run_folder import RunFolder
from wandb_record import read_history

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dvc")]  # one finished pipeline for all
ROOT = Path(__file__).parents[1]
SLICES = "artifacts/slices"
OUTPUTS = ("artifacts/", "resolved.yaml", "dvc.lock")  # a fresh copy makes its own
STAGES = ["prepare", "featurize", "train", "baseline", "evaluate"]
PARAMS = {
    "experiment": "california",
    "model": "wide",
    "set": {
        "schedule": {"max_epochs": 2, "batch_size": 1024},
        "evaluation": {"baselines": ["prior"], "parity_rows": 5, "explanation": None, "questions": None},
    },
}
SAME = [
    "experiment=california", "model=wide", "schedule.max_epochs=2", "schedule.batch_size=1024",
    "evaluation.baselines=[prior]", "evaluation.parity_rows=5",
    "evaluation.explanation=null", "evaluation.questions=null",
]  # fmt: skip


class Copy:
    """A repository of its own, whose `treadle` runs its own sources."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def environment(self):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "DVC"))}
        environment["DVC_SITE_CACHE_DIR"] = str(self.folder.parent / "site")
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["PYTHONPATH"] = str(self.folder / "src")
        environment |= {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        return environment

    def __call__(self, *command):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_in_terminal(self, *command):
        """What a person sees; nobody answers a question."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        seen = ""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(master, 65536):
                seen += part.decode(errors="replace")
                if "[y/n]" in seen:
                    process.kill()
        os.close(master)
        assert process.wait() == 0, seen
        return seen.replace("\r\n", "\n")

    def repro(self):
        """The stages that ran."""
        out = self("dvc", "repro")
        return [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")]

    def status(self):
        """The stages whose own slices or code differ from those of their last run."""
        self("treadle", "compose", "--selection", "params.yaml", "--output", "resolved.yaml", "--slices", SLICES)
        changed = json.loads(self("dvc", "status", "--json"))
        return [name for name in STAGES if f"{SLICES}/{name}.yaml" in json.dumps(changed.get(name, []))]

    def foresee(self, *stages):
        """Those of the stages of which `--why` prints that they would run."""
        printed = {name: self("treadle", name, "--why", "--folder", "artifacts") for name in stages}
        return [name for name, line in printed.items() if "would run: " in line]

    def edit(self, file, old, new):
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of this repository with a network of its user's own, after `make demo`. Tests only read it."""
    folder = tmp_path_factory.mktemp("finished") / "treadle"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(OUTPUTS):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv" / ".installed").touch()  # `make` has nothing to install
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    copy = Copy(folder)
    (folder / "my_package").mkdir()  # without an `__init__.py`
    (folder / "my_package" / "wide.py").write_text(WIDE)
    (folder / "conf" / "model" / "wide.yaml").write_text("_target_: my_package.wide.Wide\nwidth: 8\n")
    copy.edit("conf/config.yaml", "targets:\n", "targets:\n  - my_package.\n")
    copy.edit("dvc.yaml", "conf, src", "conf, my_package, src")
    copy("git", "init", "-q")
    copy("git", "add", "-A")
    copy("git", "commit", "-qm", "begin")
    copy.first = copy.run_in_terminal("make", "demo")
    copy("git", "add", "-A")
    copy("git", "commit", "-qm", "first run")
    return copy


@pytest.fixture
def repo(finished, tmp_path):
    """A copy of the finished one, to be edited."""
    return Copy(shutil.copytree(finished.folder, tmp_path / "treadle", symlinks=True))


def test_a_fresh_copy_pulls_its_data_and_runs_every_stage(finished):
    """`make demo`, as it is typed into a terminal: DVC asks nothing there."""
    ran = [line for line in finished.first.splitlines() if line.startswith("Running stage")]

    assert [line.split("'")[1] for line in ran] == ["compose", *STAGES]
    assert (finished.folder / "data" / "california" / "california.parquet").is_file()
    assert "WARNING" not in finished.first
    assert "dvc exp run -S model=linear" in finished.first


def test_a_second_time_nothing_has_changed(finished):
    assert finished.repro() == []


def test_another_run_at_another_commit_writes_the_same_bytes(repo, monkeypatch):
    """So dvc.lock stays as it is committed, where somebody runs the same sources again: here those of this process."""
    monkeypatch.chdir(repo.folder)
    assert treadle("run", *SAME) == 0

    (folder,) = (path.parent for path in repo.folder.glob("runs/*/stages.json"))
    lock = yaml.safe_load((repo.folder / "dvc.lock").read_text())["stages"]
    outs = [repo.folder / out["path"] for stage in STAGES for out in lock[stage]["outs"]]
    written = [file for out in outs for file in (out, *out.rglob("*")) if file.is_file()]
    assert len(written) >= len(outs)
    for file in written:
        name = file.relative_to(repo.folder / "artifacts")
        assert (folder / name).read_bytes() == file.read_bytes(), name


FEATURES = ("conf/features/california.yaml", "num_bins: 48", "num_bins: 20")
EVALUATION = ("conf/evaluation/default.yaml", "calibration_bins: 15", "calibration_bins: 9")
NO_EFFECT = [
    ("conf/features/california.yaml", "blocks:", "# a comment\nblocks:"),
    ("conf/tracker/offline.yaml", "project: treadle", "project: other"),
    ("src/treadle/training/schedules.py", "def _cosine", "# a comment\ndef _cosine"),
    ("src/treadle/runs/labels.py", "the same configuration", "equal"),  # no stage's source
]
PREPARE = ("src/treadle/data/split.py", "round(rule.test", "int(rule.test")
TRAIN = ("src/treadle/training/schedules.py", "(step + 1) / (rise + 1)", "(step + 2) / (rise + 2)")


def test_an_edit_reaches_the_stages_that_depend_on_it(repo):
    """T1 and T15, by DVC's status of the stages after `compose`; each edit stays while the next one is made."""
    for edit in (*NO_EFFECT, FEATURES):
        repo.edit(*edit)
    assert repo.status() == ["featurize"]

    repo.edit(*EVALUATION)
    assert repo.status() == ["featurize", "evaluate"]


@pytest.mark.exhaustive  # the test above holds which stages DVC finds changed
def test_an_edit_of_a_source_reruns_what_depends_on_it(repo):
    repo.edit(*PREPARE)
    assert repo.foresee("prepare", "evaluate") == ["prepare", "evaluate"]
    # It writes the same as before, with int for round: what follows has nothing to do.
    assert repo.repro() == ["compose", "prepare"]

    repo.edit(*TRAIN)
    assert repo.foresee("prepare", "train", "evaluate") == ["train", "evaluate"]
    assert repo.repro() == ["compose", "train", "evaluate"]


def test_a_queued_experiment_selects_by_params_and_every_diff_shows_it(repo):
    """DVC runs it in a copy of the project and deletes that: the record stays."""
    wider = ["-S", "model=resnet", "-S", "++set.model.width=8", "-S", "++set.schedule.max_epochs=3"]
    before = set(repo.folder.glob("runs/*/wandb"))
    repo("dvc", "exp", "run", "--queue", "-n", "wider", *wider)
    repo("dvc", "exp", "run", "--run-all")

    log = repo("dvc", "queue", "logs", "wider")
    (printed,) = (line.split()[-1] for line in log.splitlines() if line.startswith("W&B run"))
    (kept,) = set(repo.folder.glob("runs/*/wandb")) - before
    assert Path(printed).parent == kept
    assert Path(printed).is_dir()
    rows = [row for record in kept.glob("offline-run-*") for row in read_history(record)]  # of train, of evaluate
    assert sum("valid/loss" in row for row in rows) == 3

    repo("dvc", "exp", "apply", "wider")
    params = repo("dvc", "params", "diff", "HEAD")
    metrics = repo("dvc", "metrics", "diff", "HEAD")
    plots = repo("dvc", "plots", "diff", "HEAD")
    table = repo("dvc", "exp", "show", "--csv")
    resolved = yaml.safe_load((repo.folder / "resolved.yaml").read_text())
    assert resolved["model"] == {"_target_": "treadle.models.resnet.ResNet"} | resolved["model"] | {"width": 8}
    assert resolved["schedule"]["max_epochs"] == 3
    assert "set.schedule.max_epochs" in params
    assert "model._target_" not in params  # of what is selected alone: `treadle diff` lists the values behind it
    assert "model.rmse" in metrics
    page = Path(plots.strip().splitlines()[-1].removeprefix("file://")).read_text()
    assert all(axis in page for axis in ("train/loss", "valid/loss", "predicted", "observed"))
    assert "wider" in table
    columns = table.splitlines()[0].split(",")
    assert {"experiment", "model", "set.schedule.max_epochs", "model.rmse"} <= set(columns)
    assert len(columns) < 80


def list_experiments(repo):
    """Of `dvc exp show`, by name: the selection, and the metrics of each file that has any."""
    told = json.loads(repo("dvc", "exp", "show", "--json"))
    (baseline,) = (each for each in told if each["rev"] != "workspace")
    found = {}
    for experiment in baseline["experiments"]:
        (state,) = experiment["revs"]
        metrics = {Path(file).name: each.get("data") for file, each in state["data"]["metrics"].items()}
        found[experiment["name"]] = state["data"]["params"]["params.yaml"]["data"], metrics
    return found


@pytest.mark.exhaustive
def test_an_adopted_run_is_shown_and_applied_as_an_experiment(repo):
    repo("treadle", "train", *SAME, "seed=3", "model.width=4", "schedule.max_epochs=3")
    (run,) = (path.parent for path in repo.folder.glob("runs/*/validation.json"))

    out = repo("treadle", "adopt", str(run), "--as", "narrow")

    assert "recorded narrow as an experiment of DVC" in out
    params, metrics = list_experiments(repo)["narrow"]
    assert (params["model"], params["set"]["model"]["width"], params["set"]["seed"]) == ("wide", 4, 3)
    absent = dict.fromkeys(("metrics.json", "intervals.json", "numbers.json"))  # it was not evaluated
    assert metrics == {"validation.json": json.loads((run / "validation.json").read_text()), **absent}
    repo("dvc", "exp", "apply", "narrow")
    (repo.folder / "artifacts" / "metrics.csv").unlink()
    ran = repo("dvc", "repro", "train")
    assert "Running stage 'train'" in ran
    assert "Running stage 'featurize'" not in ran
    for name in ("metrics.csv", "validation.json", "bundle/network.pt"):
        assert (repo.folder / "artifacts" / name).read_bytes() == (run / name).read_bytes(), name


@pytest.mark.exhaustive
def test_three_experiments_are_queued_started_shown_and_one_is_applied(repo):
    repo("dvc", "exp", "run", "--queue", "-S", "model=linear,mlp", "-S", "++set.seed=7")
    repo("dvc", "exp", "run", "--queue", "-n", "third", "-S", "++set.model.width=4")
    repo("dvc", "queue", "start", "-j", "1")
    for _ in range(600):
        states = repo("dvc", "queue", "status")
        if "Queued" not in states and "Running" not in states:
            break
        time.sleep(1)
    assert states.count("Success") == 3, states

    shown = list_experiments(repo)

    assert len(shown) == 3
    assert {(params["model"], params["set"].get("seed")) for params, _ in shown.values()} == {
        ("linear", 7), ("mlp", 7), ("wide", None)
    }  # fmt: skip
    assert len({metrics["metrics.json"]["model"]["rmse"] for _, metrics in shown.values()}) == 3
    assert len({metrics["validation.json"]["valid"]["loss"] for _, metrics in shown.values()}) == 3
    repo("dvc", "exp", "apply", "third")
    assert yaml.safe_load((repo.folder / "resolved.yaml").read_text())["model"]["width"] == 4
    for name in ("validation.json", "evaluation/metrics.json"):
        applied = json.loads((repo.folder / "artifacts" / name).read_text())
        assert applied == shown["third"][1][Path(name).name]
    assert repo.repro() == []  # its outputs are in the cache


@pytest.mark.exhaustive  # tests/check/test_dvc_stages.py holds what is refused
def test_own_code_beside_src_is_watched_or_refused(repo):
    """An edit of the user's own network trains anew, and nothing before that."""
    repo.edit("my_package/wide.py", "nn.ReLU", "nn.SiLU")
    assert repo.status() == ["train"]

    repo.edit("dvc.yaml", "conf, my_package, src", "conf, src")
    with pytest.raises(AssertionError, match="add my_package to the deps of compose"):
        repo.repro()


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_cache_that_is_linked_is_read_and_never_written(repo, kind):
    repo("dvc", "config", "cache.type", kind)
    repo("dvc", "checkout", "--relink")
    assert (repo.folder / "artifacts/bundle/network.pt").is_symlink() == (kind == "symlink")
    cache = {file: file.read_bytes() for file in (repo.folder / ".dvc" / "cache").rglob("*") if file.is_file()}

    select = ["--selection", "params.yaml", "--output", "resolved.yaml", "--slices", SLICES]
    repo("treadle", "compose", *select, "evaluation.threshold=0.4")
    repo("treadle", "evaluate", "--folder", "artifacts", "--resolved", "resolved.yaml")

    assert all(file.read_bytes() == content for file, content in cache.items())
    assert not (repo.folder / "artifacts/evaluation/metrics.json").is_symlink()


AUTO = """\
defaults:
  - /model@candidates.wide.model: wide
  - /model@candidates.linear.model: linear
  - _self_
budget: 1s
rounds: 10
candidates:
  wide: {min_rows: 5000, cost: {step: 0.0, row: 1.0e-6, input: 0.0}}
  linear: {cost: {step: 1.0, row: 1.0e-6, input: 0.0}}
"""  # with many rows `wide` alone fits, with few `linear`, the cheapest of those that may be


@pytest.mark.exhaustive
def test_a_model_that_is_chosen_is_chosen_again_when_the_data_changes(repo):
    (repo.folder / "conf" / "model" / "auto.yaml").write_text(AUTO)
    (repo.folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"model": "auto"}))
    assert repo.repro() == ["compose"]  # the model of before, chosen: nothing else is new
    table = repo.folder / "data" / "california" / "california.parquet"
    few = pl.read_parquet(table).head(3000)
    table.unlink()  # it may be a link into DVC's cache
    few.write_parquet(table)

    repo("dvc", "repro", "compose")

    resolved = yaml.safe_load((repo.folder / "resolved.yaml").read_text())
    assert resolved["model"] == {"_target_": "treadle.models.linear.Linear"}
    assert resolved["model_choice"]["rows"] == 1920
    assert "needs 5,000 rows" in resolved["model_choice"]["left_out"]["wide"]


@pytest.mark.exhaustive  # tests/config hold what a selection refuses
def test_a_typo_in_a_selection_fails(repo):
    with pytest.raises(AssertionError, match=r"Did you mean 'schedule.max_epochs'"):
        repo("dvc", "exp", "run", "-S", "++set.schedule.max_epoch=3")


def test_dvc_deletes_no_state_of_a_training_before_it_runs_the_stage():
    """T19: it removes the outputs of a stage, and what they hold."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = [out for stage in stages.values() for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    removed = [Path(next(iter(out)) if isinstance(out, dict) else out) for out in listed]
    state = RunFolder(Path("artifacts")).checkpoints

    assert len(removed) > len(STAGES)
    assert [path for path in removed if path == state or path in state.parents or state in path.parents] == []


@pytest.mark.exhaustive  # the test above holds that the state stays, tests/training/test_resume.py that it is used
def test_an_interrupted_stage_resumes_though_dvc_deletes_outputs(repo):
    """T19 and T10: the state stands beside what DVC deletes."""
    repo.edit("params.yaml", "max_epochs: 2", "max_epochs: 20")
    repo("treadle", "compose", "--selection", "params.yaml", "--output", "resolved.yaml")
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "treadle"), "train", "--resolved", "resolved.yaml", "--folder", "artifacts"],
        cwd=repo.folder, env={**os.environ, "PYTHONPATH": str(repo.folder / "src")}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch   5"):
            process.kill()
            break
    process.communicate()
    state = repo.folder / "artifacts" / "checkpoints" / "last.ckpt"
    assert state.is_file()

    out = repo("dvc", "repro", "train")

    first = next(int(line.split()[1]) for line in out.splitlines() if line.startswith("epoch "))
    assert first > 3
    assert not state.exists()
