"""The gate: noise does not promote, what is better does; and the way of a run to champion, and back."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import treadle as package
from runs import run_quick, treadle
from treadle.champions.bundles import CARD, digest_bundle, find_bundle
from treadle.errors import TreadleError
from treadle.evaluation.comparison import Candidate, compare_predictions
from treadle.evaluation.resampling import Blocks
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Evaluation, Experiment
from treadle.gate.decide import ask_gate
from treadle.gate.seeds import OverSeeds, average_gain, list_other_seeds

EXPERIMENT = Experiment.model_construct(
    data=SimpleNamespace(task="binary", answer="binary"),
    evaluation=Evaluation.model_construct(metric="log_loss", threshold=0.5, calibration_bins=10),
    metrics={},
)


def compare_on_days(seed, *, error=0.5):
    """Two models that are off by another amount each day, the one by `error` on average, the other by 0.5."""
    generator = np.random.default_rng(seed)
    days = np.repeat(np.arange(40), 50)
    truth = generator.normal(size=2000) + generator.normal(size=40)[days]
    target = generator.random(2000) < 1 / (1 + np.exp(-truth))
    first, second = (1 / (1 + np.exp(-(truth + size * generator.normal(size=40)[days]))) for size in (error, 0.5))
    blocks = Blocks.of(days, unit="day")
    return compare_predictions(Candidate(first), Candidate(second), target=target, blocks=blocks, experiment=EXPERIMENT)


def test_each_decides_by_the_thresholds_of_its_own():
    """The champion's probabilities are half as high, and so are its thresholds: the decisions are the same."""
    generator = np.random.default_rng(0)
    high = generator.uniform(0.01, 1, size=(500, 2))
    target, blocks = (generator.random((500, 2)) < high).astype(np.float64), Blocks.of_rows(500)
    evaluation = EXPERIMENT.evaluation.model_copy(update={"metric": "f1_micro"})
    data = SimpleNamespace(task="multilabel", answer="multilabel")
    experiment = EXPERIMENT.model_copy(update={"data": data, "evaluation": evaluation})
    challenger, champion = Candidate(high, [0.4, 0.6]), Candidate(high / 2, [0.2, 0.3])

    found = compare_predictions(challenger, champion, target=target, blocks=blocks, experiment=experiment)
    mean = average_gain([challenger] * 3, champion, target=target, blocks=blocks, experiment=experiment)

    assert (found.gain.low, found.gain.value, found.gain.high) == (0, 0, 0)
    assert (mean.low, mean.value, mean.high) == (0, 0, 0)


@pytest.mark.slow
def test_what_is_better_by_noise_only_is_seldom_promoted():
    promoted = sum(compare_on_days(seed).is_better for seed in range(100))

    assert promoted <= 5


@pytest.mark.slow
def test_what_is_truly_better_is_promoted():
    promoted = sum(compare_on_days(seed, error=0.1).is_better for seed in range(100))

    assert promoted >= 80


@pytest.mark.slow
def test_rows_of_a_day_taken_for_independent_would_promote_noise():
    def is_better(seed):
        generator = np.random.default_rng(seed)
        days = np.repeat(np.arange(40), 50)
        target = generator.random(2000) < 0.5
        first, second = (0.5 + 0.2 * np.tanh(generator.normal(size=40))[days] for _ in range(2))
        target = np.where(generator.random(40)[days] < 0.5, target, generator.random(40)[days] < 0.5)
        rows, blocks = (
            compare_predictions(
                Candidate(first), Candidate(second), target=target, blocks=by, experiment=EXPERIMENT
            ).is_better
            for by in (Blocks.of_rows(2000), Blocks.of(days, unit="day"))
        )
        return rows, blocks

    by_rows, by_days = np.array([is_better(seed) for seed in range(40)]).sum(axis=0)

    assert by_rows >= 8
    assert by_days <= 4


