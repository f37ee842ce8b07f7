"""`--why` prints what would run and why: each line is compared with what then really runs, and nothing is written."""

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from runs import QUICK, find_run, forget_sources, run_quick, treadle

pytestmark = pytest.mark.fast_cases(2)

ROOT = Path(__file__).parents[2]
NO_WANDB = "tracker=disabled"
STAGES = ["prepare", "featurize", "train", "baseline", "evaluate"]
NEVER = "would run: no run has done it yet"


@pytest.fixture
def ran(project, run_once):
    """A project with one finished run."""
    shutil.copytree(run_once(NO_WANDB), project / "runs")
    return project


@pytest.fixture
def foresee(capsys):
    def ask(*overrides, verb="run", quick=QUICK):
        before = list_files()
        capsys.readouterr()
        assert treadle(verb, "--why", *quick, NO_WANDB, *overrides) == 0
        assert list_files() == before, "--why wrote something"
        return read_lines(capsys.readouterr().out)

    return ask


@pytest.fixture
def compare_with_reality(foresee, capsys):
    """What is foreseen is what happens; returns the foreseen lines."""

    def compare(*overrides, verb="run"):
        told = foresee(*overrides, verb=verb)
        assert run_quick(NO_WANDB, *overrides, verb=verb) == 0
        said = capsys.readouterr().out
        assert {stage: text.split(":")[0] for stage, text in told.items()} == {
            stage: find_state(stage, said) for stage in told
        }
        return told

    return compare


def list_files():
    return {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}


def read_lines(out):
    return {line.split()[0]: line[11:] for line in out.splitlines()}


def find_state(stage, said):
    if f"{stage:<10} done in" in said:
        return "would run"
    return "would be shared" if f"{stage:<10} shared with another run" in said else "unchanged"


# --- commands -----------------------------------------------------------------------------------------


def test_before_any_run_each_stage_would_run(project, foresee):
    assert foresee() == dict.fromkeys(STAGES, NEVER)


def test_after_a_run_each_stage_is_unchanged(ran, compare_with_reality):
    run = f"runs/{find_run(ran).name}"

    assert compare_with_reality() == dict.fromkeys(STAGES, f"unchanged: {run} has it")


@pytest.mark.slow
@pytest.mark.sampled_cases(3)
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("override", "reasons"),
    [
        ("evaluation.parity_rows=3", {"evaluate": "evaluation.parity_rows"}),
        ("seed=1", {"train": "seed", "evaluate": "what train gives"}),
        ("model.dropout=0", {"train": "model.dropout", "evaluate": "what train gives"}),
        (
            "features.blocks.numbers.steps.bins.num_bins=9",
            {
                "featurize": "features.blocks.numbers.steps.bins.num_bins",
                "train": "what featurize gives",
                "baseline": "what featurize gives",
                "evaluate": "what train gives, what baseline gives",
            },
        ),
        (
            "data.split.seed=3",
            {
                "prepare": "data.split.seed",
                "featurize": "what prepare gives",
                "train": "what featurize gives",
                "baseline": "what featurize gives",
                "evaluate": "what train gives, what baseline gives",
            },
        ),
        ("name=other", {}),
    ],
    ids=["evaluation", "seed", "0 for 0.0", "features", "data", "a name"],
)
def test_after_an_override_the_stages_that_it_reaches_would_run(ran, compare_with_reality, override, reasons):
    run = f"runs/{find_run(ran).name}"

    told = compare_with_reality(override)

    assert told == {
        stage: f"would run: {reasons[stage]}, since {run}"
        if stage in reasons
        else "would be shared: runs/.stages has it"
        for stage in STAGES
    }


def test_a_verb_foresees_the_stages_up_to_its_own(ran, compare_with_reality):
    assert list(compare_with_reality("seed=1", verb="featurize")) == STAGES[:2]


def test_a_run_that_stopped_half_way_would_go_on(project, compare_with_reality):
    run_quick(NO_WANDB, verb="featurize")

    told = compare_with_reality()

    assert told["featurize"].startswith("unchanged")
    assert told["train"] == NEVER


