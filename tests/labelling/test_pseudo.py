"""`treadle pseudo-label`: from a run and rows without a label to a file that the next run reads by a rule."""

import json

import polars as pl
import pytest

from runs import treadle

pytestmark = pytest.mark.slow

QUICK = [
    "experiment=compas",
    "tracker=disabled",
    "schedule.max_epochs=5",
    "evaluation.explanation=null",
    "evaluation.questions=null",
    "evaluation.baselines=[prior]",
    "data.tables.people.path=people.parquet",
    "++data.tables.people.columns.two_year_recid.nullable=true",
]
JOIN = (
    "+data.tables.people.joins={teacher: {table: pseudo, by: {id: id}, columns: {guess: pseudo_label}}}",
    "+data.tables.pseudo.path=pseudo.parquet",
    "+data.tables.pseudo.columns={id: {dtype: int, unique: true}, pseudo_label: {dtype: bool}}",
    "+data.labels={rows: unlabelled, model: majority, balance: votes, rules: {teacher: guess}}",
)


def test_the_next_run_learns_from_what_the_last_was_sure_of(project, capsys):
    people = pl.read_parquet("data/compas/compas.parquet").with_row_index("place")
    hidden = pl.when(pl.col("place") % 2 == 0).then("two_year_recid").alias("two_year_recid")
    people.with_columns(hidden).drop("place").write_parquet("people.parquet")
    assert treadle("train", *QUICK, "+data.examples.exclude={unlabelled: two_year_recid IS NULL}") == 0
    (teacher,) = project.glob("runs/compas-*")
    verb = ["pseudo-label", str(teacher), "--rows", "people.parquet"]

    assert treadle(*verb, "--threshold", "0.6", "-o", "pseudo.parquet") == 0

    pseudo = pl.read_parquet("pseudo.parquet")
    assert pseudo.columns == ["id", "pseudo_label", "pseudo_probability"]
    assert pseudo["pseudo_probability"].min() >= 0.6
    unlabelled = people.filter(pl.col("place") % 2 == 1)
    assert 0 < len(pseudo) < len(unlabelled)
    judged = pseudo.join(unlabelled, on="id")
    assert len(judged) == len(pseudo)  # none of a row that has a label
    assert (judged["pseudo_label"] == (judged["two_year_recid"] == 1)).mean() > 0.6
    assert treadle("run", *QUICK, *JOIN) == 0
    (student,) = set(project.glob("runs/compas-*")) - {teacher}
    summary = json.loads((student / "examples" / "summary.json").read_text())
    assert summary["labels"]["rows"]["by rules"] > 0
    assert summary["labels"]["rows"]["by own label"] > 0
    assert "Labels by rules" in (student / "evaluation" / "report.html").read_text()
    assert "are labelled by the votes of 1 rule (majority)" in (student / "evaluation" / "card.md").read_text()
    capsys.readouterr()
    for wrong, said in (
        (["--threshold", "0.6", "-o", "pseudo.parquet"], "pseudo.parquet exists"),
        (["--threshold", "1", "-o", "other.parquet"], "--threshold 1: the model is so sure of none of 3,607 rows"),
        (["--threshold", "0.5", "-o", "other.parquet"], "--threshold: must be above 0.5, a guess, and at most 1"),
    ):
        assert treadle(*verb, *wrong) == 2
        assert said in capsys.readouterr().err
