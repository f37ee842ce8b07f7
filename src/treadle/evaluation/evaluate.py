"""The stage `evaluate`: metrics and report of a run's bundle and its baselines on the test split."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import Predictor, load, predict_split
from treadle.disk import write_json
from treadle.errors import TreadleError
from treadle.evaluation.baselines import predict_baselines
from treadle.evaluation.champion import CHAMPION, predict_champion
from treadle.evaluation.curves import compute_curves, count_confusions, write_confusions
from treadle.evaluation.evaluated import MODEL, Evaluated, Results, read_parts
from treadle.evaluation.judge import run_checks, write_findings
from treadle.evaluation.model_card import write_model_card
from treadle.evaluation.naive import predict_naive
from treadle.evaluation.parity import check_parity, read_predictions
from treadle.evaluation.parts import find_answers, write_answers
from treadle.evaluation.reference import write_reference
from treadle.evaluation.report import Findings, write_report
from treadle.evaluation.uncertainty import find_uncertainty
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.features.featurize import read_target
from treadle.metrics.compute import compute_metrics
from treadle.metrics.own import build_metrics, compute_own
from treadle.outcomes import Finding
from treadle.schema import LABEL, ROW


def evaluate(experiment: Experiment, *, folder: RunFolder, run: str, champion: Path | None = None) -> None:
    """Write `folder.evaluation`: metrics, intervals, checks, predictions, parity, curves and report.

    Args:
        experiment: checked.
        folder: of the run.
        run: its name, `<name>-<id>`, for the report.
        champion: folder of the bundle that `evaluation.champion` names; None: it names none.

    Raises:
        TreadleError: a row alone gets another prediction than in the batch, or a prediction is not finite.
    """
    torch.set_num_threads(1)
    bundle = load(folder.bundle, targets=experiment.targets)
    test = pl.scan_parquet(folder.examples / "test.parquet")
    predicted, target = predict_rows(bundle, test)
    prediction = read_predictions(predicted, bundle)
    folder.plots.mkdir(parents=True, exist_ok=True)
    predicted.write_parquet(folder.evaluation / "predictions.parquet")
    _require_numbers({MODEL: prediction}, predicted)
    parity = check_parity(bundle, test, predicted, num_rows=experiment.evaluation.parity_rows)
    (folder.evaluation / "parity.json").write_text(json.dumps(parity, indent=2) + "\n", encoding="utf-8")

    rival = predict_champion(experiment, test, like=bundle, champion=champion)
    candidates = {
        MODEL: prediction,
        **predict_baselines(experiment, read_parts(test), folder=folder),
        **predict_naive(experiment, folder=folder, classes=bundle.classes),
        **({} if rival is None else {CHAMPION: rival.prediction}),
    }
    _require_numbers(candidates, predicted)
    thresholds = dict.fromkeys(candidates, bundle.card.thresholds)
    thresholds |= {} if rival is None else {CHAMPION: list(rival.thresholds)}
    results = {name: measure(experiment, values, target, thresholds[name]) for name, values in candidates.items()}
    evaluated = Evaluated(experiment, folder, bundle, candidates, target, results, parity, thresholds)
    _write(evaluated, run=run)


def _write(evaluated: Evaluated, *, run: str) -> None:
    """What follows from the predictions and their metrics: answers, checks, intervals, curves, card and report."""
    experiment, folder = evaluated.experiment, evaluated.folder
    evaluated.answers.update(find_answers(evaluated))
    write_answers(evaluated.answers, folder)
    checks = run_checks(evaluated)
    write_findings(checks, folder.checks)
    uncertainty = find_uncertainty(
        experiment,
        predictions={name: values.numpy() for name, values in evaluated.predictions.items()},
        target=evaluated.target.numpy(),
        blocks=evaluated.blocks,
        thresholds=evaluated.thresholds,
    )
    write_json(folder.intervals, uncertainty.to_plain() if uncertainty is not None else {})
    write_reference(evaluated)
    findings = _find(evaluated, checks)
    folder.metrics.write_text(json.dumps(_without_nan(findings.results), indent=2) + "\n", encoding="utf-8")
    for curve in findings.curves[MODEL]:
        curve.write(folder.plots)
    if findings.confusions is not None:
        write_confusions(findings.confusions, findings.classes, folder.plots / "confusion.csv")
    write_model_card(experiment, run=run, folder=folder)
    write_report(
        experiment, findings=findings, uncertainty=uncertainty, answers=evaluated.answers, run=run, folder=folder
    )


def measure(
    experiment: Experiment, prediction: Tensor, target: Tensor, thresholds: Sequence[float]
) -> dict[str, float]:
    """Every metric of the task, and the user's own, of predictions as `read_predictions` gives them.

    Args:
        experiment: that is evaluated.
        prediction: of the test rows.
        target: of the same rows.
        thresholds: of each label, which the bundle has learned; none: that of the experiment for all.
    """
    settings, task = experiment.evaluation, experiment.data.answer
    found = compute_metrics(
        task=task,
        prediction=prediction,
        target=target,
        threshold=list(thresholds) or settings.threshold,
        num_bins=settings.calibration_bins,
    )
    return found | compute_own(build_metrics(experiment), task=task, prediction=prediction, target=target)


def _find(evaluated: Evaluated, checks: list[Finding]) -> Findings:
    """For the report: curves of the model and its baselines; curves by class of the model alone."""
    classes, candidates = evaluated.bundle.classes, evaluated.predictions
    curves = {
        name: compute_curves(
            task=evaluated.task,
            prediction=values,
            target=evaluated.target,
            num_bins=evaluated.experiment.evaluation.calibration_bins,
            classes=classes if name == MODEL else (),
        )
        for name, values in candidates.items()
    }
    is_multiclass = evaluated.task == "multiclass"
    confusions = count_confusions(candidates[MODEL], evaluated.target) if is_multiclass else None
    return Findings(evaluated.results, checks, curves, confusions, classes, evaluated.parity)


def predict_rows(bundle: Predictor, rows: pl.LazyFrame) -> tuple[pl.DataFrame, Tensor]:
    """Predictions and targets of all rows, of which `prepare` has checked the contract."""
    return predict_split(bundle, rows), read_target(rows.select(LABEL).collect(), classes=bundle.classes)


def _require_numbers(candidates: dict[str, Tensor], predicted: pl.DataFrame) -> None:
    """Metrics of predictions that are not finite would be NaN, without a reason."""
    for name, values in candidates.items():
        wrong = ~values.isfinite().reshape(len(values), -1).all(dim=1)
        if wrong.any():
            place = int(wrong.nonzero()[0])
            affected = f"{int(wrong.sum()):,} test rows, such as row {predicted[ROW][place]} ({values[place].tolist()})"
            raise TreadleError(
                f"evaluation: the predictions of {name} are not finite for {affected}; is the row far outside of the "
                "range of the training rows? Bounds in the contract (min, max) keep such rows out"
            )


def _without_nan(results: Results) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN: a metric that is not defined for these rows is null."""
    return {
        name: {metric: value if math.isfinite(value) else None for metric, value in values.items()}
        for name, values in results.items()
    }
