"""Which words are offered, by the parser of the command line and the files of a project."""

import argparse
import json
import subprocess
import sys

import pytest

from treadle.cli.completion.verbs import FILES, complete, list_verbs
from treadle.cli.parser import build_parser


@pytest.fixture
def offer(project):
    return lambda *words: complete(list(words), root=project, parser=build_parser())


@pytest.fixture
def runs(project):
    for name in ("flights-1", "flights-2"):
        (project / "runs" / name).mkdir(parents=True)
        (project / "runs" / name / "stages.json").write_text("{}")
    (project / "runs" / "unfinished").mkdir()


# --- verbs and options --------------------------------------------------------------------------------


def test_every_verb_is_offered_and_nothing_else(offer):
    assert offer("") == list(list_verbs(build_parser()))
    assert {"check", "run", "diff", "lineage", "completion"} <= set(offer(""))
    assert offer("tr") == ["train"]
    assert offer("frobnicate", "") == []
    assert offer() == offer("")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--v"], ["--version"]),
        (["check", "--f"], ["--format"]),
        (["train", "--"], ["--help", "--traceback", "--cfg", "--why", "--folder", "--resolved"]),
        (
            ["run", "--"],
            ["--help", "--traceback", "--cfg", "--why", "--multirun", "--evaluate", "--like", "--to-wandb"],
        ),
        (
            ["run", "--why", "--"],
            ["--help", "--traceback", "--cfg", "--multirun", "--evaluate", "--like", "--to-wandb"],
        ),
        (["run", "model=mlp", "--w"], ["--why"]),
        (["compose", "-o", "x.yaml", "-"], ["-h", "--help", "--traceback", "--selection", "--slices"]),
        (["predict", "--allow", "own", "--al"], ["--allow"]),
        (["completion", "bash", "--"], ["--help", "--traceback"]),
        (["check", "--format", ""], ["text", "json", "github"]),
        (["check", "--format", "j"], ["json"]),
        (["check", "--format=g"], ["--format=github"]),
        (["run", "--cfg", ""], ["job"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["completion", "bash", ""], []),
        (["predict", "--allow", ""], []),
    ],
    ids=" ".join,
)
def test_options_and_their_values_follow_from_the_parser(offer, words, expected):
    assert sorted(offer(*words)) == sorted(expected)


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--selection", ""],
        ["check", "--selection=par"],
        ["compose", "-o", "res"],
        ["train", "--folder", ""],
        ["predict", "runs/flights-1", "ro"],
        ["predict", "artifacts/b"],
        ["compare", "elsewhere/"],
    ],
    ids=" ".join,
)
def test_files_are_left_to_the_shell(offer, runs, words):
    assert offer(*words) == [FILES]


def test_runs_are_offered_where_a_run_is_asked_for(offer, runs):
    both = ["runs/flights-1", "runs/flights-2"]

    assert offer("compare", "") == both
    assert offer("compare", "runs/flights-1", "") == both
    assert offer("predict", "runs/flights-2") == ["runs/flights-2"]
    assert offer("predict", "-o", "out.parquet", "ru") == both
    assert offer("diff", "runs/") == both
    assert offer("diff", "runs/flights-1", "runs/") == both
    assert offer("diff", "runs/flights-1", "runs/flights-2", "") == []


def test_revisions_and_selections_are_sides_of_a_diff(offer, project):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-qb", "trunk"], ["add", "params.yaml"], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run(["git", *identity, *command], check=True, cwd=project)

    assert offer("diff", "H") == ["HEAD"]
    assert offer("diff", "v") == ["v1"]
    assert offer("diff", "tr") == ["trunk", "tracker.", "tracker=", "trainer.", "trainer="]
    assert offer("diff", "p") == ["params.yaml"]
    assert offer("diff", "model=ml") == ["model=mlp", "model=mlp_plr"]


def test_a_verb_yet_to_come_is_understood_by_its_metavars(project):
    parser = argparse.ArgumentParser()
    explain = parser.add_subparsers().add_parser("explain")
    explain.add_argument("key", metavar="KEY")
    explain.add_argument("overrides", metavar="OVERRIDE", nargs="*")

    assert complete(["explain", "model.wi"], root=project, parser=parser) == ["model.width", "model.widths"]
    assert complete(["explain", "tra"], root=project, parser=parser) == ["tracker.", "trainer."]
    assert complete(["explain", "model.width", "model=re"], root=project, parser=parser) == ["model=resnet"]


def test_features_are_offered_to_lineage(offer):
    assert "route" in offer("lineage", "ro")
    assert offer("lineage", "numbers.Med") == ["numbers.MedInc"]


