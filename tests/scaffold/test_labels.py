"""A project of several labels: columns of two values each, of which a row may have any."""

import polars as pl
import pytest
import yaml

from parcels import make_parcels

LABELS = ("late", "damaged", "lost")


def write(file, **columns):
    parcels = make_parcels().head(600)
    late = parcels.select(late=pl.when(pl.col("hours_late") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
    parcels.drop("hours_late").with_columns(late, **columns).write_csv(file)
    return file


@pytest.mark.slow
def test_columns_of_two_values_become_labels_with_names(tmp_path, make):
    made = make(write(tmp_path / "rows.csv"), target=LABELS[0], labels=LABELS[1:])

    data = yaml.safe_load((made.folder / "conf/data/shop.yaml").read_text())
    assert data["task"] == "multilabel"
    assert data["examples"]["label"] == {"late": "\"late\" = 'yes'", "damaged": '"damaged"', "lost": '"lost" = 1'}
    assert data["examples"]["known"] == ["km", "kg", "carrier"]
    assert made.plan.target.balance.startswith("late: ")
    train = made.splits["train"]["label"].struct.unnest()
    assert train.columns == list(LABELS)
    assert all(train[name].n_unique() == 2 for name in LABELS)


@pytest.mark.slow
def test_a_leak_of_one_label_is_left_out(tmp_path, make):
    file = write(tmp_path / "rows.csv", refund=pl.col("lost") * 12.5)

    made = make(file, target=LABELS[0], labels=LABELS[1:])

    assert made.left_out == {"refund": "it alone predicts the target: AUC 1.000 (lost)"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"labels": ("carrier",)}, "--target: 'carrier' has 3 different values; of several targets each is a label"),
        ({"labels": ("late",)}, "--target: a column is named twice, or two differ in dots alone: late, late"),
        ({"labels": ("lost",), "positive": "yes"}, "--positive: is for one target; 2 columns are labels"),
    ],
    ids=["classes", "twice", "positive"],
)
def test_what_are_no_labels_is_told(tmp_path, refuse, asked, told):
    assert told in refuse(write(tmp_path / "rows.csv"), target="late", **asked)