def compare_seeds(seed, *, errors):
    """The lead of challengers over a champion that is off by 0.5 a day; each is a seed, off by its own amount."""
    generator = np.random.default_rng(seed)
    days = np.repeat(np.arange(40), 50)
    truth = generator.normal(size=2000) + generator.normal(size=40)[days]
    target = generator.random(2000) < 1 / (1 + np.exp(-truth))

    def predict(error):
        return 1 / (1 + np.exp(-(truth + error * generator.normal(size=40)[days])))

    champion, blocks = Candidate(predict(0.5)), Blocks.of(days, unit="day")
    seeds = [Candidate(predict(error)) for error in errors]
    own = compare_predictions(seeds[0], champion, target=target, blocks=blocks, experiment=EXPERIMENT)
    mean = average_gain(seeds, champion, target=target, blocks=blocks, experiment=EXPERIMENT)
    return own if mean is None else OverSeeds(own, len(seeds), mean)


@pytest.mark.slow
def test_a_lucky_seed_is_not_promoted_and_a_better_experiment_is():
    lucky = [compare_seeds(seed, errors=[0.0, 0.7, 0.9]) for seed in range(20)]
    better = [compare_seeds(seed, errors=[0.0, 0.1, 0.05]) for seed in range(20)]

    assert sum(one.own.is_better for one in lucky) >= 15
    assert sum(one.is_better for one in lucky) == 0
    assert "better than the champion, but other seeds are not beyond noise" in {one.relation for one in lucky}
    assert "; the mean of 3 seeds " in lucky[0].describe()
    assert sum(one.is_better for one in better) >= 15
    assert not isinstance(compare_seeds(0, errors=[0.1, 0.1]), OverSeeds)  # two seeds say too little


def test_runs_of_other_seeds_are_those_that_differ_in_nothing_else(tmp_path):
    texts = {"a": "seed: 0\nx: 1\n", "b": "seed: 1\nx: 1\n", "c": "seed: 2\nx: 2\n", "d": None, "e": "seed: 3\nx: 1\n"}
    for name, text in texts.items():
        folder = RunFolder(tmp_path / "runs" / f"flights-{name}")
        folder.examples.mkdir(parents=True)
        folder.evaluation.mkdir()
        (folder.examples / "test.parquet").touch()
        (folder.evaluation / "predictions.parquet").touch()
        folder.bundle.mkdir()
        (folder.bundle / CARD).touch()
        folder.signatures.write_text(json.dumps({"prepare": "other data" if name == "e" else "data"}))
        if text is not None:
            folder.resolved.write_text(text)

    (found,) = list_other_seeds(tmp_path / "runs" / "flights-a", name="flights", root=tmp_path)

    assert found.name == "flights-b"


@pytest.fixture
def runs(project):
    """A weak run and a better one, by name."""
    found = {}
    for name, overrides in {"weak": ["schedule.max_epochs=1"], "better": ["schedule.max_epochs=6"]}.items():
        before = set(project.glob("runs/*"))
        assert run_quick("tracker=disabled", "evaluation.parity_rows=1", *overrides) == 0
        (run,) = set(project.glob("runs/[!.]*")) - before
        found[name] = run.relative_to(project)
    return found


