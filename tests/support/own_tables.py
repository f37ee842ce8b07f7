"""Experiments of tables that the tests make: the files of one, and what their features and evaluations share."""

from pathlib import Path

import polars as pl
import yaml

from runs import make_project

IMPUTE = {"_target_": "treadle.features.transforms.Impute", "strategy": "median", "indicator": False}
SCALE = {"_target_": "treadle.features.transforms.Standardize"}
CODES = {"_target_": "treadle.features.categories.Vocabulary", "min_count": 1}


def describe_features(*, numbers: list[str], categories: list[str], **more: dict) -> str:
    """The group `features`: scaled numbers, ids of categories, and further blocks."""
    blocks = {
        **more,
        "numbers": {"columns": numbers, "steps": {"impute": IMPUTE, "scale": SCALE}},
        "categories": {"columns": categories, "steps": {"ids": CODES}},
    }
    return yaml.safe_dump({"derive": {}, "blocks": blocks, "fit_rows": None}, sort_keys=False)


def describe_experiment(name: str, *, question: str, evaluation: str, schedule: dict, **judged) -> str:
    """A linear model of data and features of the same name, evaluated for `evaluation` and by `judged`."""
    groups = {"data": name, "features": name, "model": "linear", "schedule": "one_cycle", "evaluation": evaluation}
    values = {
        "defaults": [{f"override /{group}": option} for group, option in groups.items()],
        "name": name,
        "schedule": {"batch_size": 64, **schedule},
        "evaluation": {"parity_rows": 3, "explanation": None, "questions": None, **judged},
    }
    return f"# @package _global_\n# {question}\n{yaml.safe_dump(values, sort_keys=False)}"


def make_own_project(folder: Path, name: str, *, files: dict[str, str], **tables: pl.DataFrame) -> None:
    """A project in an empty folder; `files` are the texts of `name` by group, each table becomes a Parquet file."""
    make_project(folder)
    for group, text in files.items():
        (folder / "conf" / group / f"{name}.yaml").write_text(text)
    for table, rows in tables.items():
        rows.write_parquet(folder / f"{table}.parquet")
