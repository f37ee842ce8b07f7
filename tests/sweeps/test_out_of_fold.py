import json

import polars as pl
import pytest

from parcels import LABELS, find_chances, make_parcels, make_parcels_project
from runs import QUICK, treadle
from treadle.bundle import load
from treadle.check.resolve import resolve
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.out_of_fold import Pooled, evaluate_passes

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweeps")]

FOLDS = "by: kfold\n  folds: 2\n  repeats: 2\n  fold: 0\n  test: 0.20\n  seed: 0"


@pytest.fixture
def in_folds(project):
    """California in two folds, twice, of some rows."""
    file = project / "conf/data/california.yaml"
    text = file.read_text()
    old = text[text.index("by: random") :].rstrip()
    text = text.replace(old, FOLDS).replace("examples:\n", "examples:\n  exclude: {many: MedHouseVal > 1.5}\n")
    file.write_text(text)
    return project


@pytest.mark.exhaustive
def test_each_row_is_predicted_by_the_run_that_did_not_train_on_it(in_folds, capsys):
    words = [*(word for word in QUICK if not word.startswith("evaluation.")), "tracker=disabled", "sweep.workers=1"]

    assert treadle("run", "-m", *words, "data.split.fold=range(4)") == 0

    (sweep,) = (in_folds / "sweeps").iterdir()
    trials = list(Ledger(sweep).trials.values())
    assert [(trial.seed, trial.fold, trial.setting) for trial in trials] == [(0, fold, {}) for fold in range(4)]
    predicted = pl.read_parquet(sweep / "out_of_fold/predictions.parquet")
    result = json.loads((sweep / "out_of_fold/metrics.json").read_text())
    examples = in_folds / "runs" / trials[0].run / "examples"
    outside_of_test = pl.concat(pl.read_parquet(examples / f"{split}.parquet") for split in ("train", "valid"))["row"]
    errors = []
    for repeat in range(2):
        once = predicted.filter(pl.col("fold") // 2 == repeat)
        assert sorted(once["row"]) == sorted(outside_of_test)
        errors.append(((once["prediction"] - once["label"]) ** 2).mean() ** 0.5)
    assert result["metrics"]["rmse"] == pytest.approx(sum(errors) / 2)
    assert (result["rows"], result["folds"], result["passes"]) == (len(outside_of_test), 4, 2)
    for trial in trials:
        folder = in_folds / "runs" / trial.run
        valid = pl.read_parquet(folder / "examples/valid.parquet")
        own = predicted.filter(pl.col("fold") == trial.fold)
        assert own["prediction"].equals(load(folder).predict(valid)["prediction"])
        assert own["label"].equals(valid["label"])
    told = capsys.readouterr().out
    assert "   valid/loss  spread   n" in told
    assert f"pooled   {len(outside_of_test):,} rows in 4 folds, mean of 2 passes: rmse" in told
    assert treadle("compare", str(sweep)) == 0
    assert "mean of 2 passes: rmse" in capsys.readouterr().out


def test_several_labels_are_decided_by_thresholds_of_their_own(tmp_path):
    make_parcels_project(tmp_path)
    experiment = resolve(overrides=["experiment=parcels"], root=tmp_path).experiment
    parcels = make_parcels()
    chances = pl.DataFrame(find_chances(parcels), schema=[f"probability_{name}" for name in LABELS])
    labels = parcels.select(late=pl.col("hours_late") > 0, damaged="damaged", lost="lost").cast(pl.Float64)
    frame = chances.with_columns(label=labels.to_struct(), seed=0, fold=0)
    alike = experiment.evaluation.model_copy(update={"decide_by": "threshold"})

    (own,) = evaluate_passes(frame, experiment)
    (one,) = evaluate_passes(frame, experiment.model_copy(update={"evaluation": alike}))

    assert own["f1"] > one["f1"] + 0.05
    assert own["auroc"] == one["auroc"]


def test_a_metric_of_the_users_own_is_pooled_with_the_others(root):
    own = "{direction: min, function: {_target_: torchmetrics.regression.MeanAbsoluteError}}"
    experiment = resolve(overrides=["experiment=california", f"+metrics.distance={own}"], root=root).experiment
    frame = pl.DataFrame({"prediction": [1.0, 2.0, 4.0], "label": [1.5, 2.5, 3.5], "seed": 0, "fold": 0})

    (found,) = evaluate_passes(frame, experiment)
    pooled = Pooled({}, "regression", rows=3, folds=1, passes=1, metrics=found)

    assert found["distance"] == found["mae"] == 0.5
    assert pooled.describe().endswith("r2 0.6250, distance 0.5000")


def test_folds_are_checked_and_named_before_anything_runs(in_folds, capsys):
    words = ["experiment=california", "model=linear"]

    assert treadle("check", "-m", *words, "data.split.fold=range(4)", "seed=0,1") == 0
    assert "1 setting by grid, 2 seeds each on 4 folds" in capsys.readouterr().out
    assert treadle("check", "-m", *words, "data.split.fold=range(6)") == 2
    assert "data.split.fold" in (told := capsys.readouterr().err)
    assert "must be below the number of folds, which is 4; found 4" in told
    assert treadle("check", "-m", *words, "data.split.fold=1.5,2") == 2
    assert "1.5: no fold" in capsys.readouterr().err


def test_a_split_without_folds_has_none_to_sweep(project, capsys):
    assert treadle("check", "-m", "experiment=california", "data.split.fold=range(4)") == 2

    assert "unknown key 'data.split.fold'" in capsys.readouterr().err
