"""Columns of any name go the whole way: prepare, featurize, train, predict."""

import csv
import random

import polars as pl
import pytest
import yaml

from runs import find_run, run_quick
from treadle import load
from treadle.bundle import read_rows

NUMBERS = [
    "a b",
    "x.y",
    "größe",
    "select",
    "order by",
    "it's",
    "100%",
    "a,b",
    "[x]",
    "(y)",
    "{z}",
    "a:b",
    "-c",
    "1",
]
WORDS = ['quo"te', "日本", "NULL", "a;b", "$"]
SOURCES = {
    "rows": "row",
    "labels": "label",
    "weights": "weight",
    "nameless": "",
    "star": "*",
    "pattern": "^v$",
    "twice": "a b_duplicated_0",
}
HEADER = ["target", *NUMBERS, *WORDS, "row", "label", "weight", "", "*", "^v$", "a b"]


def write_table(file):
    generator = random.Random(0)  # noqa: S311 - not for secrets
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for _ in range(400):
            numbers = [f"{generator.gauss(0, 1):.3f}" for _ in NUMBERS]
            words = [generator.choice(["north", "south, by east", 'the "west"', ""]) for _ in WORDS]
            others = [f"{generator.gauss(0, 1):.3f}" for _ in SOURCES]
            writer.writerow([f"{float(numbers[0]) + generator.gauss(0, 0.1):.4f}", *numbers, *words, *others])


def write_conf(project):
    numbers = {name: {"dtype": "float"} for name in NUMBERS}
    words = {name: {"dtype": "str", "nullable": True} for name in WORDS}
    sources = {name: {"dtype": "float", "source": source} for name, source in SOURCES.items()}
    data = {
        "task": "regression",
        "tables": {
            "odd": {"path": "odd.csv", "columns": {"target": {"dtype": "float"}, **numbers, **words, **sources}}
        },
        "examples": {"table": "odd", "known": [*NUMBERS, *WORDS, *SOURCES], "label": "target"},
        "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0},
    }
    transforms = "treadle.features.transforms"
    features = {
        "derive": {"the sum": '"a b" + "x.y" + "select"'},
        "blocks": {
            "numbers": {
                "columns": [*NUMBERS, *SOURCES, "the sum"],
                "steps": {
                    "impute": {"_target_": f"{transforms}.Impute", "strategy": "median", "indicator": False},
                    "scale": {"_target_": f"{transforms}.Standardize"},
                },
            },
            "words": {
                "columns": WORDS,
                "steps": {"ids": {"_target_": "treadle.features.categories.Vocabulary", "min_count": 1}},
            },
        },
    }
    for name, values in (("data", data), ("features", features)):
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        (project / "conf" / name / "odd.yaml").write_text(text)


@pytest.mark.slow
def test_columns_of_any_name_go_the_whole_way(project):
    write_table(project / "odd.csv")
    write_conf(project)

    assert run_quick("name=odd", "data=odd", "features=odd", "evaluation=regression", "tracker=disabled") == 0

    bundle = load(find_run(project))
    prepared = pl.read_parquet(find_run(project) / "examples" / "test.parquet")
    raw = read_rows(project / "odd.csv", table=bundle.table)[prepared["row"]]
    predicted = bundle.predict(prepared)["prediction"]
    assert bundle.predict(raw)["prediction"].equals(predicted)
    assert bundle.predict(raw.row(0, named=True))["prediction"].to_list() == pytest.approx([predicted[0]], abs=1e-6)
