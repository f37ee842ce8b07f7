"""Rows of one patient, user or store: kept together where they share their answer, else suggested."""

import numpy as np
import polars as pl
import pytest

from plans import plan, roles
from treadle.scaffold.planning.groups import measure_agreement, names_entity

GENERATOR = np.random.default_rng(0)
NUM_GROUPS, SIZE = 40, 6
GROUP = np.repeat(np.arange(NUM_GROUPS), SIZE)
X = GENERATOR.normal(size=len(GROUP)).round(2)
OF_GROUP = GENERATOR.integers(0, 2, NUM_GROUPS)[GROUP]
OF_ROW = GENERATOR.integers(0, 2, len(GROUP))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("patient_id", "P{:02d}"),
        ("user", "{}"),
        ("Subject", "s{}"),
        ("store", "Store number {}"),
        ("HouseholdID", "{}"),
        ("who", "person {}"),
    ],
)
@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_groups_that_share_their_answer_stand_in_one_split(tmp_path, name, form, order):
    names = [form.format(group) for group in GROUP]
    rows = np.arange(len(GROUP)) if order == "sorted" else GENERATOR.permutation(len(GROUP))

    made = plan(tmp_path, {name: np.array(names)[rows], "x": X[rows], "y": OF_GROUP[rows]})

    assert (made.split["by"], made.split["column"]) == ("group_kfold", name)
    assert roles(made) == {name: "out", "x": "number"}
    assert "the rows of each have the same answer (40 different values" in made.split_reason


def test_numbers_that_are_one_for_each_group(tmp_path):
    price = GENERATOR.normal(size=NUM_GROUPS)[GROUP].round(4)

    assert plan(tmp_path, {"house": GROUP, "x": X, "y": price}).split["by"] == "group_kfold"


def test_sales_of_stores_whose_level_differs_are_no_answer_of_the_store(tmp_path):
    sales = GENERATOR.normal(size=NUM_GROUPS)[GROUP] + GENERATOR.normal(size=len(GROUP))

    made = plan(tmp_path, {"store": GROUP, "x": X, "y": sales.round(4)})

    assert made.split["by"] == "kfold"
    assert roles(made)["store"] == "category"


def test_groups_with_answers_of_their_own_are_suggested(tmp_path):
    made = plan(tmp_path, {"customer": GROUP, "x": X, "y": OF_ROW})

    assert made.split["by"] == "stratified_kfold"
    assert roles(made)["customer"] != "out"
    (note,) = made.notes
    assert note.startswith("rows may belong together: 40 different values of 'customer' with 6.0 rows each")
    assert note.endswith("start over with --group 'customer'")


@pytest.mark.parametrize("name", ["color", "occupation", "city", "relationship", "carrier", "Capacity"])
def test_categories_are_no_groups(tmp_path, name):
    made = plan(tmp_path, {name: [f"v{group % 12}" for group in GROUP], "x": X, "y": OF_ROW})

    assert made.split["by"] == "stratified_kfold"
    assert not made.notes
    assert roles(made)[name] == "category"


def test_a_column_that_reveals_the_class_by_few_values_is_a_leak_and_no_group(tmp_path):
    classes = GENERATOR.integers(0, 8, len(GROUP))
    made = plan(tmp_path, {"verdict": [f"v{c}" for c in classes], "x": X, "y": [f"c{c}" for c in classes]})

    assert made.split["by"] == "stratified_kfold"
    assert [choice.profile.name for choice in made.suspects] == ["verdict"]


@pytest.mark.parametrize("asked", [{"keep": ("patient",)}, {"drop": ("patient",)}])
def test_a_column_whose_role_the_user_gives_makes_no_groups(tmp_path, asked):
    assert plan(tmp_path, {"patient": GROUP, "x": X, "y": OF_GROUP}, **asked).split["by"] == "stratified_kfold"


def test_agreement_is_one_for_copies_and_none_for_chance():
    groups = pl.Series(GENERATOR.permutation(np.arange(4_000) % 500))
    values = pl.Series(GENERATOR.integers(0, 2, 500))

    assert measure_agreement(groups, values[groups]) == pytest.approx(1)
    tossed = pl.Series(GENERATOR.integers(0, 2, 4_000))
    assert measure_agreement(groups, tossed) == pytest.approx(0, abs=0.05)


def test_no_group_with_two_rows_agrees_with_nothing():
    assert measure_agreement(pl.Series([1, 2, 3]), pl.Series([1, 1, 0])) == 0


@pytest.mark.parametrize(
    ("name", "is_entity"),
    [
        ("patient_id", True),
        ("UserID", True),
        ("store", True),
        ("Clothing ID", True),
        ("customer_number", True),
        ("SHOP NAME", True),
        ("age", False),
        ("idea", False),
        ("car_age", False),
        ("num_store", False),
        ("patient_weight", False),
    ],
)
def test_a_name_of_what_has_several_rows(name, is_entity):
    assert names_entity(name) == is_entity
