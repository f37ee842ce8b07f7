import pytest

from runs import treadle
from treadle.cli.completion.verbs import list_verbs
from treadle.cli.parser import build_parser


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        treadle("--help")

    out = capsys.readouterr().out
    assert all(verb in out for verb in list_verbs(build_parser()))


@pytest.mark.slow
def test_cfg_job_prints_the_composition_and_runs_nothing(project, capsys):
    assert treadle("run", "--cfg", "job", "model=mlp") == 0

    assert "_target_: treadle.models.mlp.Mlp" in capsys.readouterr().out
    assert not (project / "runs").exists()


def test_cfg_job_prints_the_configuration_of_a_folder(project, capsys):
    assert treadle("compose", "model=mlp", "seed=7", "-o", "own.yaml") == 0

    assert treadle("train", "--folder", "out", "--resolved", "own.yaml", "--cfg", "job") == 0

    assert capsys.readouterr().out == (project / "own.yaml").read_text()
    assert not (project / "out").exists()


@pytest.mark.slow
def test_options_and_overrides_come_in_any_order(project, capsys):
    assert treadle("run", "model=mlp", "--cfg", "job", "seed=7", "model.width=3") == 0

    out = capsys.readouterr().out
    assert "seed: 7" in out
    assert "width: 3" in out


@pytest.mark.parametrize("words", [["run", "--speed", "3"], ["compare", "--htm"], ["frobnicate"], []])
def test_what_is_no_verb_or_option_is_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        treadle(*words)

    assert "usage: treadle" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--reasons", "wrong"], ["--reasons=wrong"]], ids=["apart", "joined"])
def test_an_unknown_option_is_told_with_the_verb_that_lacks_it(capsys, words):
    with pytest.raises(SystemExit, match="2"):
        treadle("rollback", "flights", *words)

    err = capsys.readouterr().err
    assert "usage: treadle rollback" in err
    assert f"unrecognized arguments: {' '.join(words)}; did you mean --reason?" in err


def test_a_name_that_an_option_has_taken_for_a_value_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        treadle("init", "--from", "orders.csv", "--target", "late", "lost", "shop")

    err = " ".join(capsys.readouterr().err.split())
    assert "required: NAME; write it before --from, --target, --keep, --drop, --missing: they take every word" in err


def test_predict_reports_what_is_missing(project, capsys):
    assert treadle("predict", "runs/none", "rows.parquet", "-o", "out.parquet") == 2
    assert "no bundle in runs/none" in capsys.readouterr().err


def test_compare_without_runs_explains_how_to_make_one(project, capsys):
    (project / "runs").mkdir()

    assert treadle("compare") == 2
    assert "`treadle run` makes one" in capsys.readouterr().err