def test_a_changed_data_file_is_the_reason_also_beside_an_override(ran, compare_with_reality):
    run = f"runs/{find_run(ran).name}"
    (ran / "data").unlink()
    (ran / "data").mkdir()
    shutil.copytree(ROOT / "data" / "california", ran / "data" / "california")
    file = ran / "data" / "california" / "california.parquet"
    pl.read_parquet(file).head(20_000).write_parquet(file)

    told = compare_with_reality("model.width=8")

    assert told["prepare"] == f"would run: the data files, since {run}"
    assert told["train"] == f"would run: model.width, what featurize gives, since {run}"


def test_edited_code_is_the_reason(project, foresee, monkeypatch, capsys):
    (project / "own").mkdir()
    (project / "own" / "__init__.py").touch()
    (project / "own" / "net.py").write_text("from treadle.models.linear import Linear\n\nNet = Linear\n")
    (project / "conf" / "model" / "own.yaml").write_text("_target_: own.net.Net\n")
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("targets:\n", "targets:\n  - own.\n"))
    monkeypatch.syspath_prepend(project)
    own = [QUICK[0], "model=own", *QUICK[3:]]
    forget_sources()
    assert treadle("run", *own, NO_WANDB) == 0
    (project / "own" / "net.py").write_text("from treadle.models.linear import Linear as Net\n")
    forget_sources()

    told = foresee(quick=own)

    (run,) = (path.parent.name for path in project.glob("runs/*/stages.json"))
    assert told["featurize"] == "would be shared: runs/.stages has it"
    assert told["train"] == f"would run: its code, since runs/{run}"
    capsys.readouterr()
    assert treadle("run", *own, NO_WANDB) == 0
    assert find_state("train", capsys.readouterr().out) == "would run"
    forget_sources()


def test_a_deleted_result_is_taken_from_the_cache_and_without_that_made_anew(ran, compare_with_reality):
    run = find_run(ran)
    shutil.rmtree(run / "model")
    assert compare_with_reality()["train"] == "would be shared: runs/.stages has it"

    shutil.rmtree(run / "model")
    shutil.rmtree(ran / "runs" / ".stages")
    told = compare_with_reality()
    assert told["train"] == f"would run: runs/{run.name} did it, and its result is gone"
    assert told["prepare"].startswith("unchanged")


def test_the_nearest_of_several_runs_is_named(ran, foresee):
    run_quick(NO_WANDB, "model.width=8", "seed=1", verb="train")
    (near,) = (path.parent.name for path in ran.glob("runs/*/stages.json") if "evaluate" not in path.read_text())

    told = foresee("model.width=8", "seed=2")

    assert told["train"] == f"would run: seed, since runs/{near}"


def test_a_run_without_its_resolved_yaml_is_no_witness(ran, foresee):
    (find_run(ran) / "resolved.yaml").unlink()

    assert foresee("seed=1")["train"] == NEVER


def test_a_run_whose_resolved_yaml_was_replaced_is_not_blamed_on_the_data(ran, foresee):
    run = find_run(ran)
    values = yaml.safe_load((run / "resolved.yaml").read_text())
    record = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps({**record, "train": "0" * 16}))
    (run / "resolved.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    shutil.rmtree(ran / "runs" / ".stages")

    assert foresee()["train"] == f"would run: another resolved.yaml, since runs/{run.name}"


def test_many_keys_are_listed_by_the_branches_that_hold_them(ran, capsys):
    assert treadle("run", "--why") == 0

    told = read_lines(capsys.readouterr().out)["prepare"]
    assert told.startswith("would run: data.task, data.tables, data.examples, data.split, since ")


def test_why_checks_the_selection_first(project, capsys):
    assert treadle("run", "--why", "model.widht=3") == 2
    assert "Did you mean 'model.width'" in capsys.readouterr().err


# --- stages of DVC: dvc.lock is the record ---------------------------------------------------------------


@pytest.fixture
def pipeline(project, capsys):
    """This repository's own pipeline, as a fresh clone has it after `dvc pull`: results, and no resolved.yaml there."""
    for name in ("dvc.lock", "data.dvc"):
        shutil.copyfile(ROOT / name, project / name)
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    composed = ("--selection", "params.yaml", "--output", "resolved.yaml", "--slices", "artifacts/slices")
    assert treadle("compose", *composed) == 0
    for stage in STAGES:  # the sources under test may be newer than the committed lock
        (own,) = (dep for dep in lock[stage]["deps"] if dep["path"] == f"artifacts/slices/{stage}.yaml")
        for data in (dep for dep in lock[stage]["deps"] if dep["path"] == "data"):
            data["md5"] = yaml.safe_load(Path("data.dvc").read_text())["outs"][0]["md5"]  # so may the data
        own["md5"] = hashlib.md5((project / own["path"]).read_bytes(), usedforsecurity=False).hexdigest()
        for out in lock[stage]["outs"]:
            (project / out["path"]).parent.mkdir(parents=True, exist_ok=True)
            (project / out["path"]).touch()
    (project / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))

    def ask(stage, *options, code=0):
        before = list_files()
        assert treadle(stage, "--why", "--folder", "artifacts", *options) == code
        assert list_files() == before, "--why wrote something"
        said = capsys.readouterr()
        return said.err if code else read_lines(said.out)[stage]

    return ask