# --- overrides ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("model=ta", ["model=tabm", "model=tabm_large", "model=tabm_piecewise", "model=tabm_wide"]),
        ("model=mlp,re", ["model=mlp,resnet"]),
        ("model=mlp,mlp", ["model=mlp,mlp_plr"]),
        ("model=mlp,linear,re", ["model=mlp,linear,resnet"]),
        ("experiment=flights_l", ["experiment=flights_linear"]),
        ("nothing=", []),
        ("mod", ["model.", "model="]),
        ("schedule.max_e", ["schedule.max_epochs="]),
        ("schedule.opt", ["schedule.optimizer."]),
        ("schedule.optimizer.l", ["schedule.optimizer.lr="]),
        ("data.tables.flights.columns.arr_d", ["data.tables.flights.columns.arr_delay."]),
        ("see", ["seed="]),
        ("na", ["name="]),
        ("+schedule.max_s", ["+schedule.max_steps="]),
        ("++schedule.max_s", ["++schedule.max_steps="]),
        ("~model.dr", ["~model.dropout"]),
        ("~mod", ["~model", "~model."]),
        ("+mod", ["+model.", "+model="]),
        ("experiment.", []),
        ("trainer.accelerator=", ["trainer.accelerator=cpu", "trainer.accelerator=gpu", "trainer.accelerator=auto"]),
        ("schedule.optimizer._t", ["schedule.optimizer._target_="]),
        ("schedule.optimizer._target_=torch.optim.SG", ["schedule.optimizer._target_=torch.optim.SGD"]),
        ("trainer.de", ["trainer.devices="]),
    ],
)  # fmt: skip
def test_overrides_are_offered_step_by_step(offer, word, expected):
    assert offer("run", word) == expected


@pytest.mark.slow
def test_a_member_of_an_ensemble_is_offered_like_a_model(offer):
    assert offer("run", "model.mem") == ["model.member.", "model.members.", "model.members="]
    assert offer("run", "model.member.wi") == ["model.member.width=", "model.member.widths="]
    assert "model.member.width=256" in offer("run", "model.member.width=")
    assert "model@model.member=" in offer("run", "model@")
    assert offer("run", "model@model.member=re") == ["model@model.member=resnet"]


def test_values_in_use_are_offered_where_no_schema_lists_them(offer):
    assert "model.width=256" in offer("run", "model.width=")
    assert "model.width=64,256" in offer("run", "model.width=64,")


def test_experiments_come_first(offer):
    assert offer("run", "")[:3] == ["experiment=", "augmentation.", "augmentation="]


@pytest.mark.slow
def test_a_projects_own_option_and_group_are_offered_and_hidden_folders_are_not(offer, project):
    (project / "conf" / "model" / "own.yaml").write_text("_target_: own.Net\nglow: true\ninner: {depth: 3}\n")
    (project / "conf" / "model" / "broken.yaml").write_text("a: [")
    (project / "conf" / "shipping").mkdir()
    (project / "conf" / "shipping" / "local.yaml").write_text("port: 80\n")
    (project / "conf" / ".hidden").mkdir()
    (project / "conf" / ".hidden" / "x.yaml").write_text("a: 1\n")

    assert offer("run", "model=ow") == ["model=own"]
    assert offer("run", "model.gl") == ["model.glow="]
    assert offer("run", "model.glow=") == ["model.glow=true"]
    assert offer("run", "model.inner.") == ["model.inner.depth="]
    assert offer("run", "ship") == ["shipping.", "shipping="]
    assert offer("run", ".") == []
    assert not [one for one in offer("run", "") if "hidden" in one]


@pytest.fixture
def schemas(project):
    folder = project / "conf" / ".schema"
    folder.mkdir(exist_ok=True)
    limit = {"properties": {"patience": {"type": "integer"}, "mode": {"const": "min"}}}
    trainer = {
        "properties": {
            "accelerator": {"anyOf": [{"$ref": "#/definitions/accelerator"}, {"type": "string", "pattern": "^\\$"}]},
            "stop": {"anyOf": [{"type": "null"}, {"$ref": "#/definitions/limit"}]},
            "quiet": {"type": "boolean"},
            "again": {"$ref": "#/definitions/again"},
            "per_device": {"additionalProperties": {"enum": ["a", "b c"]}},
        },
        "definitions": {
            "accelerator": {"enum": ["cpu", "gpu", "auto", None]},
            "limit": limit,
            "again": {"$ref": "#/definitions/again"},
        },
    }
    (folder / "trainer.json").write_text(json.dumps(trainer))
    (folder / "model.json").write_text("{")
    (folder / "data.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("trainer.accelerator=", ["cpu", "gpu", "auto", "null"]),
        ("trainer.accelerator=cpu,g", ["cpu,gpu"]),
        ("trainer.quiet=", ["true", "false"]),
        ("trainer.stop.mode=", ["min"]),
        ("trainer.per_device.x=", ["a"]),
        ("trainer.again=", []),
    ],
)
def test_values_come_from_the_schema_where_there_is_one(offer, schemas, word, expected):
    key = word.partition("=")[0]

    assert offer("run", word) == [f"{key}={value}" for value in expected]


def test_keys_that_only_the_schema_knows_are_offered(offer, schemas):
    assert offer("run", "trainer.st") == ["trainer.stop.", "trainer.strategy="]
    assert offer("run", "trainer.stop.") == ["trainer.stop.mode=", "trainer.stop.patience="]
    assert offer("run", "model.wi") == ["model.width=", "model.widths="], "a broken schema is no schema"


# --- imports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "offered"),
    [("schedule.optimizer._target_=", "torch.optim.AdamW"), ("data.tables.", "data.tables.flights")],
)
def test_a_tab_imports_no_heavy_library(project, word, offered):
    """What a tab takes is measured by `benchmarks/startup.py`."""
    code = (
        "import sys; from treadle.cli.main import main\n"
        f"main(['completion', 'bash', '--words', 'run', {word!r}])\n"
        "heavy = {'pydantic', 'hydra', 'omegaconf', 'rich', 'numpy', 'polars', 'torch', 'wandb', 'dvc', 'griffe'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert offered in done.stdout
    assert done.stderr == ""
