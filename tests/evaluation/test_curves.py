"""ROC, precision and recall, calibration, and confusions, of every task."""

import csv

import pytest
import torch

from treadle.evaluation.curves import compute_curves, count_confusions, read_curves, write_confusions


@pytest.mark.parametrize(
    ("task", "kinds"), [("binary", ["roc", "precision_recall", "calibration"]), ("regression", ["calibration"])]
)
def test_curves_run_from_end_to_end(task, kinds, tmp_path):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(5000, generator=generator)
    target = torch.rand(5000, generator=generator) < prediction

    curves = compute_curves(task=task, prediction=prediction, target=target, num_bins=10)
    for curve in curves:
        curve.write(tmp_path)

    assert [curve.name for curve in curves] == kinds
    assert [c.rows for c in read_curves(tmp_path)] == [c.rows for c in curves]
    roc = curves[0].rows
    if task == "binary":
        assert (roc[0], roc[-1]) == (
            {"false_positive_rate": 0.0, "true_positive_rate": 0.0},
            {"false_positive_rate": 1.0, "true_positive_rate": 1.0},
        )
        assert len(roc) <= 202
    bins = curves[-1].rows
    assert len(bins) == 10
    assert all(abs(row["predicted"] - row["observed"]) < 0.1 for row in bins)


@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["near the origin", "far from it"])
def test_the_calibration_of_a_tiny_unit_keeps_its_digits(offset):
    target = torch.linspace(1e-7, 2e-7, 100, dtype=torch.float64) + offset

    (curve,) = compute_curves(task="regression", prediction=target, target=target, num_bins=4)

    found = [row["observed"] - offset for row in curve.rows]
    assert found == pytest.approx([1.1212e-7, 1.3737e-7, 1.6263e-7, 1.8788e-7], rel=1e-4)


def test_the_calibration_does_not_depend_on_the_order_of_rows_that_are_predicted_alike():
    prediction = torch.tensor([0.2] * 30 + [0.6] * 70, dtype=torch.float64)
    target = torch.arange(100) % 3 == 0
    order = torch.arange(100).flip(0)

    first, second = (
        compute_curves(task="binary", prediction=prediction[rows], target=target[rows], num_bins=10)[-1].rows
        for rows in (slice(None), order)
    )

    assert first == second
    assert [(row["predicted"], row["rows"]) for row in first] == [(0.2, 30), (0.6, 70)]


def test_one_class_alone_has_no_curves():
    assert compute_curves(task="binary", prediction=torch.rand(5), target=torch.zeros(5), num_bins=3) == []


def test_the_same_prediction_for_every_row_has_no_curves():
    assert (
        compute_curves(task="binary", prediction=torch.full((4,), 0.5), target=torch.tensor([0, 1, 0, 1]), num_bins=3)
        == []
    )


def test_several_classes_have_a_curve_over_all_and_one_each(tmp_path):
    prediction = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    target = torch.tensor([0, 1, 0, 2, -1])  # training never saw the last one's class

    curves = compute_curves(
        task="multiclass", prediction=prediction, target=target, num_bins=3, classes=["a", "b", "c"]
    )
    for curve in curves:
        curve.write(tmp_path)

    assert [curve.name for curve in curves] == ["roc", "precision_recall", "calibration"]
    assert all(list(curve.by_class) == ["a", "b", "c"] for curve in curves)
    # Class a: rows 0 (0.7) and 2 (0.3) against 1 (0.1), 3 (0.2) and 4 (0.6).
    points = {(row["false_positive_rate"], row["true_positive_rate"]) for row in curves[0].by_class["a"]}
    assert points == {(0.0, 0.0), (0.0, 0.5), (0.333333, 0.5), (0.333333, 1.0), (0.666667, 1.0), (1.0, 1.0)}
    written = list(csv.DictReader((tmp_path / "roc_by_class.csv").read_text().splitlines()))
    assert {row["class"] for row in written} == {"a", "b", "c"}
    assert [c.rows for c in read_curves(tmp_path)] == [c.rows for c in curves]


def test_the_curve_over_all_classes_pools_each_against_the_rest():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(300, 3, generator=generator).softmax(dim=1)
    target = torch.randint(3, (300,), generator=generator)
    hits = torch.nn.functional.one_hot(target, 3)

    pooled = compute_curves(task="multiclass", prediction=prediction, target=target, num_bins=5)
    binary = compute_curves(task="binary", prediction=prediction.flatten(), target=hits.flatten(), num_bins=5)

    assert [curve.rows for curve in pooled] == [curve.rows for curve in binary]
    assert all(not curve.by_class for curve in pooled)


def test_confusions_count_rows_by_class_and_predicted_class(tmp_path):
    prediction = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2], [0.9, 0.1], [0.1, 0.9]])

    counts = count_confusions(prediction, torch.tensor([0, 0, 1, 1, -1]))
    write_confusions(counts, ["no", "yes"], tmp_path / "confusion.csv")

    assert counts.tolist() == [[1, 1], [2, 0]]
    assert (tmp_path / "confusion.csv").read_text().split() == [
        "actual,predicted,rows",
        "no,no,1",
        "no,yes,1",
        "yes,no,2",
    ]


def test_rows_of_new_classes_alone_have_no_curves():
    assert compute_curves(task="multiclass", prediction=torch.rand(5, 2), target=torch.full((5,), -1), num_bins=3) == []


def test_a_curve_says_what_it_takes_together():
    def pool(task, target):
        chances = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        return {curve.pooled for curve in compute_curves(task=task, prediction=chances, target=target, num_bins=3)}

    assert pool("multiclass", torch.tensor([0, 1, 1])) == {"each class against the rest"}
    assert pool("multilabel", torch.tensor([[1, 0], [1, 1], [0, 1]])) == {"all pairs of a row and a label"}