@pytest.mark.slow
def test_a_run_becomes_champion_and_leads_back(runs, project, capsys):
    weak, better = runs["weak"], runs["better"]

    assert treadle("promote", str(weak)) == 0
    assert treadle("gate", str(weak)) == 1  # equal to the champion
    assert "it is the champion itself" in capsys.readouterr().out
    assert treadle("gate", str(better)) == 0
    assert treadle("promote", str(better), "--reason", "The spring sale.") == 0
    assert "better than the champion beyond noise: RMSE" in capsys.readouterr().out
    rows = pl.read_parquet(better / "examples" / "test.parquet").head(20)
    best = package.load("champion").predict(rows)
    assert best.equals(package.load(better).predict(rows))

    assert treadle("promote", str(weak), "--reason", "It is smaller.") == 1  # worse, whatever the reason
    assert "worse than the champion beyond noise" in capsys.readouterr().out
    assert treadle("promote", str(weak), "--override", " ") == 2
    assert "needs a written reason" in capsys.readouterr().err
    assert treadle("promote", str(weak), "--override", "Finance asked for it.") == 0
    assert treadle("rollback", "california", "--reason", "They changed their mind.") == 0
    assert package.load("california@champion").predict(rows).equals(best)

    capsys.readouterr()
    assert treadle("log", "california", "--format", "json") == 0
    history = json.loads(capsys.readouterr().out)
    assert [decision["action"] for decision in history] == ["promote", "promote", "promote", "rollback"]
    assert [decision["evidence"].get("overridden") for decision in history] == [False, False, True, None]
    reasons = [None, "The spring sale.", "Finance asked for it.", "They changed their mind."]
    assert [decision["reason"] for decision in history] == reasons

    assert treadle("gc", "--keep", "champion") == 0  # what a champion, or a way back, needs
    assert all((run / "bundle").is_dir() for run in (weak, better))
    rows.write_parquet("rows.parquet")
    assert treadle("predict", "champion", "rows.parquet", "-o", "out.parquet") == 0
    assert pl.read_parquet("out.parquet").equals(best)

    _tell_what_is_missing(weak, capsys)
    _predict_other_inputs_anew(weak, better)
    _restore_from_dvc(project, better)
    _refuse_a_blocked_run(weak)


def _tell_what_is_missing(run, capsys):
    file = run / "evaluation" / "predictions.parquet"
    aside = file.rename(run / "aside.parquet")

    assert treadle("gate", str(run)) == 2

    assert f"{file} is missing" in capsys.readouterr().err.replace("\n", " ")
    aside.rename(file)


def _predict_other_inputs_anew(run, champion):
    """The same rows and labels, of which a later preparation reads an input otherwise."""
    file = run / "examples" / "test.parquet"
    rows = pl.read_parquet(file)
    before = ask_gate(run, champion=str(champion), root=run.parent.parent).comparison.gain.value

    file.unlink()  # the runs share it, as links
    rows.with_columns(pl.col("MedInc").reverse()).write_parquet(file)

    assert ask_gate(run, champion=str(champion), root=run.parent.parent).comparison.gain.value > before + 0.1
    rows.write_parquet(file)


def _restore_from_dvc(project, run):
    """The run is gone; DVC's cache has its bundle as the output of a stage."""
    cache = project / ".dvc" / "cache" / "files" / "md5"
    listing = []
    for number, file in enumerate(sorted((run / "bundle").iterdir())):
        digest = f"{number:032x}"
        (cache / digest[:2]).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, cache / digest[:2] / digest[2:])
        listing.append({"md5": digest, "relpath": file.name})
    (cache / "ff").mkdir()
    (cache / "ff" / "00.dir").write_text(json.dumps(listing))
    digest = digest_bundle(run)
    run.rename(project / "elsewhere")
    shutil.rmtree(project / "runs" / ".stages")

    found = find_bundle("champion", root=project)

    assert found == project / "runs" / ".champions" / digest
    assert digest_bundle(found) == digest
    shutil.rmtree(found)
    shutil.rmtree(cache)
    with pytest.raises(TreadleError, match=f"the bundle {digest[:12]} of 'california' is nowhere"):
        find_bundle("champion", root=project)


def _refuse_a_blocked_run(run):
    file = run / "evaluation" / "checks.json"
    checks = json.loads(file.read_text())
    checks["leakage"] |= {"outcome": "fail", "sentence": "Income alone explains all."}
    file.write_text(json.dumps(checks))

    verdict = ask_gate(run, champion="elsewhere", root=run.parent.parent)

    assert not verdict.promotes
    assert verdict.sentence.startswith("refuse: blocked by leakage; ")


def test_there_is_no_champion_before_a_promotion(project, capsys):
    assert treadle("rollback", "california") == 2
    assert "'california' has no champion; `treadle promote RUN` makes one" in capsys.readouterr().err
    with pytest.raises(TreadleError, match="there is no champion in models/; `treadle promote RUN` makes one"):
        package.load("champion")