BY_FILE = ("--resolved", "resolved.yaml")


def edit(file, change):
    values = yaml.safe_load(Path(file).read_text())
    change(values)
    Path(file).write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.mark.parametrize("stage", STAGES)
def test_what_dvc_lock_was_made_from_is_unchanged(pipeline, stage):
    assert pipeline(stage, *BY_FILE) == ("unchanged: dvc.lock has it by the same values, code and version of the data")


def test_another_value_in_resolved_yaml_is_the_reason(pipeline):
    edit("resolved.yaml", lambda values: values["schedule"].update(max_epochs=9))

    assert pipeline("featurize", *BY_FILE).startswith("unchanged")
    assert pipeline("train", *BY_FILE) == "would run: schedule.max_epochs, unless DVC knows the result already"
    assert pipeline("evaluate", *BY_FILE) == "would run: what train gives, unless DVC knows the result already"


def test_what_it_was_made_from_is_found_in_dvcs_cache(pipeline, project):
    """After `treadle compose` by hand the file of the slice is another one."""
    own = project / "artifacts" / "slices" / "train.yaml"
    digest = hashlib.md5(own.read_bytes(), usedforsecurity=False).hexdigest()
    kept = project / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    kept.parent.mkdir(parents=True)
    own.rename(kept)
    edit("resolved.yaml", lambda values: values["schedule"].update(max_epochs=9))

    assert pipeline("train", *BY_FILE) == "would run: schedule.max_epochs, unless DVC knows the result already"


def test_what_nobody_keeps_is_reported_without_a_key(pipeline, project):
    (project / "artifacts" / "slices" / "train.yaml").unlink()
    edit("resolved.yaml", lambda values: values["schedule"].update(max_epochs=9))

    assert pipeline("train", *BY_FILE) == "would run: other values or other code, unless DVC knows the result already"
    assert pipeline("featurize", *BY_FILE).startswith("unchanged")


def test_without_a_file_it_is_what_dvc_would_compose_from_params_yaml(pipeline):
    edit("params.yaml", lambda values: values.update(set={"schedule": {"max_epochs": 9}}))

    assert "schedule.max_epochs" in pipeline("train")


def test_another_version_of_the_data_is_the_reason(pipeline):
    edit("data.dvc", lambda values: values["outs"][0].update(md5="0" * 32 + ".dir"))

    assert pipeline("prepare", *BY_FILE) == "would run: the data files, unless DVC knows the result already"


def test_a_missing_result_is_the_reason(pipeline, project):
    (project / "artifacts" / "model").unlink()

    assert pipeline("train", *BY_FILE) == ("would run: artifacts/model is missing, unless DVC knows the result already")


def test_a_folder_that_is_not_dvcs_has_no_witness(pipeline, capsys):
    assert treadle("train", "--why", "--folder", "elsewhere", *BY_FILE) == 0

    assert capsys.readouterr().out == "train      would run: dvc.lock names no result of it in elsewhere\n"


def test_overrides_beside_a_folder_are_refused_as_they_are_without_why(pipeline):
    assert "overrides and --folder exclude each other" in pipeline("train", "seed=1", code=2)


def test_a_lock_in_the_middle_of_a_merge_is_refused(pipeline, project):
    (project / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n")

    assert "dvc.lock" in pipeline("train", *BY_FILE, code=2)
