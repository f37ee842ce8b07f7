"""What `treadle diff` prints for every kind of side: selection, file, run, revision of git; and of nonsense."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
import yaml

from runs import make_project, treadle
from treadle.errors import TreadleError
from treadle.runs.diff import read_side

pytestmark = pytest.mark.fast_cases(3)

ROOT = Path(__file__).parents[2]
BASE = "experiment=california model=mlp"
STAGES = ["prepare", "featurize", "train", "baseline", "evaluate"]
ALL_THE_SAME = {stage: [] for stage in STAGES}


@pytest.fixture
def say(capsys):
    """The lines that `treadle diff` prints."""

    def diff(*sides, code=0):
        assert treadle("diff", *sides) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return diff


def stages_of(out):
    """Each stage with its reasons; none for one that is the same."""
    lines = [line for line in out.splitlines() if line.split(" ")[0] in STAGES]
    found = {line.split()[0]: line[11:].removeprefix("runs again: ").split(", ") for line in lines}
    return {stage: [] if reasons == ["the same"] else reasons for stage, reasons in found.items()}


def rows_of(out):
    """The table of values: key, before, after."""
    cells = ([cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│"))
    return {key: (before, after) for key, before, after in cells if key}


def git(*command):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *command], check=True, capture_output=True)


def commit(text):
    git("add", "-A", "resolved.yaml", "params.yaml", "data.dvc")
    git("commit", "-qm", text)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """Two commits, of which the newer one (tagged `wide`) trains another model."""
    folder = tmp_path_factory.mktemp("committed")
    make_project(folder)
    shutil.copyfile(ROOT / "data.dvc", folder / "data.dvc")
    with contextlib.chdir(folder):
        git("init", "-q")
        for width in (16, 32):
            assert treadle("compose", *BASE.split(), f"model.width={width}", "-o", "resolved.yaml") == 0
            commit(f"width {width}")
        git("tag", "wide")
    return folder


@pytest.fixture
def repository(committed, tmp_path, monkeypatch):
    """A copy of them, to be edited."""
    folder = shutil.copytree(committed, tmp_path / "repository", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


# --- sides --------------------------------------------------------------------------------------------


def test_the_same_twice_differs_in_nothing(project, say):
    out = say(BASE, BASE)

    assert rows_of(out) == {}
    assert stages_of(out) == ALL_THE_SAME


def test_two_selections_differ_in_values_and_in_the_stages_that_these_reach(project, say):
    out = say(BASE, f"{BASE} model.width=7 tracker.project=other")

    assert rows_of(out) == {"model.width": ("256", "7"), "tracker.project": ("treadle", "other")}
    assert stages_of(out) == {
        "prepare": [],
        "featurize": [],
        "train": ["model.width"],
        "baseline": [],
        "evaluate": ["what train gives"],
    }


def test_what_trees_do_not_read_of_the_schedule_is_told_as_a_value_and_reaches_no_stage(project, say):
    out = say("model=lightgbm", "model=lightgbm schedule.batch_size=64")

    assert rows_of(out)["schedule.batch_size"][1] == "64"
    assert stages_of(out) == ALL_THE_SAME


def test_an_empty_side_is_the_default_selection(project, say):
    assert rows_of(say("", "model.dropout=0.5"))["model.dropout"][1] == "0.5"
    assert rows_of(say(" ", "")) == {}


def test_one_side_alone_is_compared_with_params_yaml(project, say):
    (project / "params.yaml").write_text("experiment: california\nmodel: mlp\nset: {seed: 5}\n")

    out = say(BASE)

    assert rows_of(out) == {"seed": ("0", "5")}
    assert "params.yaml" in out


def test_one_side_alone_is_compared_with_the_defaults_where_there_is_no_params_yaml(project, say):
    (project / "params.yaml").unlink()

    assert "the defaults" in say("seed=5")


def test_a_selection_is_split_as_a_shell_does(project, say):
    out = say(BASE, f"{BASE} 'tracker.project=two words' evaluation.baselines=[prior]")

    assert rows_of(out)["tracker.project"] == ("treadle", "two words")
    assert rows_of(out)["evaluation.baselines"][1] == '["prior"]'
    assert "evaluation.baselines=[prior]" in " ".join(out.split()), "the title is no markup"


def test_a_key_that_a_side_lacks_is_distinguished_from_one_that_is_null(project, say):
    other = "experiment=california model=linear schedule.gradient_clip=1.0"

    out = say(f"{BASE} schedule.gradient_clip=null", other)

    assert rows_of(out)["schedule.gradient_clip"] == ("null", "1.0")
    assert rows_of(out)["model.num_layers"][1] == "-"


def test_a_file_by_any_name_is_a_selection_or_a_resolved_experiment(project, say):
    (project / "mine.yaml").write_text("experiment: california\nmodel: mlp\nset: {seed: 5}\n")
    treadle("compose", *BASE.split(), "seed=6", "-o", "kept.yaml")

    assert rows_of(say("mine.yaml", "kept.yaml")) == {"seed": ("5", "6")}


def test_a_run_is_compared_by_its_folder_or_its_resolved_yaml(project, say):
    assert treadle("prepare", *BASE.split()) == 0
    (run,) = (str(path.parent.relative_to(project)) for path in project.glob("runs/*/stages.json"))

    for side in (run, f"{run}/", f"{run}/resolved.yaml", str(project / run)):
        out = say(side, f"{BASE} seed=5")
        assert rows_of(out) == {"seed": ("0", "5")}
        assert stages_of(out)["prepare"] == []
        assert "not compared" not in out


def test_a_folder_whose_name_holds_an_equals_sign_is_a_folder(project, say):
    (project / "seed=5").mkdir()
    treadle("compose", *BASE.split(), "seed=6", "-o", "seed=5/resolved.yaml")

    assert rows_of(say(BASE, "seed=5")) == {"seed": ("0", "6")}


@pytest.mark.parametrize(("revision", "width"), [("HEAD", "32"), ("HEAD~1", "16"), ("wide", "32"), ("wide^", "16")])
def test_a_revision_is_compared_by_its_resolved_yaml(repository, say, revision, width):
    out = say(revision, BASE)

    assert rows_of(out) == {"model.width": (width, "256")}
    assert stages_of(out)["train"] == ["model.width"]
    assert "not compared" not in out


def test_two_revisions_are_compared_in_a_folder_below_the_top_of_the_repository(tmp_path, project, say):
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    for name in ("conf", "data", "params.yaml"):
        (top / "below" / name).symlink_to(project / name)
    os.chdir(top / "below")
    git("init", "-q", "..")
    for seed in (1, 2):
        treadle("compose", *BASE.split(), f"seed={seed}", "-o", "resolved.yaml")
        git("add", "-A", "resolved.yaml")
        git("commit", "-qm", "x")

    assert rows_of(say("HEAD~1", "HEAD")) == {"seed": ("1", "2")}


# --- data and code ------------------------------------------------------------------------------------


def test_another_version_of_the_data_runs_everything_again(repository, say):
    other = yaml.safe_load((repository / "data.dvc").read_text())
    other["outs"][0]["md5"] = "0" * 32 + ".dir"
    (repository / "data.dvc").write_text(yaml.safe_dump(other))
    commit("new data")

    assert stages_of(say("HEAD~1", "HEAD")) == {
        "prepare": ["the data files"],
        "featurize": ["what prepare gives"],
        "train": ["what featurize gives"],
        "baseline": ["what featurize gives"],
        "evaluate": ["what train gives", "what baseline gives"],
    }


def test_a_comment_in_data_dvc_is_no_new_version(repository, say):
    (repository / "data.dvc").write_text("# Flights, adult, California.\n" + (repository / "data.dvc").read_text())
    commit("a comment")

    assert stages_of(say("HEAD~1", "HEAD"))["prepare"] == []


def test_a_changed_data_file_distinguishes_a_run_from_the_same_selection(project, say):
    treadle("prepare", *BASE.split())
    (run,) = (str(path.parent.relative_to(project)) for path in project.glob("runs/*/stages.json"))
    (project / "data").unlink()
    (project / "data").mkdir()
    shutil.copytree(ROOT / "data" / "california", project / "data" / "california")
    file = project / "data" / "california" / "california.parquet"
    pl.read_parquet(file).head(20_000).write_parquet(file)

    assert stages_of(say(run, BASE))["prepare"] == ["the data files"]


def test_data_that_no_side_names_is_reported_as_not_compared(project, say):
    treadle("compose", *BASE.split(), "-o", "resolved.yaml")

    out = say("resolved.yaml", BASE)

    assert stages_of(out) == ALL_THE_SAME
    assert "data       not compared" in out


def test_other_code_runs_its_stage_again_and_is_no_value(project, say):
    treadle("compose", *BASE.split(), "-o", "resolved.yaml")
    values = yaml.safe_load((project / "resolved.yaml").read_text())
    values["code"]["featurize"] = "0" * 16
    (project / "resolved.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    out = say("resolved.yaml", BASE)

    assert rows_of(out) == {}
    assert stages_of(out) == {
        "prepare": [],
        "featurize": ["its code"],
        "train": ["what featurize gives"],
        "baseline": ["what featurize gives"],
        "evaluate": ["what train gives", "what baseline gives"],
    }


@pytest.mark.slow
def test_many_keys_are_listed_by_the_branches_that_hold_them(project, say):
    out = say("experiment=flights", "experiment=california")

    assert stages_of(out)["prepare"][:4] == ["data.task", "data.tables", "data.examples", "data.split"]
    assert "data.tables.planes.path" in rows_of(out)


def test_a_file_of_an_older_version_may_lack_a_key(project, say):
    treadle("compose", *BASE.split(), "-o", "resolved.yaml")
    values = yaml.safe_load((project / "resolved.yaml").read_text())
    del values["trainer"]["threads"], values["code"]["evaluate"]
    (project / "resolved.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    out = say("resolved.yaml", BASE)

    assert rows_of(out) == {"trainer.threads": ("-", "1")}
    assert stages_of(out)["train"] == ["trainer.threads"]
    assert stages_of(out)["evaluate"] == ["its code", "what train gives"]


# --- nonsense -----------------------------------------------------------------------------------------


@pytest.mark.fast_cases(3)
@pytest.mark.parametrize(
    ("sides", "rule"),
    [
        (["nonsense"], "'nonsense' is nothing to compare; give a selection such as 'model=mlp seed=1'"),
        (["runs/none"], "'runs/none' is nothing to compare"),
        (["conf"], "'conf' is nothing to compare"),
        (["HEAD"], "'HEAD' is nothing to compare"),
        (["--", "-p"], "'-p' is nothing to compare"),
        (["model=mlp 'a"], 'the selection "model=mlp \'a" cannot be split as a shell does: No closing quotation'),
        (["model=mpl"], "Did you mean"),
        (["seed=1 modle.width=3"], "modle"),
        (["broken.yaml"], "broken.yaml is not YAML"),
        (["broken/resolved.yaml"], "broken/resolved.yaml is not YAML"),
        (["empty"], "empty/resolved.yaml is not a resolved experiment"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_refused_with_the_rule(project, say, sides, rule):
    (project / "broken").mkdir()
    (project / "empty").mkdir()
    (project / "broken.yaml").write_text("a: [")
    (project / "broken" / "resolved.yaml").write_text("a: [")
    (project / "empty" / "resolved.yaml").write_text("")

    assert rule in say(*sides, code=2)


@pytest.mark.parametrize("revision", ["HEAD~9", "-p", "--output=stolen", "wide..HEAD", "v1"])
def test_what_is_no_revision_is_refused_and_no_option_of_git_gets_through(repository, say, revision):
    assert "treadle diff: " in say("--", revision, code=2)
    assert not (repository / "stolen").exists()


def test_a_revision_without_resolved_yaml_is_distinguished_from_no_revision(repository, say):
    git("rm", "-q", "--cached", "resolved.yaml")
    git("commit", "-qm", "without")

    assert "the revision 'HEAD' holds no resolved.yaml" in say("HEAD", code=2)


def test_a_revision_whose_resolved_yaml_is_something_else_is_refused(repository, say):
    (repository / "resolved.yaml").write_text("seed: 1\n")
    commit("something else")

    assert "HEAD:resolved.yaml is not a resolved experiment" in say("HEAD", code=2)


# --- nothing is written -------------------------------------------------------------------------------


def test_a_diff_writes_nothing(repository, say):
    before = sorted(path for path in repository.rglob("*") if ".git" not in path.parts)

    say("HEAD", f"{BASE} seed=5")

    assert sorted(path for path in repository.rglob("*") if ".git" not in path.parts) == before


def test_a_selection_may_be_longer_than_a_name_of_a_file(project):
    text = " ".join([BASE, *(f"model.width={width}" for width in range(1, 30))])

    assert read_side(text, root=project).title == text
    with pytest.raises(TreadleError, match="is nothing to compare"):
        read_side("a/" * 5000, root=project)
